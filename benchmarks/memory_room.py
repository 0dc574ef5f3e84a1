"""A home with memories and the real index process, for the benchmarks of recall."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from agentos import log as logs
from agentos.domain.clock import SystemClock
from agentos.home import Home
from agentos.memory.client import IndexProcess
from agentos.memory.remembering import Remembering
from agentos.settings import Memory as Settings
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate


@dataclass
class Room:
    """One isolated store."""

    home: Home
    database: Database
    index: IndexProcess
    remembering: Remembering


@asynccontextmanager
async def room(*, lexical: bool) -> AsyncIterator[Room]:
    """An empty home and an index process of its own; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="agentos-bench-"))
    home = Home(folder / "home")
    home.make()
    logs.configure(home.log_file, level="INFO")
    database = Database(sqlite_url(home.database_file))
    migrate(database)
    settings = Settings(embedder="" if lexical else "bundled")
    index = IndexProcess(
        folder=home.memory_index,
        lock=home.memory_lock,
        log_file=home.memory_log,
        embedder=settings.embedder,
    )
    remembering = Remembering(
        database, clock=SystemClock(), index=index, settings=settings, zone=ZoneInfo("UTC")
    )
    try:
        yield Room(home, database, index, remembering)
    finally:
        await remembering.close()
        database.close()
        shutil.rmtree(folder, ignore_errors=True)
