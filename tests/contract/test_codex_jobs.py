"""Jobs for the codex backend through the whole engine: fork server, child, real CLI."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agentos.backends import npm
from agentos.backends.claude_access import standin_access
from agentos.backends.reach import Reach
from agentos.config import Config
from agentos.domain.states import Actor, JobState, RunState
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule
from agentos.store import jobs, usage
from agentos.store.database import Database
from tests.cli_room import CLIS, installed, processes_in
from tests.engine_room import EngineRoom, running

SLOW = {"tool": "exec_command", "input": {"cmd": "sleep 300 & setsid sleep 301 & sleep 302"}}
DONE: dict[str, Any] = {"blocks": [{"text": "All done."}]}


@pytest.fixture(scope="module")
def responses() -> Iterator[StandinProcess]:
    made = StandinProcess.start_blocking("responses")
    yield made
    made.stop_blocking()


@pytest.fixture
async def script(responses: StandinProcess) -> AsyncIterator[MessagesControl]:
    async with MessagesControl(responses.url) as control:
        await control.reset()
        yield control


def room_of(
    database: Database, home: Home, clock: VirtualClock, *, others: dict[str, str]
) -> EngineRoom:
    config = Config.model_validate({"engine": {"slots": 2, "tick_seconds": 1}})
    access = standin_access("http://127.0.0.1:9", config_folder=home.claude_config)
    return EngineRoom(database, clock=clock, home=home, access=access, config=config, others=others)


@pytest.fixture
async def room(
    database: Database, home: Home, clock: VirtualClock, responses: StandinProcess
) -> AsyncIterator[EngineRoom]:
    reach = Reach(
        backend="codex",
        program=await installed("codex"),
        path=npm.path_with_node(CLIS),
        url=responses.url,
        token="only-for-the-gateway",
        model="our-model",
        state=home.backends / "codex" / "state",
    )
    made = room_of(database, home, clock, others=dict([reach.variable]))
    async with running(made):
        yield made


async def plays(control: MessagesControl, prompt: str, *turn: dict[str, Any], **more: Any) -> None:
    rule = {"when": {"prompt": prompt}, "turn": list(turn), **more}
    await control.add_rules([Rule.model_validate(rule)])


async def test_a_job_is_done_by_codex_and_what_it_used_is_recorded(
    room: EngineRoom, script: MessagesControl, database: Database
) -> None:
    makes = {"tool": "exec_command", "input": {"cmd": "echo made > {{artefacts}}/made.txt"}}
    await plays(script, "Make a file", {"blocks": [makes]}, DONE)
    job = await room.ended(await room.add("Make a file", backend="codex"))
    assert (job.state, job.result) == (JobState.done, "All done.")
    folder = room.home.job_folder(job.id or 0)
    assert (folder / "artefacts" / "made.txt").read_text() == "made\n"
    lines = (folder / "transcript.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds == ["prompt", "session", "tool", "tool_result", "text", "result"]
    requests = await script.requests()
    assert {seen.model for seen in requests} == {"our-model"}
    manual = room.home.find("CLAUDE.md").read_text().splitlines()[0]
    assert manual in requests[0].system
    used = await database.query(lambda connection: usage.total_for_job(connection, job.id or 0))
    assert used.input_tokens == sum(seen.input_tokens for seen in requests)
    assert used.output_tokens > 0


async def test_a_killed_child_resumes_its_session(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "Long work", {"blocks": [SLOW]}, times=1)
    await plays(script, "Long work", DONE)
    job = await room.add("Long work", backend="codex")
    run = await room.live_run(job)

    async def at_work() -> bool:
        return any("sleep 302" in each for each in processes_in(room.home.job_folder(job.id or 0)))

    await room.until(at_work)
    assert run.pid is not None
    os.kill(run.pid, signal.SIGKILL)
    job = await room.ended(job)
    assert job.state is JobState.done
    first, second = await room.runs(job.id)
    assert first.session_id == second.session_id
    assert {seen.session_id for seen in await script.requests()} == {first.session_id}
    assert processes_in(room.home.job_folder(job.id or 0)) == []


async def test_a_cancelled_job_leaves_no_process_within_two_seconds(
    room: EngineRoom, script: MessagesControl, database: Database
) -> None:
    await plays(script, "Long work", {"blocks": [SLOW]})
    job = await room.add("Long work", backend="codex")
    folder = room.home.job_folder(job.id or 0)

    async def at_work() -> bool:
        return any("sleep 302" in each for each in processes_in(folder))

    await room.until(at_work)
    await database.write(
        lambda c: jobs.move(c, job.id or 0, JobState.cancelled, by=Actor.owner, at=room.clock.now())
    )
    async with asyncio.timeout(2):
        while processes_in(folder):
            await asyncio.sleep(0.02)
    assert (await room.ended(job)).state is JobState.cancelled


async def test_a_backend_that_is_not_in_use_ends_the_job_with_how_to_mend_it(
    database: Database, home: Home, clock: VirtualClock
) -> None:
    room = room_of(database, home, clock, others={})
    async with running(room):
        job = await room.ended(await room.add("Anything", backend="codex"))
    assert job.state is JobState.failed
    assert 'put use = ["codex"] under [backends]' in (job.error or "")
    runs = await room.runs(job.id)
    assert {run.state for run in runs} == {RunState.failed}
