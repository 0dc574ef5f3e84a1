"""Remembering by itself: what is said is known later, also when the daemon dies in between."""

import asyncio
import json
from datetime import timedelta
from typing import Any

from agentos.standins.script import Rule
from tests.capture_room import proposal
from tests.stage import Stage


def remembers(pattern: str, text: str, **more: Any) -> Rule:
    answer = {"memories": [proposal(text, category="person", **more)]}
    return Rule.model_validate(
        {
            "when": {"prompt": pattern, "schema_property": "memories"},
            "turn": [{"blocks": [{"structured": answer}]}],
        }
    )


async def stats(stage: Stage) -> dict[str, Any]:
    told = await asyncio.to_thread(stage.pm, "memory", "stats", "--json")
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


async def until_captured(stage: Stage, count: int) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (told := await stats(stage))["capture"]["captured"] < count:
            await asyncio.sleep(0.5)
    return told


async def test_what_is_said_is_remembered_after_a_lull_a_kill_and_a_night(stage: Stage) -> None:
    stage.environment["AGENTOS_MEMORY__CAPTURE"] = "true"
    await stage.start()
    await stage.model.add_rules([remembers("Ana is vegetarian", "Ana is vegetarian")])
    await stage.user.say("by the way, Ana is vegetarian")
    await stage.user.wait_for(".")
    await stage.kill()
    await stage.start()
    assert (await stats(stage))["capture"]["pieces"] == 0
    await stage.advance(timedelta(minutes=11))
    told = await until_captured(stage, 1)
    assert told["capture"] | {"waiting": 0, "failed": 0, "refused": 0} == told["capture"]
    assert told["memories"]["person"] == 1
    found = await asyncio.to_thread(stage.pm, "memory", "search", "what does Ana eat", "--json")
    assert json.loads(found.stdout)["found"][0]["text"] == "Ana is vegetarian"
    tidied = await asyncio.to_thread(stage.pm, "memory", "consolidate")
    assert tidied.stdout == "There was nothing to tidy.\n", tidied.stderr
    told = await stats(stage)
    assert told["consolidation"]["ended"] is not None
    assert told["capture"]["captured"] == 1
