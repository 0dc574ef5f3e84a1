"""The memory of one home, put together: for the daemon, and for one operation without it."""

import asyncio
from typing import Any

from agentos import log as logs
from agentos.config import Config
from agentos.control.operations.operation import Here
from agentos.control.remembered import MemoryOperations
from agentos.domain.clock import SystemClock
from agentos.domain.ports import Clock
from agentos.home import Home
from agentos.memory.capture import Capturing
from agentos.memory.client import IndexProcess
from agentos.memory.consolidate import Consolidating
from agentos.memory.core import Core
from agentos.memory.episodes import Episodes
from agentos.memory.judge import Judging, Nobody
from agentos.memory.remembering import Remembering
from agentos.store.database import Database


def by_hand(database: Database, op: str, params: dict[str, Any], here: Here) -> dict[str, Any]:
    """One operation while no daemon runs. By words alone: the embedder takes longer to load."""

    logs.configure(None, level="ERROR")  # whoever asked sees the answer, and no log

    async def run() -> dict[str, Any]:
        index = index_process(here.home, embedder="")
        remembering = Remembering(
            database,
            clock=SystemClock(),
            index=index,
            settings=here.config.memory,
            zone=here.config.owner.zone,
        )
        _, consolidating = keepers(
            database,
            home=here.home,
            config=here.config,
            clock=SystemClock(),
            remembering=remembering,
            judge=Nobody(),
        )
        room = MemoryOperations(
            database,
            home=here.home,
            config=here.config,
            clock=SystemClock(),
            remembering=remembering,
            consolidating=consolidating,
        )
        try:
            return await room.operations()[op](peer=None, **params)
        finally:
            await remembering.close()

    return asyncio.run(run())


def keepers(
    database: Database,
    *,
    home: Home,
    config: Config,
    clock: Clock,
    remembering: Remembering,
    judge: Judging,
) -> tuple[Capturing, Consolidating]:
    """Who learns what is new, and who tidies it by night."""
    zone = config.owner.zone
    episodes = Episodes(home, zone=zone)
    capturing = Capturing(
        database,
        clock=clock,
        home=home,
        settings=config.memory,
        remembering=remembering,
        episodes=episodes,
        judge=judge,
    )
    consolidating = Consolidating(
        database,
        clock=clock,
        settings=config.memory,
        zone=zone,
        core=Core(home),
        remembering=remembering,
        episodes=episodes,
        capturing=capturing,
    )
    return capturing, consolidating


def index_process(home: Home, *, embedder: str) -> IndexProcess:
    """The index process of a home; it starts with the first question."""
    return IndexProcess(
        folder=home.memory_index, lock=home.memory_lock, log_file=home.memory_log, embedder=embedder
    )
