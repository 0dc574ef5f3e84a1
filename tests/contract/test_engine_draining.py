"""An orderly end: what runs comes to a safe point, and goes on after the next start."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psutil
import pytest

from agentos.backends.claude_access import standin_access
from agentos.config import Config
from agentos.domain.states import JobState, RunState
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule
from agentos.store.database import Database
from tests.engine_room import EngineRoom, running

DONE: dict[str, Any] = {"blocks": [{"text": "All done."}]}
WAIT = {"blocks": [{"text": "Too late."}], "delay_ms": 60_000}


def a_room(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> EngineRoom:
    access = standin_access(model.url, config_folder=home.claude_config)
    config = Config.model_validate({"engine": {"slots": 3, "tick_seconds": 1}})
    return EngineRoom(database, clock=clock, home=home, access=access, config=config)


@pytest.fixture
async def room(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[EngineRoom]:
    made = a_room(database, home, clock, model)
    async with running(made):
        yield made


@pytest.fixture
async def script(model: StandinProcess) -> AsyncIterator[MessagesControl]:
    async with MessagesControl(model.url) as control:
        yield control


async def plays(control: MessagesControl, prompt: str, *turn: dict[str, Any], **more: Any) -> None:
    rule = {"when": {"prompt": prompt}, "turn": list(turn), **more}
    await control.add_rules([Rule.model_validate(rule)])


def bash(command: str) -> dict[str, Any]:
    return {"blocks": [{"tool": "Bash", "input": {"command": command}}]}


def transcript_of(room: EngineRoom, job_id: int | None) -> str:
    file = room.home.job_folder(job_id or 0) / "transcript.jsonl"
    return file.read_text() if file.exists() else ""


async def test_a_tool_may_end_and_its_result_is_in_the_session_afterwards(
    room: EngineRoom,
    script: MessagesControl,
    database: Database,
    home: Home,
    clock: VirtualClock,
    model: StandinProcess,
) -> None:
    slow = "python3 -c 'import time; time.sleep(2)' && echo 42 >> answer && cat answer"
    await plays(script, "work", bash(slow), WAIT, times=1)
    await plays(script, "work", DONE)
    job = await room.add("work")

    async def in_the_tool() -> bool:
        return '"kind": "tool"' in transcript_of(room, job.id)

    await room.until(in_the_tool)
    await room.dispatcher.stop(grace=timedelta(seconds=20))
    (cut,) = await room.runs(job.id)
    assert (cut.state, cut.detail) == (RunState.interrupted, "the daemon was stopped")
    assert (await room.job(job.id)).state is JobState.queued
    assert '"kind": "tool_result"' in transcript_of(room, job.id)
    (session,) = home.claude_config.rglob(f"{cut.session_id}.jsonl")
    assert "Tool call interrupted" not in session.read_text()
    assert '"tool_result"' in session.read_text()

    async with running(a_room(database, home, clock, model)) as again:
        ended = await again.ended(job)
        assert (ended.state, ended.result) == (JobState.done, "All done.")
        _, done = await again.runs(job.id)
        assert done.session_id == cut.session_id
    answers = home.job_folder(job.id or 0) / "work" / "answer"
    assert answers.read_text() == "42\n"
    assert "- done: Bash" in (await script.requests())[-1].prompt


async def test_what_waits_for_the_model_ends_at_once(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "think", WAIT)
    added = [await room.add(f"think {number}") for number in range(2)]
    for job in added:
        await script.wait_for_request(job.prompt)
    began = time.monotonic()
    await room.dispatcher.stop(grace=timedelta(seconds=20))
    assert time.monotonic() - began < 5
    for job in added:
        (run,) = await room.runs(job.id)
        assert (run.state, (await room.job(job.id)).state) == (
            RunState.interrupted,
            JobState.queued,
        )
        assert not psutil.pid_exists(run.pid or 0) or (
            psutil.Process(run.pid or 0).status() == psutil.STATUS_ZOMBIE
        )


async def test_a_tool_that_does_not_end_is_ended_when_the_grace_is_over(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "hang", bash("python3 -c 'import time; time.sleep(90)'"), DONE)
    job = await room.add("hang")

    async def in_the_tool() -> bool:
        return '"kind": "tool"' in transcript_of(room, job.id)

    await room.until(in_the_tool)
    began = time.monotonic()
    await room.dispatcher.stop(grace=timedelta(seconds=2))
    assert 2 <= time.monotonic() - began < 7
    (run,) = await room.runs(job.id)
    assert run.state is RunState.interrupted
    assert (await room.job(job.id)).state is JobState.queued


async def test_what_is_only_just_starting_is_put_back(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "begin", WAIT)
    await room.forks.close()  # starting it again takes a while
    job = await room.add("begin")

    async def claimed() -> bool:
        return bool(await room.runs(job.id))

    await room.until(claimed)
    began = time.monotonic()
    await room.dispatcher.stop(grace=timedelta(seconds=20))
    assert time.monotonic() - began < 5
    (run,) = await room.runs(job.id)
    assert run.state is RunState.interrupted
    assert (await room.job(job.id)).state is JobState.queued
    await asyncio.sleep(0.1)


async def test_a_warm_child_of_an_idle_worker_is_no_work_to_wait_for(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "note", DONE)
    worker = await room.add_worker("email")
    await room.ended(await room.add("note", wants_worker_id=worker.id))
    began = time.monotonic()
    await room.dispatcher.stop(grace=timedelta(seconds=20))
    assert time.monotonic() - began < 2
