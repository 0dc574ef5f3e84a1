"""Remember, recall, forget: the rows first, then the index, which is only ever behind.

What is written to the rows is remembered. Before each search the index is told what has changed
since the last, so that a memory is found by the very next recall, whoever wrote it.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.memory import Memory
from agentos.domain.ports import Clock
from agentos.errors import IndexDown
from agentos.memory import passages
from agentos.memory.client import IndexProcess
from agentos.memory.recall import Hit, Recalled, Use, Weights, Wish, choose, in_order
from agentos.memory.words import bm25, meaningful, stem
from agentos.settings import Memory as Settings
from agentos.store import memories, scrubbing
from agentos.store.database import Database

log = logs.get(__name__)
# How many candidates of each search are looked at closely.
_CANDIDATES = 150
_LOOKED_AT = 70
_BATCH = 500
_SEARCH = timedelta(seconds=10)
_SYNC = timedelta(seconds=30)
_LONG = timedelta(minutes=30)


@dataclass(frozen=True)
class Answer:
    """What was recalled, and what the asker should know about how."""

    found: list[Recalled]
    # Empty when everything went as it should.
    note: str = ""
    embed_ms: float = 0.0


@dataclass
class _Synced:
    """How far the index has heard of the rows."""

    generation: str = ""
    revision: int = 0
    # What is under way. It is nobody's own: whoever loses patience leaves it to go on.
    task: asyncio.Task[None] | None = None


class Remembering:
    """All that is done with memories, for one home."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        index: IndexProcess,
        settings: Settings,
        zone: ZoneInfo,
    ) -> None:
        self._database = database
        self._clock = clock
        self._index = index
        self._settings = settings
        self._zone = zone
        self._synced = _Synced()

    async def remember(self, row: Memory, *, instead_of: Collection[int] = ()) -> Memory:
        """Keep a memory, and close those it replaces, in one transaction.

        Raises NotFound and WrongState, as `memories.supersede` does.
        """
        at = self._clock.now()

        def write(connection: Connection) -> Memory:
            made = memories.add(connection, row)
            for old in instead_of:
                memories.supersede(connection, old, by=made.id or 0, at=at)
            return made

        return await self._database.write(write)

    def wish(self, query: str, **more: Any) -> Wish:
        """A question as the settings want it answered; `more` are fields of `Wish`."""
        settings = self._settings
        weights = Weights(settings.similarity, settings.recency, settings.importance, settings.use)
        half_life = timedelta(days=settings.half_life_days)
        plain = Wish(query, self._clock.now(), floor=settings.floor, weights=weights)
        return replace(plain, half_life=half_life, **more)

    async def recall(
        self,
        wish: Wish,
        *,
        lexical: bool = False,
        injected: Collection[int] = (),
        count: bool = True,
        patience: timedelta = _SEARCH,
    ) -> Answer:
        """What answers a question, best first. Never fails for want of the index.

        After `patience` the rows answer instead: at a start, or while the index is made again.
        `count` notes the use of what was found, which makes it weigh more the next time.
        """
        try:
            async with asyncio.timeout(patience.total_seconds()):
                hits, answer = await self._ask_index(wish, lexical=lexical)
        except (IndexDown, TimeoutError) as error:
            log.warning("recall_without_index", problem=str(error))
            hits, answer = [], Answer([], note="The index is not ready: found by plain words.")
            rows = await self._database.query(partial(_by_words, wish=wish))
            hits = [Hit(row.id or 0, score, score, 0.0) for row, score in rows]

        def decide(connection: Connection) -> list[Recalled]:
            rows = _Rows(connection, in_order(hits))
            counted = memories.uses(connection, rows.order)
            uses = {key: Use(row.times, row.last_at) for key, row in counted.items()}
            return choose(wish, hits, memories=rows, uses=uses, injected=injected)

        found = await self._database.query(decide)
        if count and found:
            ids = [one.memory.id or 0 for one in found]
            await self._database.write(
                lambda connection: memories.note_use(connection, ids, at=wish.at), tell=False
            )
        return replace(answer, found=found)

    async def forget(self, memory_id: int, *, now: bool = False) -> Memory:
        """Take a memory out of every recall. It can be restored for a while; with `now` it cannot.

        With `now`, raises IndexDown when the index could not be cleaned; it will be at its start.
        """
        at = self._clock.now()
        erase_at = at if now else at + timedelta(days=self._settings.forget_days)
        row = await self._database.write(
            lambda connection: memories.forget(connection, memory_id, at=at, erase_at=erase_at)
        )
        if now:
            await self.erase_due()
        return row

    async def restore(self, memory_id: int) -> Memory:
        """Take a forgetting back. Raises WrongState when it is too late."""
        at = self._clock.now()
        return await self._database.write(
            lambda connection: memories.restore(connection, memory_id, at=at)
        )

    async def erase_due(self) -> list[int]:
        """Erase what was forgotten long enough ago: in the rows, the index, and their files.

        Safe to be killed in the midst of it: what is still due is found again.
        """
        at = self._clock.now()
        due = await self._database.query(lambda connection: memories.list_due(connection, at=at))
        if not due:
            return []
        ids, texts = [row.id or 0 for row in due], [row.text for row in due]
        # The index first: once the rows are empty, nothing tells any more what has to go.
        await self.sync()
        generation = self._synced.generation
        await self._index.call("scrub", within=_LONG)
        if self._index.generation != generation:
            # It was killed before it had written what was to go, and another one was asked.
            raise IndexDown(problem="it was started again in the midst of an erasing")
        await self._database.write(lambda connection: memories.erase(connection, ids, at=at))
        if not await asyncio.to_thread(scrubbing.scrub, self._database, texts):
            log.warning("erased_text_may_remain", memories=len(ids))
        return ids

    async def sync(self) -> None:
        """Tell the index what it has not heard yet. Raises IndexDown."""
        before = self._synced.task
        if before is not None and not before.done():
            # It began before us, and may have read the rows before what we are to find was there.
            await asyncio.wait([before])
        if self._synced.task is before or self._synced.task is None:
            self._synced.task = asyncio.create_task(self._sync())
            self._synced.task.add_done_callback(_heard)
        await asyncio.shield(self._synced.task)

    async def close(self) -> None:
        """End the index process. Nothing is lost: it is compared with the rows at each start."""
        task, self._synced.task = self._synced.task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._index.close()

    @property
    def state(self) -> str:
        """How the index goes: idle (nothing asked yet), loading, ready, off, missing…, or down."""
        if self._index.pid is None:
            return "down" if self._index.generation else "idle"
        return self._index.embedder_state

    async def status(self) -> dict[str, Any]:
        """How the index is, and what there is to recall."""
        told = await self._database.query(memories.counts)
        try:
            await self.sync()
            index = await self._index.call("status", within=_SYNC)
        except IndexDown as error:
            index = {"problem": str(error)}
        return {"memories": told, "index": {**index, "embedder": self._index.embedder_state}}

    async def settled(self) -> None:
        """Return when everything is in the index, embedded and merged. Raises IndexDown."""
        await self.sync()
        await self._index.call("settle", within=_LONG)

    async def _ask_index(self, wish: Wish, *, lexical: bool) -> tuple[list[Hit], Answer]:
        words = " ".join(meaningful(wish.query))
        asked = {"words": words, "query": wish.query, "limit": _CANDIDATES, "lexical": lexical}
        for _ in range(2):
            await self.sync()
            generation = self._synced.generation
            told = await self._index.call("search", within=_SEARCH, **asked)
            if self._index.generation == generation:
                break
        note = "" if lexical else self._note(told["waiting"])
        hits = [Hit(*hit) for hit in told["hits"]]
        return hits, Answer([], note=note, embed_ms=told["embed_ms"])

    def _note(self, waiting: int) -> str:
        state = self._index.embedder_state
        if state == "loading":
            return "The embedder is loading: found by words alone."
        if state.startswith("missing"):
            return f"Found by words alone; the embedder is {state}"
        if waiting:
            return f"{waiting} memories are not embedded yet: those were found by words alone."
        return ""

    async def _sync(self) -> None:
        """Bring the index up to date; all of it when it began anew."""
        if not self._index.generation or self._index.pid is None:
            await self._index.call("tally", within=_SYNC)
        if self._synced.generation != self._index.generation:
            await self._compare()
        while True:
            read = partial(memories.changed_since, revision=self._synced.revision, limit=_BATCH)
            changed = await self._database.query(read)
            if not changed:
                return
            await self._tell(changed)
            self._synced.revision = changed[-1].revision

    async def _compare(self) -> None:
        """Hold what the index has against the rows, and mend the difference."""
        generation = self._index.generation

        def read(connection: Connection) -> tuple[memories.Tally, int]:
            return memories.tally(connection), memories.newest_revision(connection)

        tally, newest = await self._database.query(read)
        told = await self._index.call("tally", within=_SYNC)
        if tuple(told["tally"]) != (tally.count, tally.newest, tally.total):
            here = await self._database.query(memories.indexed_revisions)
            found = await self._index.call("revisions", within=_SYNC)
            there = dict(map(tuple, found["revisions"]))
            stale = sorted(key for key, value in here.items() if there.get(key) != value)
            gone = sorted(there.keys() - here.keys())
            log.info("index_mended", stale=len(stale), gone=len(gone))
            await self._index.call("put", within=_SYNC, parts=[], drop=gone)
            for start in range(0, len(stale), _BATCH):
                some = stale[start : start + _BATCH]
                read_some: Callable[[Connection], dict[int, Memory]] = partial(
                    memories.by_ids, ids=some
                )
                await self._tell(list((await self._database.query(read_some)).values()))
        self._synced.revision, self._synced.generation = newest, generation

    async def _tell(self, changed: Sequence[Memory]) -> None:
        """Give the index the new state of some memories, and of those they stand beside."""
        parts, drop = await self._database.query(
            lambda connection: passages.gather(connection, changed, zone=self._zone)
        )
        await self._index.call("put", within=_SYNC, parts=parts, drop=drop)


class _Rows(Mapping[int, Memory]):
    """The rows of candidates as they are now, read when they are looked at, some at a time.

    Of hundreds of candidates the first seventy or so decide, and reading a row takes longer than
    finding it.
    """

    def __init__(self, connection: Connection, order: Sequence[int]) -> None:
        self.order = order
        self._connection = connection
        self._found: dict[int, Memory] = {}
        self._looked = 0

    def __getitem__(self, memory_id: int) -> Memory:
        while memory_id not in self._found and self._looked < len(self.order):
            some = self.order[self._looked : self._looked + _LOOKED_AT]
            self._looked += len(some)
            self._found.update(memories.by_ids(self._connection, some))
        return self._found[memory_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


def _heard(task: "asyncio.Task[None]") -> None:
    """Whoever waits hears of its failure; when nobody does any more, it is tried again anyway."""
    if not task.cancelled():
        task.exception()


def _by_words(connection: Connection, wish: Wish) -> list[tuple[Memory, float]]:
    """What the rows alone find: slower and plainer, and never out of order."""
    stems = [stem(word) for word in meaningful(wish.query)]
    found = memories.with_words(connection, stems, limit=_CANDIDATES)
    scores = bm25(wish.query, [row.text for row in found])
    return list(zip(found, scores, strict=True))
