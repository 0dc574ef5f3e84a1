from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.work import Job, Lane, lane_of
from agentos.engine.lanes import Room, choose

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def a_job(number: int, priority: int) -> Job:
    lane = int(lane_of(priority))
    return Job(id=number, title="t", prompt="p", priority=priority, lane=lane, created_at=NOW)


def in_order(priorities: list[int]) -> list[Job]:
    queue = [a_job(number, priority) for number, priority in enumerate(priorities, 1)]
    return sorted(queue, key=lambda job: (job.lane, job.priority, job.id))


queues = st.lists(st.integers(min_value=0, max_value=5), max_size=30).map(in_order)
rooms = st.builds(
    Room, slots=st.integers(min_value=1, max_value=8), running=st.integers(min_value=0, max_value=9)
)


@given(queues, rooms)
def test_never_above_the_slots_and_the_reserved_one(queue: list[Job], room: Room) -> None:
    chosen = choose(queue, room=room)
    assert room.running + len(chosen) <= max(room.running, room.slots + 1)
    background = [job for job in chosen if job.lane != Lane.urgent]
    if background:
        assert room.running + len(chosen) <= room.slots


@given(queues, rooms)
def test_a_job_is_never_passed_over_for_one_behind_it(queue: list[Job], room: Room) -> None:
    chosen = choose(queue, room=room)
    assert chosen == queue[: len(chosen)]


@given(queues, rooms)
def test_no_room_is_left_while_a_job_could_use_it(queue: list[Job], room: Room) -> None:
    chosen = choose(queue, room=room)
    waiting = queue[len(chosen) :]
    if waiting:
        running = room.running + len(chosen)
        limit = room.slots + 1 if waiting[0].lane == Lane.urgent else room.slots
        assert running >= limit


def test_the_reserved_slot_takes_an_urgent_job_when_all_others_are_full() -> None:
    full = Room(slots=2, running=2)
    assert choose([a_job(1, 2)], room=full) == []
    assert [job.id for job in choose([a_job(2, 0), a_job(3, 1)], room=full)] == [2]


def test_priorities_fall_into_three_lanes() -> None:
    lanes = [lane_of(priority) for priority in range(6)]
    urgent, normal, background = Lane.urgent, Lane.normal, Lane.background
    assert lanes == [urgent, urgent, normal, background, background, background]
