"""Stopped, killed, started again: the work goes on where it was, and its result is said once."""

import asyncio
import json
from typing import Any

import pytest

from tests.scenarios.lines import answers, bash, decides, quick, text, works, write
from tests.stage import Stage, by_bot

TITLE = "write the long report"


def counted(said: list[str], words: str) -> int:
    return sum(words in text for text in said)


def job(stage: Stage) -> dict[str, Any]:
    told = stage.pm("job", "show", "1", "--json")
    assert told.returncode == 0, told.stderr
    shown: dict[str, Any] = json.loads(told.stdout)
    return shown


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_job_goes_on_in_its_session_and_is_delivered_once(live: Stage, end: str) -> None:
    first = [write("part.md", "half\n"), text("Never said.", delay_ms=60_000)]
    rest = [bash("cat {{artefacts}}/part.md"), write("report.md", "whole\n"), text("There it is.")]
    await live.model.add_rules(
        [
            decides(TITLE, "quick_work", title=TITLE, kind="writing", prompt=TITLE),
            works(TITLE, *first).model_copy(update={"times": 1}),
            works(TITLE, *rest),
        ]
    )
    await live.user.say(TITLE)
    await _until_asked(live, "File created", times=1)
    await (live.stop() if end == "stop" else live.kill())
    await live.start()
    delivered = await live.user.wait_for_document("report.md")
    assert delivered.document is not None
    await live.user.wait_for(rf"✅ {TITLE} · \d+ \w+")
    view = await live.user.chat()
    assert counted(by_bot(view), f"✅ {TITLE} · ") == counted(by_bot(view), "There it is.") == 1
    assert sorted(one.document.name for one in view.messages if one.document is not None) == [
        "part.md",
        "report.md",
    ]
    asked = [one for one in await live.model.requests() if f"<task>\n{TITLE}" in one.prompt]
    assert len({one.session_id for one in asked}) == 1
    assert "This is attempt 2" in asked[-1].prompt
    assert any("half" in result for one in asked for result in one.tool_results)
    shown = job(live)
    assert shown["job"]["state"] == "done"
    assert [run["state"] for run in shown["runs"]] == ["interrupted", "done"]


async def test_children_die_with_a_daemon_that_is_killed(live: Stage) -> None:
    await live.model.add_rules(quick(TITLE, text("Never said.", delay_ms=60_000)))
    await live.user.say(TITLE)
    await live.model.wait_for_request(f"<task>\n{TITLE}")
    assert await asyncio.to_thread(live.children)
    await live.kill()
    async with asyncio.timeout(10):
        while await asyncio.to_thread(live.children):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_message_that_was_being_decided_is_answered_after_the_restart(
    live: Stage, end: str
) -> None:
    slow = decides("hello you", "respond", delay_ms=30_000).model_copy(update={"times": 1})
    await live.model.add_rules([slow, answers("hello you", text("Hello yourself."))])
    await live.user.say("hello you")
    await live.model.wait_for_request("hello you")
    await (live.stop() if end == "stop" else live.kill())
    await live.start()
    await live.user.wait_for("Hello yourself")
    assert counted(await live.said(), "Hello yourself") == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_doubled_replies_a_message_that_was_being_answered_is_answered_once(
    live: Stage, end: str
) -> None:
    slow = answers("hello you", text("Slow and never finished. " * 200, chunk_delay_ms=300))
    await live.model.add_rules(
        [slow.model_copy(update={"times": 1}), answers("hello you", text("Hello yourself."))]
    )
    await live.user.say("hello you")
    await live.user.wait_until(lambda view: bool(view.drafts))
    await (live.stop() if end == "stop" else live.kill())
    await live.start()
    await live.user.wait_for("Hello yourself")
    view = await live.user.chat()
    assert [one.text for one in view.messages if one.by == "bot"] == ["Hello yourself."]


async def test_lost_messages_what_was_said_while_the_daemon_was_down_is_answered(
    live: Stage,
) -> None:
    await live.stop()
    await live.user.say("hello")
    await live.start()
    await live.user.wait_for("Hello")


async def test_a_stop_is_quick_and_clean(live: Stage) -> None:
    await live.model.add_rules(quick(TITLE, text("Never said.", delay_ms=60_000)))
    await live.user.say(TITLE)
    await live.model.wait_for_request(f"<task>\n{TITLE}")
    began = asyncio.get_running_loop().time()
    assert await live.stop() == 0
    assert asyncio.get_running_loop().time() - began < 10
    assert not await asyncio.to_thread(live.children)
    assert not live.home.socket.exists()


async def _until_asked(stage: Stage, result: str, *, times: int) -> None:
    async with asyncio.timeout(20):
        while True:
            found = [one for one in await stage.model.requests() if result in str(one.tool_results)]
            if len(found) >= times:
                return
            await asyncio.sleep(0.05)
