"""Jobs through the real engine: forked children, the real CLI, a scripted model."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psutil
import pytest

from agentos.backends.claude_access import find_credentials, open_gateway
from agentos.config import Config
from agentos.control.operations.operation import Here
from agentos.control.operations.registry import OPERATIONS
from agentos.domain.states import Actor, JobState, RunState
from agentos.domain.work import JobKind, NeedPolicy
from agentos.engine.claiming import Present
from agentos.engine.lanes import Under
from agentos.engine.recovery import end_orphans, recover
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule
from agentos.store import artefacts, jobs, runs, usage
from agentos.store.database import Database
from tests.engine_room import EngineRoom, running

KEY = "sk-ant-api03-never-to-be-seen-by-a-worker"
# The CLI refuses a bare `sleep`.
LONG = "python3 -c 'import time; time.sleep(60)'"
TEXT: dict[str, Any] = {"blocks": [{"text": "All done."}]}


@pytest.fixture
async def room(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[EngineRoom]:
    config = Config.model_validate({"engine": {"slots": 2, "tick_seconds": 1}})
    credentials = find_credentials(base_url=model.url, known={"ANTHROPIC_API_KEY": KEY})
    assert credentials is not None
    access, gateway = await open_gateway(credentials, config_folder=home.claude_config)
    made = EngineRoom(database, clock=clock, home=home, access=access, config=config)
    async with running(made):
        yield made
    await gateway.stop()


@pytest.fixture
async def script(model: StandinProcess) -> AsyncIterator[MessagesControl]:
    async with MessagesControl(model.url) as control:
        yield control


async def plays(control: MessagesControl, prompt: str, *turn: dict[str, Any], **more: Any) -> None:
    rule = {"when": {"prompt": prompt}, "turn": list(turn), **more}
    await control.add_rules([Rule.model_validate(rule)])


def bash(command: str, **more: Any) -> dict[str, Any]:
    return {"blocks": [{"tool": "Bash", "input": {"command": command, **more}}]}


def write(path: str, content: str) -> dict[str, Any]:
    return {"blocks": [{"tool": "Write", "input": {"file_path": path, "content": content}}]}


def transcript(room: EngineRoom, job_id: int | None) -> list[dict[str, Any]]:
    file = room.home.job_folder(job_id or 0) / "transcript.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_a_worker_runs_tools_and_its_file_is_delivered(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(
        script,
        "count the words",
        bash("echo one two three | wc -w"),
        write("{{artefacts}}/count.md", "# Three words\n"),
        {"blocks": [{"text": "There are three words."}]},
    )
    job = await room.ended(await room.add("count the words"))
    assert (job.state, job.result) == (JobState.done, "There are three words.")
    said = await room.said(job.id)
    assert said == ["✅ **count the words**\n\nThere are three words.", "count.md"]
    files = await room.database.query(lambda c: artefacts.list_for_job(c, job.id or 0))
    assert [(file.name, file.size, file.media_type) for file in files] == [
        ("count.md", 14, "text/markdown")
    ]
    lines = transcript(room, job.id)
    kinds = [line["kind"] for line in lines]
    assert kinds[0] == "prompt" and kinds[-1] == "result"
    results = [line for line in lines if line["kind"] == "tool_result"]
    assert results[0]["text"].strip() == "3"


async def test_what_a_job_used_arrives_exactly(room: EngineRoom, script: MessagesControl) -> None:
    numbers = {"input_tokens": 1200, "output_tokens": 345, "cache_read_input_tokens": 67}
    await plays(script, "use tokens", {**TEXT, "usage": numbers})
    job = await room.ended(await room.add("use tokens"))
    total = await room.database.query(lambda c: usage.total_for_job(c, job.id or 0))
    assert (total.input_tokens, total.output_tokens, total.cache_read_tokens) == (1200, 345, 67)
    assert total.cost_usd > 0


async def test_a_persistent_worker_keeps_its_session_and_its_warm_process(
    room: EngineRoom,
) -> None:
    worker = await room.add_worker("email")
    pids, sessions = set(), set()
    for number in range(3):
        job = await room.ended(await room.add(f"write note {number}", wants_worker_id=worker.id))
        assert job.state is JobState.done
        (run,) = await room.runs(job.id)
        pids.add(run.pid)
        sessions.add(run.session_id)
    assert len(pids) == len(sessions) == 1


async def test_a_persistent_worker_resumes_its_session_after_its_process_is_gone(
    room: EngineRoom, script: MessagesControl
) -> None:
    worker = await room.add_worker("email")
    await plays(script, "say", TEXT)
    first = await room.ended(await room.add("say one", wants_worker_id=worker.id))
    room.warm.evict(everything=True)
    second = await room.ended(await room.add("say two", wants_worker_id=worker.id))
    (one,), (two,) = await room.runs(first.id), await room.runs(second.id)
    assert one.session_id == two.session_id
    assert one.pid != two.pid
    seen = await script.requests()
    assert seen[-1].session_id == one.session_id


async def test_a_session_that_is_gone_is_replaced_and_said_so(
    room: EngineRoom, script: MessagesControl
) -> None:
    worker = await room.add_worker("email")
    await plays(script, "say", TEXT)
    await room.ended(await room.add("say one", wants_worker_id=worker.id))
    room.warm.evict(everything=True)
    for file in room.home.claude_config.rglob("*.jsonl"):
        file.unlink()
    job = await room.ended(await room.add("say two", wants_worker_id=worker.id))
    assert job.state is JobState.done
    lost = [line for line in transcript(room, job.id) if line["kind"] == "session"]
    assert lost[-1]["lost"] is True


async def test_cancelling_ends_the_whole_process_tree(
    room: EngineRoom, script: MessagesControl
) -> None:
    marker = f"sleep 27{os.getpid() % 1000:03d}"
    await plays(script, "hang", bash(f"(setsid {marker} &) ; {marker}"), TEXT)
    job = await room.add("hang")

    async def sleeping() -> list[int]:
        return [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if (process.info["cmdline"] or [])[-2:] == marker.split()
        ]

    await room.until(sleeping)
    began = time.monotonic()
    await room.database.write(
        lambda c: jobs.move(c, job.id or 0, JobState.cancelled, by=Actor.owner, at=room.clock.now())
    )

    async def gone() -> bool:
        return not await sleeping()

    await room.until(gone)
    assert time.monotonic() - began < 2

    async def settled() -> bool:
        return (await room.runs(job.id))[-1].state is RunState.cancelled

    await room.until(settled)
    assert (await room.job(job.id)).state is JobState.cancelled


async def test_a_job_that_takes_too_long_is_ended_and_says_so(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "dawdle", bash(LONG), TEXT)
    job = await room.ended(await room.add("dawdle", timeout_seconds=3))
    assert job.state is JobState.failed
    assert "not finished after 3 seconds" in (job.error or "")
    assert "ran out of time" in (await room.said(job.id))[0]


@pytest.mark.parametrize("victim", ["child", "cli", "fork server"])
async def test_a_killed_process_costs_an_attempt_and_the_session_goes_on(
    room: EngineRoom, script: MessagesControl, victim: str
) -> None:
    await plays(script, "work on", bash(LONG), TEXT, times=1)
    await plays(script, "work on", TEXT)
    job = await room.add("work on")
    run = await room.live_run(job)
    await script.wait_for_request("work on", timeout=timedelta(seconds=20))

    async def kept() -> bool:
        """Whether the CLI has written down what can be gone on with."""
        files = list(room.home.claude_config.rglob(f"{run.session_id}.jsonl"))
        return any("time.sleep(60)" in file.read_text() for file in files)

    await room.until(kept)
    child = psutil.Process(run.pid or 0)
    pids = {
        "child": child.pid,
        "cli": next((process.pid for process in child.children()), 0),
        "fork server": room.forks.pid or 0,
    }
    os.kill(pids[victim], signal.SIGKILL)
    ended = await room.ended(job)
    assert ended.state is JobState.done
    attempts = await room.runs(job.id)
    assert [attempt.state for attempt in attempts] == [RunState.failed, RunState.done]
    assert attempts[0].session_id == attempts[1].session_id


async def test_a_worker_sees_an_environment_that_is_an_allow_list(
    room: EngineRoom, script: MessagesControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTOS_TELEGRAM__TOKEN", "123456:telegram-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-workers")
    await plays(script, "look around", bash("env; cat /proc/*/environ 2>/dev/null; true"), TEXT)
    job = await room.ended(await room.add("look around"))
    (result,) = [line for line in transcript(room, job.id) if line["kind"] == "tool_result"]
    assert f"AGENTOS_HOME={room.home.root}" in result["text"]
    own = result["text"].split("\x00")[0]
    assert "telegram-token" not in own and "not-for-workers" not in own
    everything = (room.home.job_folder(job.id or 0) / "transcript.jsonl").read_text()
    assert KEY not in everything


async def test_writing_outside_of_its_folders_is_refused_and_told_to_the_agent(
    room: EngineRoom, script: MessagesControl
) -> None:
    target = room.home.root / "SOUL.md"
    await plays(script, "rewrite yourself", write(str(target), "evil"), TEXT)
    job = await room.ended(await room.add("rewrite yourself"))
    assert job.state is JobState.done
    assert not target.exists()
    (result,) = [line for line in transcript(room, job.id) if line["kind"] == "tool_result"]
    assert result["failed"] is True
    assert "Writing is allowed in" in result["text"]


async def test_a_refused_key_is_not_tried_again_and_says_what_to_do(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "try", {**TEXT, "fault": {"kind": "auth"}})
    job = await room.ended(await room.add("try"))
    assert job.state is JobState.failed
    assert len(await room.runs(job.id)) == 1
    assert "credentials" in (await room.said(job.id))[0]


async def test_a_step_waits_for_what_it_needs_and_is_given_its_result(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "look up", write("{{artefacts}}/found.md", "x"), TEXT)
    await plays(script, "write up", {"blocks": [{"text": "Written."}]})
    first = await room.add("look up")
    second = await room.add("write up", needs=[first.id or 0])
    assert (await room.ended(second)).state is JobState.done
    keys = await room.event_keys(second.id)
    assert keys == ["job_queued", "run_started", "run_running", "run_settled", "job_done"]
    prompt = transcript(room, second.id)[0]["text"]
    assert "All done." in prompt and "found.md" in prompt


async def test_a_step_whose_need_failed_is_cancelled_by_name(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "break", {**TEXT, "fault": {"kind": "bad_request"}})
    first = await room.add("break")
    second = await room.add("go on", needs=[first.id or 0])
    third = await room.add("and on", needs=[second.id or 0])
    for job in (second, third):
        assert (await room.ended(job)).state is JobState.cancelled
    assert (await room.job(second.id)).error == f"it needed #{first.id}, which did not get done"


async def test_many_at_once_are_put_together_and_what_is_missing_is_told(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, r"<task>\npart", TEXT)
    await plays(script, r"<task>\nbreak", {**TEXT, "fault": {"kind": "bad_request"}})
    await plays(script, r"<task>\nassemble", {"blocks": [{"text": "Put together."}]})
    source = await room.add("part zero")
    parts = [await room.add(f"part {number}", needs=[source.id or 0]) for number in range(2)]
    broken = await room.add("break", needs=[source.id or 0])
    last = await room.add(
        "assemble",
        needs=[part.id or 0 for part in (*parts, broken)],
        if_needs_fail=NeedPolicy.go_on,
    )
    assert (await room.ended(last, seconds=100)).state is JobState.done
    prompt = transcript(room, last.id)[0]["text"]
    assert prompt.count("All done.") == 2
    assert f'<need job="{broken.id}"' in prompt
    assert "Missing: this was not done (failed: " in prompt
    assert f'<need job="{source.id}"' not in prompt


async def test_a_failed_job_that_the_owner_retries_goes_on_and_what_is_blocked_follows(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "fetch", {**TEXT, "fault": {"kind": "bad_request"}})
    first = await room.ended(await room.add("fetch"), seconds=60)
    blocked = await room.add("then", needs=[first.id or 0], if_needs_fail=NeedPolicy.block)
    await asyncio.sleep(0.3)
    assert (await room.job(blocked.id)).state is JobState.queued
    rules = [Rule.model_validate({"when": {"prompt": ""}, "turn": [TEXT]})]
    await script.add_rules(rules, replace=True)
    here = Here(at=room.clock.now(), home=room.home, config=room.config)
    retry = OPERATIONS["job.retry"].prepare({"job": first.id}, here=here)
    await room.database.write(retry)
    assert (await room.ended(blocked, seconds=60)).state is JobState.done
    assert (await room.job(first.id)).state is JobState.done


async def test_a_reminder_comes_when_the_clock_gets_there(
    room: EngineRoom, clock: VirtualClock
) -> None:
    due = clock.now() + timedelta(days=1)
    job = await room.add("Call mum", kind=JobKind.reminder, run_at=due)
    await asyncio.sleep(0.2)
    assert (await room.job(job.id)).state is JobState.queued
    clock.advance(timedelta(days=1))
    await room.ended(job, seconds=3)
    assert await room.said(job.id) == ["⏰ Call mum"]
    assert await room.runs(job.id) == []


async def test_an_urgent_job_starts_although_all_slots_are_taken(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "slow", bash(LONG), TEXT)
    await plays(script, "urgent", TEXT)
    slow = [await room.add(f"slow {number}", priority=4) for number in range(4)]
    for job in slow[:2]:
        await room.live_run(job)
    urgent = await room.ended(await room.add("urgent", priority=0), seconds=15)
    assert urgent.state is JobState.done
    assert [(await room.job(job.id)).state for job in slow[2:]] == [JobState.queued] * 2


async def test_after_a_crash_of_the_daemon_its_live_runs_are_queued_again(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> None:
    from agentos.backends.claude_access import standin_access

    access = standin_access(model.url, config_folder=home.claude_config)
    room = EngineRoom(database, clock=clock, home=home, access=access, config=Config())
    job = await room.add("go on after the crash")

    def crash(connection: Any) -> None:
        (claimed,) = room.engine.claims.start(connection, Present(under=Under())).started
        runs.change_live(connection, claimed.run, session_id="5e5510")

    await database.write(crash)
    again = await database.write(lambda c: recover(c, at=clock.now(), max_crashes=2))
    assert again == [job.id]
    assert (await room.job(job.id)).state is JobState.queued
    last = await database.query(lambda c: runs.last_session(c, job.id or 0, backend="claude"))
    assert last == "5e5510"
    await database.write(crash)
    assert await database.write(lambda c: recover(c, at=clock.now(), max_crashes=2)) == []
    assert (await room.job(job.id)).state is JobState.failed


def test_processes_that_a_dead_daemon_left_are_ended(home: Home) -> None:
    import subprocess

    environment = {"AGENTOS_CHILD": f"{home.mark}:3", "PATH": os.environ["PATH"]}
    left = subprocess.Popen(["sleep", "60"], env=environment)
    other = subprocess.Popen(["sleep", "60"], env={**environment, "AGENTOS_CHILD": "other:3"})
    try:
        assert end_orphans(home.mark) == 1
        assert left.wait(timeout=5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
