from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.work import PATIENCE, Lane, lane_of, turn_of

NOW = datetime(2026, 11, 21, tzinfo=UTC)
priorities = st.integers(min_value=0, max_value=5)
moments = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=2)).map(
    lambda since: NOW + since
)


def test_priorities_fall_into_three_lanes() -> None:
    lanes = [lane_of(priority) for priority in range(6)]
    urgent, normal, background = Lane.urgent, Lane.normal, Lane.background
    assert lanes == [urgent, urgent, normal, background, background, background]


def test_every_priority_has_its_patience_and_a_lower_one_has_more() -> None:
    assert len(PATIENCE) == 6
    assert PATIENCE[0] == timedelta()
    assert list(PATIENCE) == sorted(set(PATIENCE))


@given(priorities, priorities, moments)
def test_of_jobs_that_came_together_the_higher_priority_has_its_turn_first(
    one: int, other: int, since: datetime
) -> None:
    if one < other:
        assert turn_of(one, since=since) < turn_of(other, since=since)


@given(priorities, moments, moments)
def test_of_one_priority_the_older_has_its_turn_first(
    priority: int, older: datetime, newer: datetime
) -> None:
    if older < newer:
        assert turn_of(priority, since=older) < turn_of(priority, since=newer)


@given(priorities, priorities, moments, moments)
def test_a_lower_priority_goes_first_only_when_it_waited_longer_by_the_difference_of_patience(
    higher: int, lower: int, came: datetime, before: datetime
) -> None:
    if higher >= lower:
        return
    goes_first = turn_of(lower, since=before) <= turn_of(higher, since=came)
    assert goes_first == (came - before >= PATIENCE[lower] - PATIENCE[higher])


@given(priorities, moments)
def test_what_comes_after_its_patience_never_overtakes_a_job(
    priority: int, since: datetime
) -> None:
    late = since + max(PATIENCE)
    assert all(turn_of(each, since=late) >= turn_of(priority, since=since) for each in range(6))
