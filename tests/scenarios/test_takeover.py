"""A daemon that is told to end brings its work to a safe point; another one takes it over."""

import asyncio
import json
import os
import signal
import time
from datetime import datetime, timedelta
from typing import Any

from agentos.standins.telegram_user import ChatView
from tests.scenarios.lines import bash, quick, text
from tests.stage import Stage

TITLE = "write the long report"
# A tool that must not be cut in its middle, and then a long thought, which may be.
WORK = [
    bash("echo begun >> work.txt; python3 -c 'import time; time.sleep(2)'; echo ended >> work.txt")
]


async def until_begun(stage: Stage) -> None:
    """The tool is in the middle of what it does."""
    file = stage.home.job_folder(1) / "work" / "work.txt"
    async with asyncio.timeout(30):
        while not file.is_file():
            await asyncio.sleep(0.02)


def reactions(view: ChatView, message_id: int) -> list[str]:
    return [each for one in view.messages if one.message_id == message_id for each in one.reactions]


def story(stage: Stage) -> dict[str, Any]:
    told = stage.pm("job", "show", "1", "--json")
    assert told.returncode == 0, told.stderr
    shown: dict[str, Any] = json.loads(told.stdout)
    return shown


async def begin_long_work(stage: Stage) -> None:
    thought = text("Never said.", delay_ms=60_000)
    await stage.model.add_rules(
        [
            *[rule.model_copy(update={"times": 1}) for rule in quick(TITLE, *WORK, thought)],
            *quick(TITLE, text("There it is.")),
        ]
    )
    await stage.start()
    await stage.user.say(TITLE)
    await until_begun(stage)


async def test_an_orderly_end_waits_for_the_tool_that_runs_and_not_for_the_thought(
    stage: Stage,
) -> None:
    await begin_long_work(stage)
    assert stage.process is not None
    began = time.monotonic()
    stage.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    sent = await stage.user.say("are you there?")
    async with asyncio.timeout(2):  # the channels listen until the work is put down
        while not reactions(await stage.user.chat(), sent.message_id):
            await asyncio.sleep(0.05)
    assert await stage.ended() == 0
    assert time.monotonic() - began < 12
    file = stage.home.job_folder(1) / "work" / "work.txt"
    assert file.read_text().split() == ["begun", "ended"]
    assert stage.children() == []
    assert story(stage)["job"]["state"] == "queued"
    await stage.start()
    await stage.user.wait_for("There it is.")
    assert [run["state"] for run in story(stage)["runs"]] == ["interrupted", "done"]


async def test_who_says_it_twice_does_not_wait(stage: Stage) -> None:
    await begin_long_work(stage)
    assert stage.process is not None
    stage.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.1)
    began = time.monotonic()
    stage.process.send_signal(signal.SIGTERM)
    assert await stage.ended() == 0
    assert time.monotonic() - began < 2.5
    assert story(stage)["job"]["state"] == "queued"


async def test_a_takeover_goes_on_with_the_work_of_the_daemon_before(stage: Stage) -> None:
    await begin_long_work(stage)
    old = stage.process
    assert old is not None
    stage.process = None
    new = stage.begin(takeover=True)
    await stage.user.wait_for("There it is.")
    assert old.poll() == 0
    assert new.poll() is None
    first, second = story(stage)["runs"]
    assert (first["state"], second["state"]) == ("interrupted", "done")
    assert first["session_id"] == second["session_id"]
    # Nobody has missed a sign of life: it went on sooner than the next one was due.
    moments = [
        datetime.fromisoformat(each) for each in (first["finished_at"], second["started_at"])
    ]
    assert moments[1] - moments[0] < timedelta(seconds=10)
    assert "Taking over" in stage.output


async def test_a_daemon_that_is_frozen_is_taken_over_by_force(stage: Stage) -> None:
    stage.environment["AGENTOS_ENGINE__DRAIN_SECONDS"] = "0"
    await begin_long_work(stage)
    old = stage.process
    assert old is not None
    os.kill(old.pid, signal.SIGSTOP)
    stage.process = None
    stage.begin(takeover=True)
    try:
        await stage.user.wait_for("There it is.")
    finally:
        old.kill()
    assert old.wait(5) == -signal.SIGKILL
    assert "so it is ended" in stage.output


async def test_a_takeover_of_nobody_is_a_start(stage: Stage) -> None:
    stage.begin(takeover=True)
    async with asyncio.timeout(20):
        while "Taking over" not in stage.output and not stage.home.socket.exists():
            await asyncio.sleep(0.05)
    assert "Taking over" not in stage.output
