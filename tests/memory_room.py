"""Memory for a test: real rows, the real index process, and with `embedder` the real model."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agentos.domain.memory import Memory
from agentos.domain.ports import Clock
from agentos.home import Home
from agentos.memory.client import IndexProcess
from agentos.memory.remembering import Answer, Remembering
from agentos.settings import Memory as Settings
from agentos.store.database import Database

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def a_memory(text: str, **more: Any) -> Memory:
    return Memory(**{"text": text, "valid_from": NOW, "created_at": NOW, **more})


@dataclass
class MemoryRoom:
    """One home's memory, and short ways to ask it."""

    home: Home
    database: Database
    index: IndexProcess
    remembering: Remembering

    async def remember(self, text: str, **more: Any) -> Memory:
        return await self.remembering.remember(a_memory(text, **more))

    async def ask(self, query: str, **more: Any) -> Answer:
        lexical = more.pop("lexical", False)
        return await self.remembering.recall(
            self.remembering.wish(query, **more), lexical=lexical, count=False
        )

    async def texts(self, query: str, **more: Any) -> list[str]:
        return [one.memory.text for one in (await self.ask(query, **more)).found]

    async def embedded(self) -> None:
        """Wait until the embedder is there and has done its work."""
        await self.remembering.settled()
        assert self.index.embedder_state == "ready"

    async def until_answered(self, query: str, *, seconds: float = 60) -> list[str]:
        """What is found once the index itself answers again."""

        async def answered() -> list[str] | None:
            answer = await self.ask(query)
            return None if answer.note else [one.memory.text for one in answer.found]

        found: list[str] = await until(answered, seconds=seconds)
        return found

    def kill(self) -> None:
        """kill -9."""
        assert self.index.pid is not None
        subprocess.run(["kill", "-9", str(self.index.pid)], check=True)


@asynccontextmanager
async def memory_room(
    home: Home, database: Database, clock: Clock, *, embedder: str = "", **settings: Any
) -> AsyncIterator[MemoryRoom]:
    """Memory of that home, for the length of a test."""
    index = IndexProcess(
        folder=home.memory_index,
        lock=home.memory_lock,
        log_file=home.memory_log,
        embedder=embedder,
        rest=timedelta(seconds=0.1),
    )
    remembering = Remembering(
        database,
        clock=clock,
        index=index,
        settings=Settings(embedder=embedder, **settings),
        zone=ZoneInfo("Europe/Berlin"),
    )
    try:
        yield MemoryRoom(home, database, index, remembering)
    finally:
        await remembering.close()


async def until(true: Callable[[], Awaitable[Any]], *, seconds: float) -> Any:
    async with asyncio.timeout(seconds):
        while (found := await true()) is None:
            await asyncio.sleep(0.1)
    return found


def holding(folder: Path, word: str) -> list[str]:
    """The files under a folder that hold a word, in any case, as grep finds them."""
    found = subprocess.run(
        ["grep", "-rlai", "--", word, str(folder)], capture_output=True, text=True, check=False
    )
    return found.stdout.split()
