from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.frames import Failure
from agentos.engine.retrying import advice, next_try

HOPELESS = [Failure.authentication, Failure.refused, Failure.budget, Failure.nonsense, None]


@pytest.mark.parametrize("failure", HOPELESS)
def test_what_will_fail_again_is_not_tried_again(failure: Failure | None) -> None:
    assert next_try(failure, attempts=1, max_attempts=3, told=None) is None


@given(st.integers(min_value=1, max_value=9))
def test_a_transient_fault_waits_longer_each_time_up_to_five_minutes(attempts: int) -> None:
    wait = next_try(Failure.transient, attempts=attempts, max_attempts=3, told=None)
    assert wait is not None
    longest = min(timedelta(minutes=5), timedelta(seconds=2 * 2 ** (attempts - 1)))
    assert longest / 2 <= wait <= longest


def test_a_transient_fault_is_given_up_after_ten_tries() -> None:
    assert next_try(Failure.transient, attempts=10, max_attempts=3, told=None) is None


def test_a_rate_limit_waits_as_long_as_it_was_told_to() -> None:
    told = timedelta(minutes=42)
    assert next_try(Failure.rate_limited, attempts=1, max_attempts=3, told=told) == told
    default = next_try(Failure.rate_limited, attempts=1, max_attempts=3, told=None)
    assert default == timedelta(minutes=5)


def test_a_crash_is_tried_again_at_once_but_not_for_ever() -> None:
    assert next_try(Failure.crashed, attempts=1, max_attempts=3, told=None) == timedelta()
    assert next_try(Failure.crashed, attempts=3, max_attempts=3, told=None) is None


def test_every_cause_has_its_advice() -> None:
    words = {advice(failure, timed_out=False) for failure in Failure}
    assert all(words)
    assert "time" in advice(None, timed_out=True)
