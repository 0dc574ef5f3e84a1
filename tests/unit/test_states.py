from enum import StrEnum

import pytest

from agentos.domain import states
from agentos.domain.states import (
    CARDS,
    JOBS,
    MESSAGES,
    OUTBOX,
    PLANS,
    PROJECTS,
    RUNS,
    STEERS,
    TASKS,
    WORKERS,
    Actor,
    JobState,
    ProjectState,
    TaskState,
    check,
)
from agentos.errors import WrongState

TABLES = [CARDS, JOBS, MESSAGES, OUTBOX, PLANS, PROJECTS, RUNS, STEERS, TASKS, WORKERS]


@pytest.mark.parametrize("table", TABLES)
def test_every_state_has_its_line_and_every_move_somebody_who_makes_it(
    table: states.Transitions[StrEnum],
) -> None:
    kind = type(next(iter(table)))
    assert set(table) == set(kind)
    for moves in table.values():
        assert all(actors for actors in moves.values())


def test_a_task_is_made_done_by_the_gate_alone() -> None:
    makers = {by for moves in TASKS.values() for by in moves.get(TaskState.done, ())}
    assert makers == {Actor.gate}


def test_a_project_is_made_done_by_the_owner_alone() -> None:
    makers = {by for moves in PROJECTS.values() for by in moves.get(ProjectState.done, ())}
    assert makers == {Actor.owner}


def test_what_has_ended_stays_ended() -> None:
    for state in (JobState.done, JobState.cancelled):
        assert JOBS[state] == {}


def test_a_forbidden_move_names_the_thing_its_state_and_who_tried() -> None:
    with pytest.raises(WrongState, match="job 7 is done: the owner cannot make it cancelled"):
        check(JOBS, JobState.done, JobState.cancelled, by=Actor.owner, noun="job", name=7)
