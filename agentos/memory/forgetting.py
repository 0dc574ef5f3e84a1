"""Forgetting for good: a text goes out of all that is kept under home.

Out of the episodes, what was proposed, said and done, what sessions wrote down, the index, the row.

The row goes last: as long as it is due it tells what has to go, so a kill at any point costs no
more than doing it again.
"""

import asyncio

from sqlalchemy import Connection

from agentos.domain.memory import Memory
from agentos.domain.ports import Clock
from agentos.home import Home
from agentos.memory import traces
from agentos.memory.episodes import Episodes
from agentos.memory.remembering import Remembering
from agentos.store import blotting, core_versions, memories
from agentos.store.database import Database


class Forgetting:
    """Takes what is forgotten and due out of everything under home that we keep of it."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        home: Home,
        remembering: Remembering,
        episodes: Episodes,
    ) -> None:
        self._database = database
        self._clock = clock
        self._home = home
        self._remembering = remembering
        self._episodes = episodes

    async def forget_now(self, memory_id: int) -> int:
        """Forget something for good, at once; how many episodes told of it. Raises IndexDown."""
        at = self._clock.now()
        row = await self._database.write(
            lambda connection: memories.forget(connection, memory_id, at=at, erase_at=at)
        )
        erased = await self._erase_episodes([row])
        await self.erase_due()
        return erased

    async def erase_due(self) -> list[int]:
        """Erase everything whose time has come; its ids. Raises IndexDown."""
        at = self._clock.now()
        due = await self._database.query(lambda connection: memories.list_due(connection, at=at))
        if not due:
            return []
        await self._erase_episodes(due)
        texts = [row.text for row in due if len(row.text) >= traces.LEAST]

        def blot_out(connection: Connection) -> None:
            core_versions.erase(connection, texts)
            blotting.blot_out(connection, texts)

        await self._database.write(blot_out)
        await asyncio.to_thread(traces.blot_out, self._home, texts)
        return await self._remembering.erase_due()

    async def _erase_episodes(self, due: list[Memory]) -> int:
        texts = [row.text for row in due if row.text]
        refs = {row.source_ref for row in due if row.source_ref}
        return await asyncio.to_thread(self._episodes.erase, texts, refs=refs)
