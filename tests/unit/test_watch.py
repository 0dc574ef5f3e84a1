"""The time of a run: what is due next, and what puts it off."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from agentos.engine.watch import Due, Watch


def a_watch(*, allowed: int = 1000, warn_at: float = 0.8) -> Watch:
    return Watch(
        now=0,
        allowed=timedelta(seconds=allowed),
        silence=timedelta(seconds=120),
        standstill=timedelta(seconds=300),
        warn_at=warn_at,
    )


def test_who_says_nothing_is_silent_after_a_lease() -> None:
    watch = a_watch()
    assert watch.next_due() == (120, Due.silence)
    watch.heard(100, grew=False)
    assert watch.next_due() == (220, Due.silence)


def test_signs_of_life_alone_are_a_standstill_in_the_end() -> None:
    watch = a_watch()
    for moment in range(0, 300, 30):
        watch.heard(moment, grew=False)
    assert watch.next_due() == (300, Due.standstill)
    watch.heard(290, grew=True)
    assert watch.next_due() == (410, Due.silence)


def test_it_is_warned_once_before_its_time_is_up() -> None:
    watch = a_watch(allowed=100)
    assert watch.next_due() == (80, Due.warning)
    watch.warned()
    assert watch.next_due() == (100, Due.time_up)
    assert watch.left(80) == timedelta(seconds=20)
    assert watch.left(101) == timedelta()


def test_a_turn_without_a_warning_has_none() -> None:
    assert a_watch(allowed=100, warn_at=1.0).next_due() == (100, Due.time_up)


def test_time_that_a_hand_over_took_is_given_back() -> None:
    watch = a_watch(allowed=100)
    watch.lengthen(timedelta(seconds=50), now=50)
    assert watch.next_due() == (130, Due.warning)
    watch.warned()
    assert watch.next_due() == (150, Due.time_up)


@given(st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=40))
def test_whatever_is_heard_its_time_is_up_when_it_is(told: list[tuple[float, bool]]) -> None:
    watch, now = a_watch(), 0.0
    for gap, grew in told:
        now += gap
        watch.heard(now, grew=grew)
        moment, due = watch.next_due()
        assert moment <= 1000
        assert due is not Due.time_up or moment == 1000
