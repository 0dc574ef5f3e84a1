"""What is forgotten for good is in no file under home, whoever was killed in the midst of it."""

import asyncio
import json
import random
from contextlib import suppress
from datetime import timedelta

from agentos.domain.work import Job
from agentos.errors import IndexDown
from agentos.home import Home
from agentos.memory.core import Core, with_line
from agentos.standins.clock import VirtualClock
from agentos.store import core_versions, memories, rows
from agentos.store.database import Database
from tests.capture_room import CaptureRoom, proposal
from tests.memory_room import holding, memory_room

WORD = "xylographer"
TEXT = f"The wifi word is {WORD}"


async def test_kills_during_the_forgetting_end_with_nothing_left(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    home.copy_editable()
    chance = random.Random(11)
    async with memory_room(home, database, clock) as memory:
        room = CaptureRoom(database, home=home, clock=clock, index=memory.index)
        await room.capturing.look()
        room.judge.script = lambda question: [proposal(TEXT)]
        room.answers(room.says(TEXT), f"Noted: {TEXT}.")
        at = clock.now()
        for number in range(110):
            room.episodes.append("message", TEXT if number == 50 else f"step {number}", at=at)
        room.episodes.append("message", "in other words", at=at, source="message:1")
        await room.lull()
        room.episodes.compact(room.episodes.days()[0], cited=())
        with database.begin() as connection:
            wish = with_line(home.core_memory_file.read_text(), section="Rules", line=TEXT)
            Core(home).propose(connection, wish, by="consolidation", reason="", at=at)
            job = rows.add(
                connection, Job(title="t", prompt=TEXT, result=f"used: {TEXT}", created_at=at)
            )
        for file in (home.claude_config / "projects/a/s.jsonl", home.jobs / "1/transcript.jsonl"):
            file.parent.mkdir(parents=True)
            inside = json.dumps({"prompt": json.dumps({"say": TEXT}), "after": "it"})
            file.write_text(inside + "\n")
        await memory.until_answered("wifi")
        (row,) = room.memories()
        assert len(holding(home.root, WORD)) >= 5
        forgetting = room.forgetting()
        for _ in range(3):
            task = asyncio.create_task(forgetting.forget_now(row.id or 0))
            await asyncio.sleep(chance.random() * 0.3)
            if chance.random() < 0.5 and memory.index.pid is not None:
                memory.kill()
            else:
                task.cancel()
            with suppress(IndexDown, asyncio.CancelledError):
                await task
        async with asyncio.timeout(60):
            while await _is_there(database, row.id or 0):
                with suppress(IndexDown):
                    await forgetting.forget_now(row.id or 0)
                    await forgetting.erase_due()
                await asyncio.sleep(0.2)
        assert holding(home.root, WORD) == []
        for file in (home.claude_config / "projects/a/s.jsonl", home.jobs / "1/transcript.jsonl"):
            told = json.loads(file.read_text())
            assert json.loads(told["prompt"])["say"].strip() == "" and told["after"] == "it"
        with database.read() as connection:
            assert rows.get(connection, Job, job.id or 0).result == "used: [forgotten]"
            (version,) = core_versions.list_by(connection, "consolidation")
        assert version.text == ""
        # The rest of the day is there, and it is not learned again.
        lines = [one.text for day in room.episodes.days() for one in room.episodes.read(day)]
        assert all(f"step {number}" in " / ".join(lines) for number in range(110) if number != 50)
        assert "in other words" not in lines
        clock.advance(timedelta(days=1))
        room.judge.script = lambda question: []
        await room.consolidating().by_hand()
        assert holding(home.root, WORD) == []


async def _is_there(database: Database, memory_id: int) -> bool:
    row = await database.query(lambda connection: memories.get(connection, memory_id))
    return row.text != ""
