"""A word to a job under way: heard by its session, once, or gone on with by another job."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from agentos.backends.claude_access import standin_access
from agentos.config import Config
from agentos.domain.states import JobState, SteerState
from agentos.domain.work import Job, JobKind, Steer
from agentos.engine.hearing import marks_in
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule
from agentos.store import pauses, steers
from agentos.store.database import Database
from tests.engine_room import EngineRoom, running

DONE: dict[str, Any] = {"blocks": [{"text": "All done."}]}


@pytest.fixture
async def room(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[EngineRoom]:
    access = standin_access(model.url, config_folder=home.claude_config)
    config = Config.model_validate({"engine": {"slots": 2, "tick_seconds": 1}})
    made = EngineRoom(database, clock=clock, home=home, access=access, config=config)
    async with running(made):
        yield made


@pytest.fixture
async def script(model: StandinProcess) -> AsyncIterator[MessagesControl]:
    async with MessagesControl(model.url) as control:
        yield control


def waits(file: str) -> dict[str, Any]:
    """A tool that runs until there is a file, which it takes away."""
    command = f"until [ -e {file} ]; do sleep 0.1; done; rm {file}"
    return {"blocks": [{"tool": "Bash", "input": {"command": command}}]}


async def plays(control: MessagesControl, prompt: str, *turn: dict[str, Any], **more: Any) -> None:
    await control.add_rules(
        [Rule.model_validate({"when": {"prompt": prompt}, "turn": list(turn), **more})]
    )


async def say(room: EngineRoom, job: Job, text: str) -> Steer:
    at = room.clock.now()
    made = await room.database.write(
        lambda c: steers.add(c, job.id or 0, text, key=f"test:{text}", at=at)
    )
    room.dispatcher.steered(job.id or 0)
    assert made is not None
    return made


async def states(room: EngineRoom, job: Job) -> list[SteerState]:
    found = await room.database.query(lambda c: steers.list_for_job(c, job.id or 0))
    return [steer.state for steer in found]


async def is_told(room: EngineRoom, job: Job, number: int = 1) -> None:
    async def told() -> bool:
        return (await states(room, job))[:number] == [SteerState.told] * number

    await room.until(told)


async def is_working(room: EngineRoom, job: Job) -> None:
    async def under_way() -> bool:
        doing = room.dispatcher.doing().get(job.id or 0, "")
        return doing not in ("", "starting", "thinking")

    await room.until(under_way, seconds=60)


def end_tool(room: EngineRoom, job: Job, file: str) -> None:
    (room.home.job_folder(job.id or 0) / "work" / file).touch()


async def test_being_unable_to_steer_is_over_a_running_job_hears_a_word_once(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "bake", waits("one"), waits("two"), DONE)
    job = await room.add("bake bread")
    await is_working(room, job)
    await say(room, job, "With rye, please.")
    await is_told(room, job)
    end_tool(room, job, "one")
    await room.until(lambda: _more_than(script, 1), seconds=60)
    # A crash: what its session's file holds is not told again, what it does not hold is.
    await is_working(room, job)
    at = room.clock.now()
    await room.database.write(lambda c: steers.add(c, job.id or 0, "No salt.", key="k", at=at))
    room.dispatcher.poke(job.id or 0)

    async def resumed() -> bool:
        return len(await room.runs(job.id)) == 2

    await room.until(resumed)
    await room.live_run(job)
    requests = await script.requests()
    await room.until(lambda: _more_than(script, len(requests)), seconds=60)
    again = (await script.requests())[len(requests)].prompt
    assert "No salt." in again and "With rye" not in again
    while (await room.job(job.id)).state is JobState.running:
        for file in ("one", "two"):
            end_tool(room, job, file)
        await asyncio.sleep(0.1)
    ended = await room.ended(job, seconds=60)
    assert ended.state is JobState.done
    assert await states(room, job) == [SteerState.heard, SteerState.heard]
    assert (await room.event_keys(job.id)).count("steer_heard") == 2
    told = [words for request in requests for words in request.told]
    assert sum("With rye" in words for words in told) == 1


async def _more_than(script: MessagesControl, number: int) -> bool:
    return len(await script.requests()) > number


async def test_a_word_that_comes_too_late_is_gone_on_with_in_the_same_session(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "shorter", {"blocks": [{"text": "Short."}]})
    await plays(script, "write", {**DONE, "delay_ms": 1500})
    job = await room.add("write a poem")
    await script.wait_for_request("write")
    # Its only request is under way already.
    await say(room, job, "Make it shorter.")
    assert (await room.ended(job, seconds=60)).state is JobState.done
    assert await states(room, job) == [SteerState.moved]
    other = await room.job((job.id or 0) + 1)
    assert other.continues_id == job.id and "Make it shorter." in other.prompt
    assert (await room.ended(other, seconds=60)).result == "Short."
    (first,) = await room.runs(job.id)
    (second,) = await room.runs(other.id)
    assert first.session_id == second.session_id and second.worker_id != first.worker_id
    assert any("After #1: Make it shorter. (#2)" in said for said in await room.said(other.id))


async def test_a_backend_without_an_ear_leads_to_a_job_that_follows(room: EngineRoom) -> None:
    blocker = await room.add("echo", backend="echo", run_at=room.clock.now())
    await say(room, blocker, "And then that.")
    await room.ended(blocker)
    assert set(await states(room, blocker)) <= {SteerState.moved, SteerState.heard}


async def test_while_it_is_paused_nothing_new_starts_and_reminders_are_said(
    room: EngineRoom,
) -> None:
    at = room.clock.now()
    until = at + timedelta(minutes=30)
    await room.database.write(lambda c: pauses.begin(c, until=until, at=at))
    reminder = await room.add("Ring", kind=JobKind.reminder)
    job = await room.add("echo", backend="echo")
    assert (await room.ended(reminder)).state is JobState.done
    (held,) = await room.dispatcher.explain()
    assert held.job.id == job.id and held.words.startswith("the owner has paused it until ")
    assert (await room.job(job.id)).state is JobState.queued
    room.clock.advance(timedelta(minutes=31))
    assert (await room.ended(job)).state is JobState.done


def test_what_only_waits_in_the_line_of_a_session_was_not_taken_in(home: Home) -> None:
    file = home.root / "session.jsonl"
    file.write_text(
        '{"type":"queue-operation","operation":"enqueue","content":"note aa11"}\n'
        '{"type":"attachment","attachment":{"prompt":"note bb22"}}\n'
        '{"type":"user","message":{"content":"note cc33"}}\n'
        '{"type":"user","message":{"content":"note dd4'
    )
    assert marks_in([file, home.root / "none"], {"aa11", "bb22", "cc33", "dd44"}) == {
        "bb22",
        "cc33",
    }
