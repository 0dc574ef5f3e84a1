"""What lives, what stands still, what is told to hurry, and what is ended, and how fast."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import psutil
import pytest

from agentos.backends.claude_access import ModelAccess, standin_access
from agentos.config import Config
from agentos.domain.states import Actor, JobState, RunState
from agentos.domain.work import Job
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule
from agentos.store import jobs, usage
from agentos.store.database import Database
from tests.engine_room import EngineRoom, running

DONE: dict[str, Any] = {"blocks": [{"text": "All done."}]}
WAIT = {"blocks": [{"text": "Too late."}], "delay_ms": 60_000}
Opener = Callable[..., Awaitable[EngineRoom]]


@pytest.fixture
async def opened(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[Opener]:
    """Opens the room with settings of the engine."""
    access: ModelAccess = standin_access(model.url, config_folder=home.claude_config)
    stack: list[Any] = []

    async def open_(**engine: Any) -> EngineRoom:
        config = Config.model_validate({"engine": {"slots": 2, "tick_seconds": 1, **engine}})
        room = EngineRoom(database, clock=clock, home=home, access=access, config=config)
        context = running(room)
        stack.append(context)
        return await context.__aenter__()

    yield open_
    for context in stack:
        await context.__aexit__(None, None, None)


@pytest.fixture
async def script(model: StandinProcess) -> AsyncIterator[MessagesControl]:
    async with MessagesControl(model.url) as control:
        yield control


async def plays(control: MessagesControl, prompt: str, *turn: dict[str, Any], **more: Any) -> None:
    rule = {"when": {"prompt": prompt}, "turn": list(turn), **more}
    await control.add_rules([Rule.model_validate(rule)])


def bash(command: str) -> dict[str, Any]:
    return {"blocks": [{"tool": "Bash", "input": {"command": command}}]}


async def cancel(room: EngineRoom, job: Job) -> None:
    await room.database.write(
        lambda c: jobs.move(c, job.id or 0, JobState.cancelled, by=Actor.owner, at=room.clock.now())
    )


async def settled(room: EngineRoom, job: Job, *, seconds: float = 10) -> RunState:
    """How the newest run of a job has ended."""

    async def over() -> RunState | None:
        found = await room.runs(job.id)
        ended = [run.state for run in found if run.finished_at is not None]
        return ended[-1] if found and len(ended) == len(found) else None

    state: RunState = await room.until(over, seconds=seconds)
    return state


def tree_of(pid: int | None) -> list[psutil.Process]:
    process = psutil.Process(pid or 0)
    return [process, *process.children(recursive=True)]


@pytest.mark.parametrize("victim", ["cli", "child"])
async def test_what_is_frozen_is_ended_and_resumed(
    opened: Opener, script: MessagesControl, victim: str
) -> None:
    """A frozen CLI: heartbeats come, and nothing grows. A frozen child: no heartbeats."""
    patience = {"lease_seconds": 4} if victim == "child" else {"stall_seconds": 8}
    room = await opened(heartbeat_seconds=0.2, **patience)
    await plays(script, "work on", WAIT, times=1)
    await plays(script, "work on", DONE)
    job = await room.add("work on")
    run = await room.live_run(job)
    await script.wait_for_request("work on")
    child, *others = tree_of(run.pid)
    frozen = child if victim == "child" else next(p for p in others if p.name() == "claude")
    frozen.send_signal(signal.SIGSTOP)
    ended = await room.ended(job, seconds=60)
    assert ended.state is JobState.done
    first, second = await room.runs(job.id)
    assert first.session_id == second.session_id
    assert (first.state, first.failure) == (RunState.failed, "crashed")
    words = "it stood still for 8 seconds" if victim == "cli" else "the worker gave no sign of life"
    assert (first.detail or "").startswith(words)
    assert not psutil.pid_exists(frozen.pid) or frozen.status() == psutil.STATUS_ZOMBIE


async def test_a_long_tool_that_says_nothing_is_a_standstill_and_one_that_ends_is_not(
    opened: Opener, script: MessagesControl
) -> None:
    room = await opened(heartbeat_seconds=0.2, stall_seconds=6)
    step = bash("python3 -c 'import time; time.sleep(2)'")
    await plays(script, "keep going", step, step, step, step, DONE)
    job = await room.ended(await room.add("keep going"), seconds=60)
    assert job.state is JobState.done
    assert len(await room.runs(job.id)) == 1


async def test_a_job_is_told_to_hurry_before_its_time_is_up(
    opened: Opener, script: MessagesControl
) -> None:
    room = await opened(warn_at=0.01)
    step = bash("python3 -c 'import time; time.sleep(3)'")
    await plays(script, "take your time", step, DONE)
    job = await room.ended(await room.add("take your time", timeout_seconds=120), seconds=60)
    assert job.state is JobState.done
    told = [words for request in await script.requests() for words in request.told]
    (words,) = told
    assert re.search(r"you have 1\d\d seconds left for this task", words)
    transcript = (room.home.job_folder(job.id or 0) / "transcript.jsonl").read_text()
    assert transcript.count('"kind": "nudge"') == 1 and '"taken": true' in transcript


async def test_a_run_that_is_ended_is_billed_for_what_it_used(
    opened: Opener, script: MessagesControl
) -> None:
    room = await opened()
    first = {**bash("echo one > a"), "usage": {"input_tokens": 1234}}
    await plays(script, "dawdle", first, WAIT)
    job = await room.ended(await room.add("dawdle", timeout_seconds=15), seconds=60)
    assert job.state is JobState.failed
    total = await room.database.query(lambda c: usage.total_for_job(c, job.id or 0))
    assert total.input_tokens == 1234


async def test_a_poked_job_is_resumed_at_once_and_has_not_failed(
    opened: Opener, script: MessagesControl
) -> None:
    room = await opened(max_attempts=1)
    for _ in range(3):
        await plays(script, "work on", WAIT, times=1)
    await plays(script, "work on", DONE)
    job = await room.add("work on")
    for number in range(3):
        await room.until(partial(_asked, script, "work on", number + 1))
        await room.until(partial(_session_is_written, room, job))
        room.dispatcher.poke(job.id or 0)
    ended = await room.ended(job)
    assert ended.state is JobState.done
    attempts = await room.runs(job.id)
    assert [run.state for run in attempts] == [RunState.interrupted] * 3 + [RunState.done]
    assert len({run.session_id for run in attempts}) == 1
    assert {run.detail for run in attempts[:3]} == {"it was poked"}


async def _session_is_written(room: EngineRoom, job: Job) -> bool:
    """The CLI writes its session a moment after it has begun."""
    session_id = (await room.runs(job.id))[-1].session_id
    files = [*room.home.claude_config.rglob(f"{session_id}.jsonl")]
    return bool(files) and "work on" in files[0].read_text()


async def _asked(script: MessagesControl, prompt: str, times: int) -> bool:
    return sum(prompt in request.prompt for request in await script.requests()) >= times


async def test_what_waits_is_cancelled_without_ever_starting(
    opened: Opener, script: MessagesControl, clock: VirtualClock
) -> None:
    room = await opened(slots=1)
    await plays(script, "busy", WAIT)
    worker = await room.add_worker("email")
    busy = await room.add("busy", wants_worker_id=worker.id)
    await room.live_run(busy)
    waiting = [
        await room.add("queued"),
        await room.add("due later", run_at=clock.now() + timedelta(hours=1)),
        await room.add("needs something", needs=[busy.id or 0]),
        await room.add("wants a busy worker", wants_worker_id=worker.id),
    ]
    for job in waiting:
        await cancel(room, job)
    await cancel(room, busy)
    assert await settled(room, busy, seconds=2) is RunState.cancelled
    await asyncio.sleep(0.3)
    for job in waiting:
        assert (await room.job(job.id)).state is JobState.cancelled
        assert await room.runs(job.id) == []


@pytest.mark.parametrize(
    "moment", ["claimed", "forking", "opening", "in a model call", "in a tool"]
)
async def test_cancelling_takes_less_than_two_seconds_whatever_it_does(
    opened: Opener, script: MessagesControl, moment: str
) -> None:
    room = await opened()
    marker = f"sleep 28{os.getpid() % 1000:03d}"
    await plays(script, "call", WAIT)
    await plays(script, "tool", bash(f"(setsid {marker} &) ; {marker}"), DONE)
    if moment == "forking":
        await room.forks.close()  # starting it again takes a while, in which there is no child
    job = await room.add("tool" if moment == "in a tool" else "call")
    match moment:
        case "claimed" | "forking":
            await room.until(lambda: _has_run(room, job))
        case "opening":
            await room.until(lambda: _child_of(room, job))
        case "in a model call":
            await script.wait_for_request("call")
        case _:
            await room.until(lambda: _sleeping(marker))
    began = time.monotonic()
    await cancel(room, job)
    assert await settled(room, job) is RunState.cancelled

    async def nothing_left() -> bool:
        return not await _child_of(room, job) and not await _sleeping(marker)

    await room.until(nothing_left)
    assert time.monotonic() - began < 2
    assert (await room.job(job.id)).state is JobState.cancelled


async def _has_run(room: EngineRoom, job: Job) -> bool:
    return bool(await room.runs(job.id))


async def _child_of(room: EngineRoom, job: Job) -> list[int]:
    """The processes of a job, by the title of its child."""
    title = f"agentos: job {job.id}"
    return [
        process.pid
        for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE and title in " ".join(process.cmdline())
    ]


async def _sleeping(marker: str) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[-2:] == marker.split()
    ]


async def test_a_job_that_crashes_again_and_again_tells_its_last_words(
    opened: Opener, script: MessagesControl
) -> None:
    room = await opened(max_attempts=2)
    die = bash("kill -9 $PPID")
    await plays(script, "crash", die, DONE)
    job = await room.ended(await room.add("crash"), seconds=60)
    assert job.state is JobState.failed and len(await room.runs(job.id)) == 2
    assert "\n" not in (job.error or "\n")
    assert f"jobs/{job.id}/errors.log" in (await room.said(job.id))[0]
