"""Quick work and questions: acknowledged, done, delivered; and how it is stopped."""

import asyncio
from contextlib import suppress
from typing import Any

import psutil

from tests.scenarios.lines import bash, decides, long_work, quick, text, works, write
from tests.stage import Stage, by_bot

# A square of red, drawn by a worker that has nothing but the standard library.
DRAW = """python3 - <<'END'
import struct, zlib
def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)
rows = (b"\\0" + b"\\xff\\0\\0" * 64) * 64
head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
png = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head)
png += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
open("{{artefacts}}/red.png", "wb").write(png)
END"""


async def test_quick_work_is_acknowledged_done_and_delivered(live: Stage) -> None:
    turn = [write("tea.md", "# Tea\n\nHot.\n"), bash("wc -l {{artefacts}}/tea.md"), text("Tea!")]
    await live.model.add_rules(quick("write a note about tea", *turn))
    said = await live.user.say("write a note about tea")
    delivered = await live.user.wait_for_document("tea.md")
    assert delivered.document is not None
    assert await live.user.open(delivered.document) == b"# Tea\n\nHot.\n"
    await live.user.wait_for(r"✅ write a note about tea · \d+ \w+$")
    view = await live.user.chat()
    assert by_bot(view)[1:] == ["✅ write a note about tea\n\nTea!", "tea.md"]
    assert view.messages[2].reply_to == said.message_id
    (task,), (job,) = live.listed("task"), live.listed("job")
    assert (task["state"], job["state"]) == ("ready", "done")
    story = live.pm("job", "logs", "1")
    assert "wc -l" in story.stdout and "Tea!" in story.stdout


async def test_a_picture_arrives_as_a_picture(live: Stage) -> None:
    await live.model.add_rules(quick("draw a red square", bash(DRAW), text("Red it is.")))
    await live.user.say("draw a red square")
    picture = await live.user.wait_for_document(".")
    assert picture.document is not None
    assert picture.document.kind == "photo"
    assert (await live.user.open(picture.document)).startswith(b"\x89PNG")


async def test_a_file_of_the_owners_reaches_the_worker(live: Stage) -> None:
    await live.model.add_rules(
        [
            decides("count its lines", "quick_work", title="Count", kind="extraction", prompt="-"),
            works("Count", bash("cat ../../../inbox/1/*"), text("Three lines.")),
        ]
    )
    await live.user.send_file("list.txt", content=b"one\ntwo\nthree\n", caption="count its lines")
    await live.user.wait_for("Three lines")
    asked = await live.model.requests()
    assert any("1-list.txt" in one.prompt and "<task>\nCount" in one.prompt for one in asked)
    assert any("two" in result for one in asked for result in one.tool_results)


async def test_a_vague_request_is_asked_about_and_the_tap_starts_the_work(live: Stage) -> None:
    question = "Which colour shall it be?"
    options = ["Red", "Blue"]
    chosen = f"change the colour\n(Asked: {question} Answer: Blue)"
    work: dict[str, Any] = {"title": "Paint it blue", "kind": "ops", "prompt": "Paint it blue."}
    await live.model.add_rules(
        [
            decides(chosen, "quick_work", **work),
            decides("change the colour", "clarify", question=question, options=options),
            works("Paint it blue", text("It is blue now.")),
        ]
    )
    await live.user.say("change the colour")
    card = await live.user.wait_for_button("Blue")
    await live.user.tap("Blue")
    await live.user.wait_for("It is blue now")
    view = await live.user.wait_until(
        lambda view: any("✓ Blue" in text for text in by_bot(view)),
    )
    (decided,) = [one for one in view.messages if one.message_id == card.message_id]
    assert not decided.buttons
    again = await live.user.tap(message_id=card.message_id, data=card.buttons[0].data)
    assert again.tap_id is not None
    tap_id = again.tap_id
    view = await live.user.wait_until(lambda view: tap_id in view.answers)
    assert "Answered already: Blue" in view.answers[tap_id].text
    assert len(live.listed("job")) == 1


async def test_a_job_that_pm_cancels_ends_with_all_it_started(live: Stage) -> None:
    await live.model.add_rules(quick("work all night", long_work(), text("Done.")))
    await live.user.say("work all night")
    await live.user.wait_for("On it")
    await live.model.wait_for_request("work all night")
    await _until_it_sleeps(live)
    assert live.pm("job", "cancel", "1").returncode == 0
    await _until_none_sleeps(live)
    assert live.listed("job")[0]["state"] == "cancelled"
    assert live.listed("task")[0]["state"] == "cancelled"


async def test_stop_ends_the_work_and_says_so(live: Stage) -> None:
    await live.model.add_rules(quick("work all night", long_work(), text("Done.")))
    await live.user.say("work all night")
    await _until_it_sleeps(live)
    await live.user.say("/stop")
    await live.user.wait_for(r"Stopped: .*work all night")
    await _until_none_sleeps(live)
    await live.user.say("/jobs")
    await live.user.wait_for("✕ .*work all night")
    assert not any("did not work out" in said for said in await live.said())


async def test_a_job_that_fails_says_what_to_do(live: Stage) -> None:
    await live.model.add_rules(
        quick("try the door", {"fault": {"kind": "bad_request", "message": "no such door"}})
    )
    await live.user.say("try the door")
    failed = await live.user.wait_for("⚠ try the door did not work out")
    assert "no such door" in failed.text
    assert live.listed("job")[0]["state"] == "failed"


def _sleepers(stage: Stage) -> list[int]:
    found = []
    for process in stage.children():
        with suppress(psutil.Error):
            if "time.sleep(60)" in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


async def _until_it_sleeps(stage: Stage) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(_sleepers, stage):
            await asyncio.sleep(0.1)


async def _until_none_sleeps(stage: Stage) -> None:
    async with asyncio.timeout(10):
        while await asyncio.to_thread(_sleepers, stage):
            await asyncio.sleep(0.1)
