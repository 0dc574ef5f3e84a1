"""kill -9 of the index process at seeded moments: nothing is lost or doubled, recall goes on."""

import asyncio
import random
import shutil
from datetime import timedelta

import pytest

from agentos.errors import IndexDown
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.store import memories
from agentos.store.database import Database
from tests.memory_room import MemoryRoom, holding, memory_room

pytestmark = pytest.mark.timeout(300)
WORDS = ["harbour", "bicycle", "violin", "saffron", "glacier", "lantern", "orchard", "compass"]


async def in_index(room: MemoryRoom) -> dict[int, int]:
    """What the index holds once it is up to date."""
    async with asyncio.timeout(120):
        while True:
            try:
                await room.remembering.sync()
                found = await room.index.call("revisions", within=timedelta(seconds=30))
            except IndexDown:
                await asyncio.sleep(0.1)
            else:
                return dict(map(tuple, found["revisions"]))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_kills_during_writes_and_merges_lose_and_double_nothing(
    home: Home, database: Database, clock: VirtualClock, seed: int
) -> None:
    chance = random.Random(seed)
    forgotten: list[int] = []
    async with memory_room(home, database, clock) as room:
        await room.until_answered("anything")
        for number in range(120):
            words = f"{chance.choice(WORDS)} {chance.choice(WORDS)} number{number}"
            row = await room.remember(words, thread=chance.choice([None, "talk"]))
            if chance.random() < 0.15:
                await room.remembering.forget(row.id or 0)
                forgotten.append(row.id or 0)
            if chance.random() < 0.3:
                # Whatever the index does, there is an answer, and it is true.
                told = await room.texts(f"number{number}")
                assert told[:1] == ([] if row.id in forgotten else [words])
            if chance.random() < 0.05 and room.index.pid is not None:
                room.kill()
        with database.read() as connection:
            expected = memories.indexed_revisions(connection)
        assert await in_index(room) == expected
        assert len(expected) == 120 - len(forgotten)
        told = await room.index.call("status", within=timedelta(seconds=30))
        assert told["parts"] == len(expected)


async def test_a_kill_during_the_erasing_ends_with_nothing_left(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    chance = random.Random(7)
    async with memory_room(home, database, clock) as room:
        for number in range(60):
            await room.remember(f"harbour {number}", thread="talk")
        secret = await room.remember("the word is xylographer", thread="talk")
        await room.until_answered("harbour")
        await room.remembering.forget(secret.id or 0)
        clock.advance(timedelta(days=31))
        for _ in range(3):
            erasing = asyncio.create_task(room.remembering.erase_due())
            await asyncio.sleep(chance.random() * 0.3)
            if room.index.pid is not None:
                room.kill()
            await asyncio.gather(erasing, return_exceptions=True)
            await room.until_answered("harbour")
        await room.remembering.erase_due()
        assert holding(home.root, "xylographer") == []
        assert len(await in_index(room)) == 60


async def test_kills_during_a_reembedding_and_a_lost_table_come_to_the_same_end(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock, embedder="bundled") as room:
        for number in range(40):
            await room.remember(f"{WORDS[number % 8]} and {WORDS[number // 5]} number{number}")
        await room.until_answered("harbour")
        for wait in (0.5, 4.0):
            await asyncio.sleep(wait)
            if room.index.pid is not None:
                room.kill()
            await in_index(room)
        await room.embedded()
        assert (await room.remembering.status())["index"]["embedded"] == 40
        room.kill()
        for table in home.memory_index.glob("vectors_*"):
            shutil.rmtree(table)
        await in_index(room)
        await room.embedded()
        assert (await room.remembering.status())["index"]["embedded"] == 40
        assert len(await in_index(room)) == 40
