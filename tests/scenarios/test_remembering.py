"""Memory as a whole: told by chat, given to the next message, asked by `pm`, through every kill."""

import asyncio
import json
from contextlib import suppress

import psutil

from tests.scenarios.lines import answers, text
from tests.stage import Stage

ANNA = "Anna is vegetarian"


async def test_what_is_remembered_is_of_use_and_survives_what_is_killed(stage: Stage) -> None:
    stage.environment["AGENTOS_MEMORY__EMBEDDER"] = ""
    status = await stage.start()
    assert status["memory"] == {"memories": 0, "index": "idle"}
    steaks = [f"may Anna have steak {n}?" for n in range(1, 6)]
    replies = [text(f"Lentils are better than {n}.") for n in range(1, 6)]
    await stage.model.add_rules([answers(*pair) for pair in zip(steaks, replies, strict=True)])
    await stage.user.say(f"/remember {ANNA}")
    await stage.user.wait_for(r"Remembered \(#1\)")
    # The index starts by itself now that there is something in it; and again when it is killed.
    first = await index_of(stage)
    first.kill()
    assert (await index_of(stage, but=first.pid)).pid != first.pid

    assert await is_given(stage)
    await stage.user.say("/why")
    await stage.user.wait_for("What I had in mind last")

    found = json.loads(await pm(stage, "memory", "search", "what does Anna eat", "--json"))
    assert [one["text"] for one in found["found"]] == [ANNA]
    wanted = [("message", "may Anna have steak 1?"), ("answer", "Lentils are better than 1.")]
    await told(stage, wanted)

    await stage.kill()
    await stage.start()
    await stage.user.say("hello")
    await stage.user.wait_for("Hello")
    lines = await told(stage, [*wanted, ("message", "hello")])
    assert [line for line in lines if line in wanted] == wanted
    assert (await stage.control("daemon.status"))["memory"]["memories"] == 1
    assert await stage.stop() == 0


async def is_given(stage: Stage) -> bool:
    """Ask about Anna; a machine that is busy may be too slow for a prompt now and then."""
    line = f"fact, from the owner: {ANNA}"
    for number in range(1, 6):
        await stage.user.say(f"may Anna have steak {number}?")
        await stage.user.wait_for(f"Lentils are better than {number}")
        asked = [one.prompt for one in await stage.model.requests()]
        if any(line in one.rpartition("<message>")[0] for one in asked):
            return True
    return False


async def index_of(stage: Stage, *, but: int = 0) -> psutil.Process:
    """Wait for the index process, and that it answers."""
    async with asyncio.timeout(60):
        while True:
            assert stage.process is not None
            status = await stage.control("daemon.status")
            for child in psutil.Process(stage.process.pid).children():
                with suppress(psutil.Error):  # it may just have ended
                    words = " ".join(child.cmdline())
                    is_index = "agentos: memory" in words or "agentos.memory.process" in words
                    if is_index and child.pid != but and status["memory"]["index"] == "off":
                        return child
            await asyncio.sleep(0.2)


async def pm(stage: Stage, *arguments: str) -> str:
    done = await asyncio.to_thread(stage.pm, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def told(stage: Stage, wanted: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Wait until today's episodes hold these lines; returns all of them."""
    async with asyncio.timeout(30):
        while True:
            lines = [
                (line["kind"], line["text"])
                for file in sorted(stage.home.episodes.glob("*.jsonl"))
                for line in map(json.loads, file.read_text().splitlines())
            ]
            if set(wanted) <= set(lines):
                return lines
            await asyncio.sleep(0.2)
