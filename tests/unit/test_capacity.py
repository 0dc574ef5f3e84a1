from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from agentos.config import Config
from agentos.domain.capacity import Pool, Span
from agentos.engine.capacity import (
    levels,
    limits_of,
    next_reset,
    resting_backends,
    shown,
    spared_pools,
)
from agentos.engine.machine import Machine
from agentos.settings import Capacity

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)
ALL = Capacity(
    five_hour_tokens=1000, five_hour_turns=10, weekly_tokens=5000, weekly_turns=50, pause_at=0.8
)


def a_pool(span: Span = Span.five_hours, *, ago: timedelta = HOUR, **more: object) -> Pool:
    return Pool(**{"backend": "claude", "span": span, "began_at": NOW - ago, **more})


def resting(*known: Pool, capacity: Capacity = ALL, now: datetime = NOW) -> dict[str, str]:
    return resting_backends(known, capacity, now=now, zone=BERLIN)


def spared(*known: Pool, capacity: Capacity = ALL, now: datetime = NOW) -> dict[str, str]:
    return spared_pools(known, capacity, now=now, zone=BERLIN)


pools_ = st.lists(
    st.builds(
        a_pool,
        st.sampled_from(Span),
        ago=st.timedeltas(min_value=-HOUR * 24, max_value=HOUR * 24 * 9),
        backend=st.sampled_from(["claude", "codex"]),
        tokens=st.integers(0, 6000),
        turns=st.integers(0, 60),
    ),
    max_size=4,
    unique_by=lambda pool: (pool.backend, pool.span),
)


def test_the_limits_are_those_that_the_owner_has_set() -> None:
    config = Config()
    config.engine.slots, config.engine.project_slots = 5, 2
    config.capacity.window_tokens, config.capacity.deep_queue = 123, 7
    limits = limits_of(config)
    assert (limits.slots, limits.project_slots, limits.template_slots) == (5, 2, 1)
    assert (limits.window_tokens, limits.backpressure, limits.deep_queue) == (123, 0.8, 7)


def test_a_pool_is_as_full_as_its_tokens_or_its_turns_whichever_is_more() -> None:
    (by_tokens,) = levels([a_pool(tokens=600, turns=2)], ALL, now=NOW)
    (by_turns,) = levels([a_pool(tokens=100, turns=9)], ALL, now=NOW)
    assert (by_tokens.share, by_turns.share) == (0.6, 0.9)


def test_a_pool_without_a_limit_has_no_level() -> None:
    assert levels([a_pool(tokens=10**9)], Capacity(), now=NOW) == []
    weekly = Capacity(weekly_tokens=10)
    assert levels([a_pool(tokens=10**9)], weekly, now=NOW) == []


def test_below_the_owners_reserve_all_work_starts() -> None:
    pool = a_pool(tokens=799)
    assert resting(pool) == {} and spared(pool) == {}


def test_from_a_share_on_the_rest_is_kept_for_the_owner() -> None:
    pool = a_pool(tokens=800)
    assert resting(pool) == {}
    assert spared(pool) == {
        "claude": "80% of the 5-hour pool of claude is used: the rest is kept for urgent work "
        "until 17:00"
    }


def test_an_empty_pool_takes_nothing_until_its_reset() -> None:
    assert resting(a_pool(tokens=1000)) == {
        "claude": "the 5-hour pool of claude is empty until 17:00"
    }
    weekly = a_pool(Span.week, turns=50, ago=6 * 24 * HOUR)
    assert resting(weekly) == {
        "claude": "the weekly pool of claude is empty until Sun 22 Nov, 13:00"
    }


def test_of_two_empty_pools_the_later_reset_is_told() -> None:
    short, long = a_pool(tokens=1000), a_pool(Span.week, tokens=5000)
    told = {"claude": "the weekly pool of claude is empty until Sat 28 Nov, 12:00"}
    assert resting(short, long) == told
    assert resting(long, short) == told


def test_a_pool_ends_at_its_reset() -> None:
    pool = a_pool(tokens=1000, ago=5 * HOUR - timedelta(seconds=1))
    assert resting(pool)
    assert not resting(pool, now=pool.resets_at)
    assert next_reset([pool], ALL, now=NOW) == pool.resets_at


def test_a_pool_of_a_clock_that_was_ahead_holds_nothing() -> None:
    ahead = a_pool(ago=-24 * HOUR, tokens=1000)
    assert resting(ahead) == {} and spared(ahead) == {}
    assert next_reset([ahead], ALL, now=NOW) is None


def test_a_backend_rests_as_long_as_it_has_said() -> None:
    pool = a_pool(rests_from=NOW, rests_until=NOW + HOUR)
    assert resting(pool) == {"claude": "claude has reached its limit and rests until 14:00"}
    assert not resting(pool, now=NOW + HOUR)
    assert next_reset([pool], ALL, now=NOW) == NOW + HOUR


def test_a_rest_that_was_told_while_the_clock_was_ahead_ends_when_it_is_set_back() -> None:
    ahead = a_pool(rests_from=NOW + 24 * HOUR, rests_until=NOW + 29 * HOUR)
    assert resting(ahead) == {}
    assert next_reset([ahead], ALL, now=NOW) is None


def test_a_rest_from_before_a_jump_of_the_clock_is_over_after_it() -> None:
    assert resting(a_pool(rests_from=NOW - 2 * HOUR, rests_until=NOW - HOUR)) == {}


@given(pools_)
def test_what_is_empty_is_kept_for_nobody_and_every_reason_says_until_when(
    known: list[Pool],
) -> None:
    empty, kept = resting(*known), spared(*known)
    assert set(empty) <= set(kept)
    for words in [*empty.values(), *kept.values()]:
        assert "until" in words and "\n" not in words


@given(pools_)
def test_with_anything_held_there_is_a_moment_when_it_is_looked_at_again(
    known: list[Pool],
) -> None:
    held = {*resting(*known), *spared(*known)}
    moment = next_reset(known, ALL, now=NOW)
    assert (moment is not None) == bool(held)
    if moment is not None:
        assert NOW < moment <= NOW + Span.week.length
        after = {*resting(*known, now=moment), *spared(*known, now=moment)}
        longer = [pool for pool in known if pool.resets_at > moment]
        assert after <= {pool.backend for pool in longer}


@given(pools_)
def test_everything_takes_work_again_in_the_end(known: list[Pool]) -> None:
    later = NOW + 9 * 24 * HOUR
    assert resting(*known, now=later) == {} and spared(*known, now=later) == {}


def test_a_time_is_told_with_its_day_when_that_is_another_one() -> None:
    assert shown(NOW + HOUR, now=NOW, zone=BERLIN) == "14:00"
    assert shown(NOW + 12 * HOUR, now=NOW, zone=BERLIN) == "Sun 22 Nov, 01:00"


def test_a_machine_that_bears_it_says_nothing() -> None:
    machine = Machine(least_memory_mb=0, most_load=10_000)
    assert machine.strain == "" and not machine.short_of_memory


def test_a_machine_without_memory_says_how_much_is_left() -> None:
    machine = Machine(least_memory_mb=10**9, most_load=10_000)
    assert machine.strain.startswith("the machine has ") and "MB of memory left" in machine.strain
    assert machine.short_of_memory


def test_a_machine_with_too_much_to_do_says_how_much() -> None:
    assert "a load of" in Machine(least_memory_mb=0, most_load=-1).strain
