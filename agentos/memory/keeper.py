"""The keeper: has the index process running, notices hand edits, erases what is due.

All of it in the background. The process is started when there is something to remember, and again,
after a while that grows, when it has died; meanwhile recall goes by the rows.
"""

import asyncio
from datetime import datetime, timedelta

from agentos import log as logs
from agentos.domain.ports import Clock
from agentos.errors import AgentosError, IndexDown
from agentos.home import Home
from agentos.memory.core import Core
from agentos.memory.forgetting import Forgetting
from agentos.memory.remembering import Remembering
from agentos.store import memories
from agentos.store.database import Database

log = logs.get(__name__)
# The first seconds of a daemon are for its channels and its fork server.
_FIRST = timedelta(seconds=2)
_LOOK = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(minutes=1)
_ERASE_EVERY = timedelta(hours=1)


class Keeper:
    """One loop of the daemon's."""

    def __init__(
        self,
        database: Database,
        *,
        home: Home,
        clock: Clock,
        remembering: Remembering,
        forgetting: Forgetting,
        first: timedelta = _FIRST,
        look: timedelta = _LOOK,
    ) -> None:
        """`first` is how long to wait at the start, `look` how often to look after that."""
        self._database = database
        self._home = home
        self._clock = clock
        self._remembering = remembering
        self._forgetting = forgetting
        self._core = Core(home)
        self._first = first
        self._look = look
        # When the core file was written, as it was seen last.
        self._core_written = 0.0
        self._erased_at: datetime | None = None
        self._failures = 0

    async def run(self) -> None:
        """Look after it until cancelled."""
        pause = self._first
        while True:
            await asyncio.sleep(pause.total_seconds())
            pause = await self.look()

    async def look(self) -> timedelta:
        """Do what there is to do; returns how long to wait until the next look."""
        try:
            await self._notice_core()
            if await self._database.query(memories.newest_revision):
                await self._remembering.sync()
                await self._erase()
        except IndexDown as error:
            self._failures += 1
            if self._failures == 1:
                log.warning("index_down", problem=str(error))
            return min(self._look * float(2 ** min(self._failures, 10)), _LONGEST_PAUSE)
        except (AgentosError, OSError) as error:
            log.warning("memory_not_looked_after", problem=str(error))
            return _LONGEST_PAUSE
        if self._failures:
            log.info("index_back", failures=self._failures)
            self._failures = 0
        return self._look

    async def _notice_core(self) -> None:
        """A core file that was edited by hand becomes a version."""
        written = await asyncio.to_thread(_written, self._home)
        if written != self._core_written:
            at = self._clock.now()
            await self._database.write(lambda c: self._core.notice(c, at=at), tell=False)
            self._core_written = written

    async def _erase(self) -> None:
        now = self._clock.now()
        if self._erased_at is not None and timedelta() <= now - self._erased_at < _ERASE_EVERY:
            return
        if erased := await self._forgetting.erase_due():
            log.info("memories_erased", count=len(erased))
        self._erased_at = now


def _written(home: Home) -> float:
    try:
        return home.core_memory_file.stat().st_mtime_ns / 1e9
    except FileNotFoundError:
        return -1.0
