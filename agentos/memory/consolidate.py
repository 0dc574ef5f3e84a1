"""Consolidation: what is done with memory by night, step by step, each of them safe to repeat.

The day's episodes are read for what is worth remembering, what says the same is merged, what every
session should know is proposed, what is over is closed, what is forgotten and due is erased, and
old episodes are compacted. How far it came is a row, so a start after a kill goes on there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.memory import CaptureKind, Category, CoreState, Memory, Night
from agentos.domain.ports import Clock
from agentos.errors import HomeUnusable, IndexDown, StoreUnusable
from agentos.memory import wishes
from agentos.memory.capture import Capturing
from agentos.memory.core import Core
from agentos.memory.episodes import Episodes, number_of
from agentos.memory.forgetting import Forgetting
from agentos.memory.likeness import are_two_events, better, says_no_more
from agentos.memory.material import MOST_EPISODES, REPORT
from agentos.memory.promotion import propose
from agentos.memory.remembering import Remembering
from agentos.settings import Memory as Settings
from agentos.store import captures, core_versions, memories, messages, nights, outbox
from agentos.store.database import Database

log = logs.get(__name__)
Counts = dict[str, int]
T = TypeVar("T")
_LOOK = timedelta(hours=1)
_AT_ONCE = 100
# More is left for the next night.
_MOST_MERGED = 2000
_LIKE = 8
_SAID = {
    "captured": "{} remembered",
    "replaced": "{} replaced by newer ones",
    "merged": "{} merged with what says the same",
    "proposed": "{} proposed for core memory",
    "closed": "{} closed as over",
    "erased": "{} erased for good",
    "compacted": "{} long days of episodes shortened",
    "expired": "{} old days of episodes let go",
    "unread": "{} pieces still to be read",
}
# What the owner is told of at all; shortened files are nobody's news.
_NEWS = ("captured", "replaced", "merged", "proposed", "closed", "erased")


class Consolidating:
    """The night's work on one home's memory."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        settings: Settings,
        zone: ZoneInfo,
        core: Core,
        remembering: Remembering,
        episodes: Episodes,
        capturing: Capturing,
        forgetting: Forgetting,
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._zone = zone
        self._core = core
        self._remembering = remembering
        self._episodes = episodes
        self._capturing = capturing
        self._forgetting = forgetting
        # What is asked for by hand waits for the night's own, and the other way round.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Do it each night at its time, and at the start what was missed, until cancelled."""
        while True:
            try:
                if (key := await self._due()) is not None:
                    await self.consolidate(key)
            except (StoreUnusable, HomeUnusable) as error:
                log.error("consolidation_postponed", problem=str(error))
            except Exception:  # the loop's edge: it goes on with what is left an hour later
                log.exception("consolidation_failed")
            now = self._clock.now()
            await self._clock.sleep_until(min(now + _LOOK, self._slot(now, days=1)))

    async def by_hand(self) -> str:
        """Do it now, with today's episodes; what was done, in one paragraph."""
        return await self.consolidate(f"by hand {self._clock.now().isoformat()}")

    async def consolidate(self, key: str) -> str:
        """Do all steps of a night, or those that are left; what was done, in one paragraph.

        A night that was broken off comes before another one.
        """
        steps: dict[str, Callable[[Night], Awaitable[Counts]]] = {
            "read": self._read,
            "merge": self._merge,
            "propose": self._propose,
            "close": self._close,
            "erase": self._erase,
            "compact": self._compact,
            "tell": self._tell,
        }
        async with self._turn:
            at = self._clock.now()
            night = await self._write(lambda connection: nights.begin(connection, key=key, at=at))
            for name, step in steps.items():
                if name in night.steps or night.ended_at is not None:
                    continue
                counts = await step(night)
                night = await self._write(
                    partial(nights.note, night=night, step=name, counts=counts)
                )
            if night.ended_at is None:
                night = await self._write(partial(nights.end, night=night, at=self._clock.now()))
                log.info("consolidated", night=night.key, **night.counts)
        return paragraph(night.counts)

    async def _due(self) -> str | None:
        """The key of the night that is to be done now, if any."""
        if not self._settings.consolidate_at:
            return None
        slot = self._slot(self._clock.now()).astimezone(self._zone).date()

        def read(connection: Connection) -> tuple[bool, bool]:
            unfinished = nights.find_unfinished(connection)
            known = nights.find(connection, str(slot)) is not None
            return unfinished is not None, known

        unfinished, known = await self._database.query(read)
        days = await asyncio.to_thread(self._episodes.days)
        is_new = not known and any(day < slot for day in days)
        return str(slot) if unfinished or is_new else None

    def _slot(self, now: datetime, *, days: int = 0) -> datetime:
        """The last time it was due; with `days`, so many days after that."""
        hour, _, minute = (self._settings.consolidate_at or "03:00").partition(":")
        local = now.astimezone(self._zone)
        at = time(int(hour), int(minute), tzinfo=self._zone)
        today = datetime.combine(local.date(), at)
        last = local.date() - timedelta(days=0 if today <= local else 1)
        return datetime.combine(last + timedelta(days=days), at)

    async def _read(self, night: Night) -> Counts:
        """What of the episodes is worth remembering; by night of the days that are over."""
        if not self._settings.capture:
            return {}
        today = self._today()
        # By hand: today's, too.
        days = [
            day
            for day in await asyncio.to_thread(self._episodes.days)
            if day < today or not _is_date(night.key)
        ]
        for day in days:
            lines = await asyncio.to_thread(self._episodes.read, day)
            last = max((number_of(one.ref) for one in lines if one.kind != REPORT), default=0)
            at = self._clock.now()
            await self._write(
                partial(captures.open_episodes, day=str(day), last=last, most=MOST_EPISODES, at=at)
            )
        for day_name in sorted(await self._database.query(captures.unfinished_days)):
            await self._capturing.read_waiting(source=day_name)

        def read(connection: Connection) -> Counts:
            told = captures.counts_since(connection, CaptureKind.episodes, night.started_at)
            unread = len(captures.list_waiting_of(connection, CaptureKind.episodes))
            return {
                "captured": told["captured"],
                "replaced": told["superseded"],
                "unread": unread,
            }

        return await self._database.query(read)

    async def _merge(self, night: Night) -> Counts:
        """Of memories that say the same, the better one replaces the others."""
        last = await self._database.query(nights.find_last)
        revision = (last.counts if last else {}).get("revision", 0)
        merged = seen = 0
        while seen < _MOST_MERGED:
            changed = await self._database.query(
                partial(memories.changed_since, revision=revision, limit=_AT_ONCE)
            )
            if not changed:
                break
            for row in changed:
                merged += await self._merge_one(row.id or 0)
            revision, seen = changed[-1].revision, seen + len(changed)
        return {"merged": merged, "revision": revision}

    async def _merge_one(self, memory_id: int) -> int:
        """Merge one memory with what says the same, until nothing does or it is replaced itself."""
        at, merged = self._clock.now(), 0
        seen = {memory_id}
        row = await self._database.query(partial(memories.get, memory_id=memory_id))
        while row.holds(at):
            wish = self._remembering.wish(row.text, limit=_LIKE, floor=0.0, diverse=False)
            # A recall gives so many at once: the next are found without them.
            found = (await self._remembering.recall(wish, count=False, injected=seen)).found
            same = [one for one in found if _is_same(row, one.memory, cosine=one.cosine)]
            if not same:
                break
            for one in same:
                seen.add(one.memory.id or 0)
                keep = _kept(row, one.memory, cosine=one.cosine)
                if keep is not None:
                    drop = one.memory if keep is row else row
                    merged += await self._write(
                        partial(_replace, drop_id=drop.id or 0, keep_id=keep.id or 0, at=at)
                    )
            row = await self._database.query(partial(memories.get, memory_id=memory_id))
        return merged

    async def _propose(self, night: Night) -> Counts:
        at = self._clock.now()
        return await self._write(lambda connection: propose(connection, self._core, at=at))

    async def _close(self, night: Night) -> Counts:
        """What was going on, and nobody has asked for since, is over."""
        days, closed = self._settings.context_days, 0
        if days == 0:
            return {}
        at = self._clock.now()
        before = at - timedelta(days=days)

        def close(connection: Connection) -> int:
            idle = memories.list_idle(connection, Category.context, before=before, limit=_AT_ONCE)
            for row in idle:
                memories.close(connection, row.id or 0, at=at)
            return len(idle)

        while some := await self._write(close):
            closed += some
        return {"closed": closed}

    async def _erase(self, night: Night) -> Counts:
        try:
            return {"erased": len(await self._forgetting.erase_due())}
        except IndexDown as error:  # it is due tomorrow, too
            log.warning("erasing_postponed", problem=str(error))
            return {"erased": 0}

    async def _compact(self, night: Night) -> Counts:
        """Shorten days that were read, and let go of the oldest; what memories cite stays."""
        refs = await self._database.query(memories.cited)
        unread = await self._database.query(captures.unfinished_days)
        return await asyncio.to_thread(self._compact_files, refs, unread)

    def _compact_files(self, refs: set[str], unread: set[str]) -> Counts:
        compacted, newest, every = 0, date.min, set()
        for day in self._episodes.days():
            lines = self._episodes.read(day)
            cited = {one.ref for one in lines if one.ref in refs or one.source in refs}
            every |= cited
            if any(one.kind != REPORT for one in lines):
                newest = day
            if day < self._today() and str(day) not in unread:
                compacted += self._episodes.compact(day, cited=cited)
        window = timedelta(days=self._settings.episode_days)
        # A clock that jumped ahead makes nothing old: it is counted from the last thing noted.
        today = min(self._today(), newest + timedelta(days=1)) if newest > date.min else None
        gone = self._episodes.expire(today=today, window=window, cited=every) if today else []
        return {"compacted": compacted, "expired": len(gone)}

    async def _tell(self, night: Night) -> Counts:
        """One paragraph: an episode, and a quiet message when there is news."""
        text = paragraph(night.counts)
        if not text:
            return {}
        at, source = self._clock.now(), f"night:{night.key}"
        await asyncio.to_thread(self._note, text, at, source)
        if any(night.counts.get(name) for name in _NEWS):
            await self._write(partial(_say, text=text, key=source, counts=night.counts, at=at))
        return {}

    def _note(self, text: str, at: datetime, source: str) -> None:
        """Append it, unless a kill came after that."""
        day = at.astimezone(self._zone).date()
        near = [*self._episodes.read(day), *self._episodes.read(day - timedelta(days=1))]
        if not any(one.source == source for one in near):
            self._episodes.append(REPORT, text, at=at, source=source)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._database.write(work, tell=False)

    def _today(self) -> date:
        return self._clock.now().astimezone(self._zone).date()


def paragraph(counts: Counts) -> str:
    """What a night did, in one sentence; empty when that was nothing."""
    said = [words.format(counts[name]) for name, words in _SAID.items() if counts.get(name)]
    return f"Memory was tidied: {', '.join(said)}." if said else ""


def _is_same(one: Memory, other: Memory, *, cosine: float) -> bool:
    if one.project_id != other.project_id:
        return False
    if are_two_events(one.category, one.valid_from, other):
        return False
    return says_no_more(one.text, other.text, cosine=cosine) or says_no_more(
        other.text, one.text, cosine=cosine
    )


def _kept(one: Memory, other: Memory, *, cosine: float) -> Memory | None:
    """Which to keep of two that say the same; None when one says more on a lesser word."""
    less, more = one, other
    if not says_no_more(less.text, more.text, cosine=cosine):
        less, more = other, one
    if says_no_more(more.text, less.text, cosine=cosine):
        return better(one, other)
    return more if better(more, less) is more or more.trust is less.trust else None


def _replace(connection: Connection, *, drop_id: int, keep_id: int, at: datetime) -> int:
    found = memories.by_ids(connection, [drop_id, keep_id])
    if len(found) < 2 or not all(row.current for row in found.values()):
        return 0
    memories.supersede(connection, drop_id, by=keep_id, at=at)
    return 1


def _say(connection: Connection, *, text: str, key: str, counts: Counts, at: datetime) -> None:
    conversation = messages.find_last_conversation(connection)
    if conversation is None:
        return
    if counts.get("proposed"):
        wish = core_versions.get(connection, counts.get("proposal", 0))
        if wish.state is CoreState.proposed:
            wishes.ask(connection, wish, conversation=conversation, said=text, at=at)
            return
    outbox.say(connection, key=key, conversation=conversation, text=text, at=at, silent=True)


def _is_date(key: str) -> bool:
    try:
        date.fromisoformat(key)
    except ValueError:
        return False
    return True
