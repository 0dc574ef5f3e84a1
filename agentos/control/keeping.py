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
from agentos.memory.client import IndexProcess
from agentos.memory.consolidate import Consolidating
from agentos.memory.core import Core
from agentos.memory.episodes import Episodes
from agentos.memory.forgetting import Forgetting
from agentos.memory.judge import Judging, Nobody
from agentos.memory.remembering import Remembering
from agentos.store.database import Database


@dataclass(frozen=True)
class Kept:
    """What is done with one home's memory: asked of it, and by itself."""

    remembering: Remembering
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
    embedder: str | None = None,
) -> Kept:
    """Put it together; `embedder` instead of the configured one."""
    settings, zone = config.memory, config.owner.zone
    index = index_process(home, embedder=settings.embedder if embedder is None else embedder)
    remembering = Remembering(database, clock=clock, index=index, settings=settings, zone=zone)
    episodes = Episodes(home, zone=zone)
    capturing = Capturing(
        database,
        clock=clock,
        home=home,
        settings=settings,
        remembering=remembering,
        episodes=episodes,
        judge=judge,
        zone=zone,
    )
    forgetting = Forgetting(
        database, clock=clock, home=home, remembering=remembering, episodes=episodes
    )
    consolidating = Consolidating(
        database,
        clock=clock,
        settings=settings,
        zone=zone,
        core=Core(home),
        remembering=remembering,
        episodes=episodes,
        capturing=capturing,
        forgetting=forgetting,
    )
    room = MemoryOperations(
        database,
        home=home,
        config=config,
        clock=clock,
        remembering=remembering,
        consolidating=consolidating,
        forgetting=forgetting,
    )
    return Kept(remembering, room.operations(), [capturing.run, consolidating.run])


def by_hand(database: Database, op: str, params: dict[str, Any], here: Here) -> dict[str, Any]:
    """One operation while no daemon runs. By words alone: the embedder takes longer to load."""

    logs.configure(None, level="ERROR")  # whoever asked sees the answer, and no log

    async def run() -> dict[str, Any]:
        kept = keep_memory(
            database,
            home=here.home,
            config=here.config,
            clock=SystemClock(),
            judge=Nobody(),
            embedder="",
        )
        try:
            return await kept.operations[op](peer=None, **params)
        finally:
            await kept.remembering.close()

    return asyncio.run(run())


def index_process(home: Home, *, embedder: str) -> IndexProcess:
    """The index process of a home; it starts with the first question."""
    return IndexProcess(
        folder=home.memory_index, lock=home.memory_lock, log_file=home.memory_log, embedder=embedder
    )
