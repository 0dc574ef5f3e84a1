"""The keeper: an index process that is there when it is needed, and core edits that are seen."""

import asyncio
import os
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from agentos.home import Home
from agentos.memory.episodes import Episodes
from agentos.memory.forgetting import Forgetting
from agentos.memory.keeper import Keeper
from agentos.standins.clock import VirtualClock
from agentos.store import core_versions, memories
from agentos.store.database import Database
from tests.memory_room import MemoryRoom, holding, memory_room, until

pytestmark = pytest.mark.timeout(200)
LOOK = timedelta(seconds=0.1)


def keeper_of(room: MemoryRoom, clock: VirtualClock) -> Keeper:
    return Keeper(
        room.database,
        home=room.home,
        clock=clock,
        remembering=room.remembering,
        forgetting=Forgetting(
            room.database,
            clock=clock,
            home=room.home,
            remembering=room.remembering,
            episodes=Episodes(room.home, zone=ZoneInfo("Europe/Berlin")),
        ),
        first=timedelta(),
        look=LOOK,
    )


async def test_the_index_starts_with_the_first_memory_and_again_when_it_is_killed(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        keeper = keeper_of(room, clock)
        assert await keeper.look() == LOOK
        assert (room.index.pid, room.remembering.state) == (None, "idle")
        await room.remember("Anna is vegetarian")
        running = asyncio.create_task(keeper.run())
        first = await until(the_pid(room), seconds=60)
        assert room.remembering.state == "off"
        room.kill()

        async def another() -> int | None:
            return room.index.pid if room.index.pid not in (None, first) else None

        assert await until(another, seconds=60) != first
        assert await room.until_answered("what is Anna") == ["Anna is vegetarian"]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def the_pid(room: MemoryRoom):  # type: ignore[no-untyped-def]
    async def there() -> int | None:
        return room.index.pid if room.index.generation else None

    return there


async def test_an_index_that_cannot_start_is_tried_less_and_less_often(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    home.memory_log.mkdir(parents=True)  # where its complaints should go
    async with memory_room(home, database, clock) as room:
        await room.remember("Anna is vegetarian")
        keeper = keeper_of(room, clock)
        pauses = []
        for _ in range(12):
            pauses.append(await keeper.look())
        assert pauses[0] == 2 * LOOK
        assert pauses == sorted(pauses)
        assert pauses[-1] == timedelta(minutes=1)
        assert [one.memory.text for one in (await room.ask("Anna")).found] == ["Anna is vegetarian"]
        home.memory_log.rmdir()
        await asyncio.sleep(0.2)
        assert await keeper.look() == LOOK


async def test_a_hand_edit_of_core_memory_becomes_a_version(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    home.copy_editable()

    def count() -> int:
        with database.read() as connection:
            return core_versions.count(connection)

    async with memory_room(home, database, clock) as room:
        keeper = keeper_of(room, clock)
        await keeper.look()
        await keeper.look()
        assert count() == 1
        file = home.core_memory_file
        file.write_text(file.read_text() + "- No calls before nine\n")
        os.utime(file, ns=(1, 1))  # an editor, or a backup, may set any time
        await keeper.look()
        await keeper.look()
        assert count() == 2


async def test_what_was_forgotten_is_erased_when_its_time_has_come(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        keeper = keeper_of(room, clock)
        made = await room.remember("the word is xylographer")
        await keeper.look()
        await room.remembering.forget(made.id or 0)
        clock.advance(timedelta(days=29))
        await keeper.look()
        with database.read() as connection:
            assert memories.get(connection, made.id or 0).text
        clock.advance(timedelta(days=1, hours=1))
        await keeper.look()
        assert holding(home.root, "xylographer") == []
