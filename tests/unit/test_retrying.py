from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.frames import Failure
from agentos.engine.retrying import advice, next_try

HOPELESS = [Failure.authentication, Failure.refused, Failure.budget, Failure.nonsense, None]
AT_ONCE = timedelta()


def tries(failure: Failure | None, *, max_crashes: int = 3) -> int:
    """How often something that fails each time for this reason is tried in all."""
    times = 1
    while next_try(failure, times=times, max_crashes=max_crashes) is not None:
        times += 1
    return times


@pytest.mark.parametrize("failure", HOPELESS)
def test_what_will_fail_again_is_not_tried_again(failure: Failure | None) -> None:
    assert next_try(failure, times=1, max_crashes=3) is None


@given(st.integers(min_value=1, max_value=10))
def test_a_transient_fault_waits_longer_each_time_up_to_five_minutes(times: int) -> None:
    wait = next_try(Failure.transient, times=times, max_crashes=3)
    assert wait is not None
    longest = min(timedelta(minutes=5), timedelta(seconds=2 * 2 ** (times - 1)))
    assert longest / 2 <= wait <= longest


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    waits = {next_try(Failure.transient, times=8, max_crashes=3) for _ in range(50)}
    assert len(waits) > 40


def test_a_transient_fault_is_tried_again_ten_times() -> None:
    assert tries(Failure.transient) == 11


def test_after_a_rate_limit_it_is_the_backend_that_waits_and_not_the_job() -> None:
    assert next_try(Failure.rate_limited, times=1, max_crashes=3) == AT_ONCE
    assert tries(Failure.rate_limited) == 50


@given(st.integers(min_value=1, max_value=20))
def test_a_crash_is_tried_again_at_once_but_not_for_ever(most: int) -> None:
    assert tries(Failure.crashed, max_crashes=most) == most
    assert all(
        next_try(Failure.crashed, times=times, max_crashes=most) == AT_ONCE
        for times in range(1, most)
    )


@given(st.sampled_from([*Failure, None]), st.integers(min_value=1, max_value=1000))
def test_no_wait_is_negative_and_every_cause_is_given_up_in_the_end(
    failure: Failure | None, times: int
) -> None:
    wait = next_try(failure, times=times, max_crashes=3)
    assert wait is None or AT_ONCE <= wait <= timedelta(minutes=5)
    assert next_try(failure, times=1000, max_crashes=3) is None


def test_every_cause_has_its_advice_in_one_line() -> None:
    words = [advice(failure, job_id=7, timed_out=False) for failure in [*Failure, None]]
    assert all(word.strip() and "\n" not in word for word in words)
    assert "time" in advice(None, job_id=7, timed_out=True)


def test_what_is_set_aside_says_where_its_last_words_are() -> None:
    words = advice(Failure.crashed, job_id=7, timed_out=False)
    assert "jobs/7/errors.log" in words and "pm job retry 7" in words
