"""Memory, put together: what a database, a home and the settings make of it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from agentos.config import Config
from agentos.domain.ports import Clock
from agentos.home import Home
from agentos.memory.client import IndexProcess
from agentos.memory.diary import Diary
from agentos.memory.episodes import Episodes
from agentos.memory.forgetting import Forgetting
from agentos.memory.keeper import Keeper
from agentos.memory.recollection import MESSAGE_PATIENCE, Recollections
from agentos.memory.remembering import Remembering
from agentos.memory.requests import Requests
from agentos.store.database import Database


class MemoryRoom:
    """All that the daemon has of memory; `loops` are for it to run."""

    def __init__(
        self,
        database: Database,
        *,
        home: Home,
        config: Config,
        clock: Clock,
        patience: timedelta = MESSAGE_PATIENCE,
        embedder: str | None = None,
    ) -> None:
        """`patience` is how long the prompt of a message waits for what memory holds.

        `embedder` is instead of the configured one.
        """
        index = index_process(
            home, embedder=config.memory.embedder if embedder is None else embedder
        )
        zone = config.owner.zone
        self.remembering = Remembering(
            database, clock=clock, index=index, settings=config.memory, zone=zone
        )
        self.recollections = Recollections(
            database,
            clock=clock,
            remembering=self.remembering,
            tokens=config.memory.tokens,
            zone=zone,
            patience=patience,
        )
        self.requests = Requests(database, clock=clock, remembering=self.remembering, zone=zone)
        self.episodes = Episodes(home, zone=zone)
        self.forgetting = Forgetting(
            database,
            clock=clock,
            home=home,
            remembering=self.remembering,
            episodes=self.episodes,
        )
        self._keeper = Keeper(
            database,
            home=home,
            clock=clock,
            remembering=self.remembering,
            forgetting=self.forgetting,
        )
        self._diary = Diary(database, home=home, episodes=self.episodes)

    @property
    def loops(self) -> list[Callable[[], Awaitable[None]]]:
        """What goes on in the background, each until cancelled."""
        return [self._keeper.run, self._diary.run]

    async def close(self) -> None:
        """End the index process, when what was given is written down."""
        await self.recollections.close()
        await self.remembering.close()


def index_process(home: Home, *, embedder: str) -> IndexProcess:
    """The index process of a home; it starts with the first question."""
    return IndexProcess(
        folder=home.memory_index, lock=home.memory_lock, log_file=home.memory_log, embedder=embedder
    )
