"""Every change of a state leaves an event, and whoever reads the stream sees each of them once."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from agentos.domain.states import (
    JOBS,
    PLANS,
    PROJECTS,
    TASKS,
    CardState,
    RunState,
    TaskState,
)
from agentos.domain.talk import Card, CardKind
from agentos.domain.work import Job, Plan, Project, Task, TaskKind
from agentos.home import Home
from agentos.store import (
    cards,
    events,
    jobs,
    plans,
    pools,
    projects,
    rows,
    runs,
    tasks,
)
from agentos.store.database import Database
from tests.row_room import NOW, Rows


@pytest.fixture
def there(any_database: Database, home: Home) -> Rows:
    return Rows(any_database, home)


def a_plan() -> Plan:
    return Plan(
        conversation="terminal:main",
        title="P",
        request="r",
        goal="g",
        steps=[],
        created_at=NOW,
        updated_at=NOW,
    )


def a_job() -> Job:
    return Job(title="T", prompt="P", created_at=NOW)


def a_task() -> Task:
    return Task(title="T", kind=TaskKind.ops, created_at=NOW, updated_at=NOW)


def walk(there: Rows, table: Any, make: Any, move: Any, kind: Any, noun: str) -> None:
    """Make each move that the table allows, and look for its event."""
    for old, moves in table.items():
        for new, actors in moves.items():
            if noun == "task" and new is TaskState.done:
                continue  # that takes a review: see test_store
            with there.database.begin() as connection:
                made = make(connection)
                rows.change(connection, kind, made, state=old)
                before = events.newest_id(connection)
                move(connection, made, new, by=min(actors), at=NOW)
                keys = [event.key for event in events.list_since(connection, before)]
            assert f"{noun}_{new.value}" in keys, f"{noun}: {old} → {new}"


def test_every_move_of_a_job_a_task_a_plan_and_a_project_is_an_event(there: Rows) -> None:
    numbers = iter(range(100))
    walk(
        there,
        JOBS,
        lambda connection: (
            jobs.enqueue(connection, jobs.Job(title="T", prompt="P", created_at=NOW)).id
        ),
        jobs.move,
        Job,
        "job",
    )
    walk(
        there,
        TASKS,
        lambda connection: tasks.add(connection, a_task()).id,
        tasks.move,
        Task,
        "task",
    )
    walk(
        there,
        PLANS,
        lambda connection: plans.add(connection, a_plan()).id,
        plans.move,
        Plan,
        "plan",
    )
    walk(
        there,
        PROJECTS,
        lambda connection: (
            projects.add(connection, name=f"p{next(numbers)}", description="", at=NOW).id
        ),
        projects.move,
        Project,
        "project",
    )


@pytest.mark.parametrize(
    "end", [state for state in RunState if state not in ("starting", "running")]
)
def test_every_move_of_a_run_is_an_event(there: Rows, end: RunState) -> None:
    there.ask("worker.add", name="ada")
    run = there.start(there.job(worker="ada")["id"], "ada")
    with there.database.begin() as connection:
        runs.change_live(connection, run, state=RunState.running, heartbeat_at=NOW)
        runs.heartbeat(connection, run, now=NOW, lease=timedelta(minutes=2))
        runs.settle(connection, run, end, at=NOW, detail=None)
        told = events.list_since(connection, 0, job_id=run.job_id)
    assert [event.key for event in told][1:] == ["run_started", "run_running", "run_settled"]
    assert told[-1].data["outcome"] == end.value


def test_cards_workers_and_pools_leave_events(there: Rows) -> None:
    card = Card(
        kind=CardKind.ask,
        channel="terminal",
        conversation="terminal:main",
        question="?",
        options=[{"key": "go", "label": "Go"}],
        created_at=NOW,
    )
    with there.database.begin() as connection:
        opened = cards.open_card(connection, card).id or 0
        cards.answer(connection, opened, "go", via="terminal", at=NOW)
        other = cards.open_card(connection, card).id or 0
        cards.cancel(connection, other, at=NOW)
        assert cards.get(connection, other).state is CardState.cancelled
        for at in (NOW, NOW + timedelta(hours=6)):
            pools.spend(connection, "claude", tokens=5, at=at)
        pools.rest(connection, "claude", until=NOW + timedelta(hours=9), at=NOW)
        pools.wake(connection, "claude", at=NOW)
    there.ask("worker.add", name="ada")
    there.ask("worker.retire", worker="ada")
    assert there.keys() == [
        "card_opened",
        "card_answered",
        "card_opened",
        "card_cancelled",
        *["pool_began"] * 3,
        "backend_rests",
        "backend_wakes",
        "worker_added",
        "worker_retired",
    ]


def test_the_stream_is_read_in_pieces_without_a_gap(there: Rows) -> None:
    for _ in range(7):
        there.job()
    seen: list[int] = []
    last = 0
    while True:
        answer = there.ask("engine.events", since=last, limit=3)
        seen += [event["id"] for event in answer["events"]]
        last = answer["last"]
        if not answer["more"]:
            break
    assert seen == sorted(set(seen))
    assert len(seen) == 7
    assert there.ask("engine.events", newest=True)["last"] == seen[-1]


def test_a_smaller_id_that_is_committed_later_is_not_missed(there: Rows) -> None:
    """On Postgres an id is taken before the commit; SQLite lets one write at a time."""
    written, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with there.database.begin() as connection:
            jobs.enqueue(connection, a_job())
            written.set()
            go_on.wait(10)

    thread = threading.Thread(target=slow)
    thread.start()
    written.wait(10)
    if not there.database.is_sqlite:
        there.job(title="Quick")
    release = threading.Timer(0.3, go_on.set)
    release.start()
    seen, last = [], 0
    for _ in range(3):
        answer = there.ask("engine.events", since=last)
        seen += [event["id"] for event in answer["events"]]
        last = answer["last"]
        thread.join(10)
    with there.database.read() as connection:
        assert seen == [event.id for event in events.list_since(connection, 0)]
    assert len(seen) == (1 if there.database.is_sqlite else 2)
