"""What goes wrong around a run costs as little as it can."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from sqlalchemy import Connection, text

from agentos.backends.claude_access import standin_access
from agentos.config import Config
from agentos.control.operations.jobs import JobAdd
from agentos.domain.frames import TurnEnded
from agentos.domain.states import JobState
from agentos.domain.work import Job
from agentos.errors import BadRequest, StoreUnusable
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule
from agentos.store import jobs, outbox
from agentos.store.database import Database
from tests.engine_room import EngineRoom, running


@pytest.fixture
async def room(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[EngineRoom]:
    config = Config.model_validate({"engine": {"slots": 2, "tick_seconds": 1}})
    access = standin_access(model.url, config_folder=home.claude_config)
    made = EngineRoom(database, clock=clock, home=home, access=access, config=config)
    async with running(made):
        yield made


async def plays(model: StandinProcess, prompt: str, *turn: dict[str, Any]) -> None:
    async with MessagesControl(model.url) as control:
        rule = {"when": {"prompt": prompt}, "turn": list(turn)}
        await control.add_rules([Rule.model_validate(rule)])


def bash(command: str) -> dict[str, Any]:
    return {"blocks": [{"tool": "Bash", "input": {"command": command}}]}


DONE: dict[str, Any] = {"blocks": [{"text": "Done."}]}


async def test_a_store_that_is_full_for_a_moment_does_not_cost_the_run(
    room: EngineRoom, model: StandinProcess
) -> None:
    await plays(model, "hiccup", bash("python3 -c 'import time; time.sleep(1)'"), DONE)
    write, refused = room.database.write, 0

    async def full_at_times(work: Any, **more: Any) -> Any:
        nonlocal refused
        if "change_live" in work.__code__.co_names and refused < 1:
            refused += 1
            raise StoreUnusable(url="x", problem="full", mend="Free some space.")
        return await write(work, **more)

    room.database.write = full_at_times  # type: ignore[method-assign]
    job = await room.ended(await room.add("hiccup"))
    assert (job.state, refused) == (JobState.done, 1)
    assert len(await room.runs(job.id)) == 1


async def test_a_file_with_an_impossible_name_does_not_cost_the_work(
    room: EngineRoom, model: StandinProcess
) -> None:
    odd = """python3 -c 'open(b"{{artefacts}}/caf\\xe9.txt", "w").write("x")'"""
    await plays(model, "name it oddly", bash(odd), DONE)
    job = await room.ended(await room.add("name it oddly"))
    assert job.state is JobState.done
    assert len(await room.runs(job.id)) == 1
    assert "its name cannot be sent" in (await room.said(job.id))[0]


async def test_a_server_of_ours_that_was_killed_comes_back_where_it_was(
    model: StandinProcess,
) -> None:
    address = model.url
    os.kill(model.pid, signal.SIGKILL)
    while model.running:
        await asyncio.sleep(0.01)
    await model.relaunch()
    assert model.url == address
    async with MessagesControl(address) as control:
        assert await control.requests() == []


async def test_many_jobs_for_one_busy_worker_do_not_hide_a_free_one(
    room: EngineRoom, model: StandinProcess
) -> None:
    await plays(model, "keep at it", bash("python3 -c 'import time; time.sleep(20)'"), DONE)
    await plays(model, "quickly", DONE)
    worker = await room.add_worker("email", model="opus")
    await room.live_run(await room.add("keep at it", wants_worker_id=worker.id, model="opus"))
    for _ in range(60):
        await room.add("later", wants_worker_id=worker.id, model="opus")
    free = await room.ended(await room.add("quickly"), seconds=10)
    assert free.state is JobState.done


async def test_nothing_is_left_running_when_the_engine_ends(room: EngineRoom) -> None:
    await room.ended(await room.add("write a note"))
    await room.forks.close()
    mine = psutil.Process().children(recursive=True)
    assert not [p for p in mine if "fork server" in " ".join(p.cmdline())]


@pytest.mark.parametrize("name", ["../..", "/etc", "a/b", ".hidden", ""])
def test_a_workers_name_is_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="worker"):
        JobAdd.model_validate({"title": "t", "prompt": "p", "worker": name, "model": "m"})


def test_a_step_may_name_the_same_need_twice(any_database: Database, clock: VirtualClock) -> None:
    def a_job() -> Job:
        return Job(title="t", prompt="p", created_at=clock.now())

    with any_database.begin() as connection:
        first = jobs.enqueue(connection, a_job())
        second = jobs.enqueue(connection, a_job(), needs=[first.id or 0, first.id or 0])
        assert [job.id for job in jobs.needs_of(connection, second.id or 0)] == [first.id]


def test_what_a_model_says_can_be_stored(any_database: Database, clock: VirtualClock) -> None:
    said = TurnEnded(turn_id="1", text="a\x00b\ud800c", structured={"x\x00": ["\udfff"]})
    assert (said.text, said.structured) == ("ab?c", {"x": ["?"]})
    with any_database.begin() as connection:
        outbox.say(connection, key="k", conversation="c:1", text=said.text, at=clock.now())


def test_the_hot_questions_are_answered_from_their_index(database: Database) -> None:
    plans = []

    def explain(connection: Connection) -> None:
        for table, where in (
            ("outbox", "channel = 'telegram' AND outbox.state IN ('pending', 'sending')"),
            ("job", "job.state = 'queued' ORDER BY turn_at, id"),
        ):
            rows = connection.execute(
                text(f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE {where}")
            )
            plans.append(" ".join(str(row[-1]) for row in rows))

    with database.read() as connection:
        explain(connection)
    assert "ix_outbox_open" in plans[0]
    assert "ix_job_queue" in plans[1] and "TEMP B-TREE" not in plans[1]


def test_a_worker_that_takes_no_jobs_is_refused_by_name(
    database: Database, clock: VirtualClock, home: Home
) -> None:
    from agentos.control.operations.jobs import add
    from agentos.control.operations.operation import Here
    from agentos.domain.work import Worker
    from agentos.store import workers

    with database.begin() as connection:
        row = Worker(name="claude-1-1", model="sonnet", created_at=clock.now())
        workers.add(connection, row)
        params = JobAdd.model_validate({"title": "t", "prompt": "p", "worker": "claude-1-1"})
        with pytest.raises(BadRequest, match="does not take jobs by name"):
            add(connection, params, Here(at=clock.now(), home=home, config=Config()))
