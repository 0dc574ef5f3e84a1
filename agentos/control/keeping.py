"""The memory of one home, put together: for the daemon, and for one operation without it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from agentos import log as logs
from agentos.config import Config
from agentos.control.operations.operation import Here
from agentos.control.remembered import AsyncOperation, MemoryOperations
from agentos.domain.clock import SystemClock
from agentos.domain.ports import Clock
from agentos.home import Home
from agentos.memory.capture import Capturing
from agentos.memory.consolidate import Consolidating
from agentos.memory.core import Core
from agentos.memory.judge import Judging, Nobody
from agentos.memory.material import given_to
from agentos.memory.room import MemoryRoom
from agentos.store.database import Database


@dataclass(frozen=True)
class Kept:
    """What is done with one home's memory: asked of it, and by itself."""

    operations: dict[str, AsyncOperation]
    # It learns by day and is tidied by night.
    loops: list[Callable[[], Awaitable[None]]]


def keep_memory(
    database: Database,
    *,
    home: Home,
    config: Config,
    clock: Clock,
    judge: Judging,
    room: MemoryRoom,
) -> Kept:
    """Put together what is done with the memory of a room."""
    settings, zone = config.memory, config.owner.zone
    capturing = Capturing(
        database,
        clock=clock,
        home=home,
        settings=settings,
        remembering=room.remembering,
        episodes=room.episodes,
        judge=judge,
        zone=zone,
        injected=given_to,
    )
    consolidating = Consolidating(
        database,
        clock=clock,
        settings=settings,
        zone=zone,
        core=Core(home),
        remembering=room.remembering,
        episodes=room.episodes,
        capturing=capturing,
        forgetting=room.forgetting,
    )
    asked = MemoryOperations(
        database,
        home=home,
        config=config,
        clock=clock,
        remembering=room.remembering,
        consolidating=consolidating,
        forgetting=room.forgetting,
    )
    return Kept(asked.operations(), [capturing.run, consolidating.run])


def by_hand(database: Database, op: str, params: dict[str, Any], here: Here) -> dict[str, Any]:
    """One operation while no daemon runs. By words alone: the embedder takes longer to load."""

    logs.configure(None, level="ERROR")  # whoever asked sees the answer, and no log

    async def run() -> dict[str, Any]:
        clock = SystemClock()
        room = MemoryRoom(database, home=here.home, config=here.config, clock=clock, embedder="")
        kept = keep_memory(
            database,
            home=here.home,
            config=here.config,
            clock=clock,
            judge=Nobody(),
            room=room,
        )
        try:
            return await kept.operations[op](peer=None, **params)
        finally:
            await room.close()

    return asyncio.run(run())
