"""Capture: after each job and each lull in a talk, what of it is worth remembering.

A piece is a row before anybody reads it. Reading it costs a model call; what came of it, the
memories and the cost are written in the one transaction that ends the piece.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import zip_longest
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.ledger import Purpose, Usage
from agentos.domain.memory import Capture, CaptureKind, CaptureState, Memory
from agentos.domain.ports import Clock
from agentos.errors import HomeUnusable, StoreUnusable
from agentos.home import Home
from agentos.memory import material
from agentos.memory.episodes import Episodes
from agentos.memory.judge import Judging, Question, Verdict
from agentos.memory.likeness import are_two_events, says_no_more
from agentos.memory.material import Part
from agentos.memory.remembering import Remembering
from agentos.memory.sifting import Step, sift
from agentos.settings import Memory as Settings
from agentos.store import captures, memories, usage
from agentos.store.database import Database

log = logs.get(__name__)
Injected = Callable[[Connection, Capture], Collection[Memory]]
_LOOK = timedelta(seconds=30)
# A job that has just ended may be followed by another: who works is not disturbed.
_REST = timedelta(minutes=1)
_DAY = timedelta(days=1)
# Nonsense is asked for once more, later; an outage until it is over, each time a little later.
_TRIES = 2
_AFTER_NONSENSE = timedelta(hours=1)
_AFTER_OUTAGE = timedelta(minutes=5)
_LONGEST_OUTAGE_WAIT = timedelta(hours=6)
# What a judge is shown of what is remembered already.
_NEAR = 120
_NEAR_A_LINE = 12
_MOST_QUERIES = 30
_LIKE = 8


@dataclass
class _Read:
    """What was decided about a piece, part by part, and what that used."""

    steps: list[Step] = field(default_factory=list)
    bills: list[Verdict] = field(default_factory=list)
    trouble: Verdict | None = None


class Capturing:
    """Looks through what was said and done. `injected` tells what memory a piece was given."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        home: Home,
        settings: Settings,
        remembering: Remembering,
        episodes: Episodes,
        judge: Judging,
        zone: ZoneInfo,
        injected: Injected = lambda connection, piece: (),
    ) -> None:
        self._database = database
        self._clock = clock
        self._home = home
        self._settings = settings
        self._remembering = remembering
        self._episodes = episodes
        self._judge = judge
        self._zone = zone
        self._injected = injected
        self._quiet = timedelta(minutes=settings.lull_minutes)
        # How far there is nothing more to find, so that it is not looked for each time.
        self._from: captures.Begin | None = None
        # One at a time: the night's work asks the same judge.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            try:
                await self.look()
            except (StoreUnusable, HomeUnusable) as error:
                log.error("capture_postponed", problem=str(error))
            except Exception:  # the loop's edge: no piece may stop those behind it
                log.exception("capture_failed")
            await self._clock.sleep_until(self._clock.now() + _LOOK)

    async def look(self) -> int:
        """Write down what is new, and look through what waits; how many pieces were read."""
        at = self._clock.now()
        if self._from is None:
            self._from = await self._database.write(
                lambda connection: captures.begin(connection, on=self._settings.capture, at=at),
                tell=False,
            )
        if not self._settings.capture:
            return 0
        self._from = await self._database.write(
            partial(self._open, start=self._from, at=at), tell=False
        )
        return await self.read_waiting()

    async def read_waiting(
        self, *, source: str | None = None, purpose: Purpose = Purpose.capture
    ) -> int:
        """Look through what waits, of one source or of all; how many pieces were read."""
        read, tried = 0, set()
        async with self._turn:
            try:
                while True:
                    at = self._clock.now()
                    waiting = await self._database.query(
                        partial(captures.list_waiting, at=at, source=source)
                    )
                    waiting = [piece for piece in waiting if piece.id not in tried]
                    if not waiting or not await self._may_ask(at):
                        return read
                    for piece in waiting:
                        tried.add(piece.id)
                        read += await self._capture(piece, purpose=purpose)
            finally:
                if tried:
                    await self._judge.rest()

    async def capture(
        self, piece: Capture, *, injected: Collection[Memory], purpose: Purpose = Purpose.capture
    ) -> bool:
        """Look through one piece, of which this memory was given before; whether it is settled."""
        parts, forgotten = await self._database.query(partial(self._gather, piece=piece))
        parts = material.without(parts, forgotten)
        told = _Read()
        for part in parts:
            await self._read_part(part, told, injected=injected, forgotten=forgotten)
            if told.trouble is not None:
                break
        at = self._clock.now()
        settled = await self._database.write(
            lambda connection: _settle(connection, piece, told, purpose=purpose, at=at), tell=False
        )
        log.info("captured", piece=piece.key, parts=len(parts), settled=settled)
        return settled

    async def _capture(self, piece: Capture, *, purpose: Purpose) -> bool:
        if piece.kind is CaptureKind.episodes:
            purpose = Purpose.maintenance
        injected = await self._database.query(lambda connection: self._injected(connection, piece))
        return await self.capture(piece, injected=injected, purpose=purpose)

    def _open(
        self, connection: Connection, *, start: captures.Begin, at: datetime
    ) -> captures.Begin:
        newest = captures.newest_message(connection)
        _, all_done = captures.open_talks(connection, start, quiet=self._quiet, at=at)
        _, run = captures.open_jobs(connection, start, rest=_REST, at=at)
        message = newest if all_done else start.message
        return captures.Begin(message, start.said, run)

    def _gather(self, connection: Connection, *, piece: Capture) -> tuple[list[Part], list[Memory]]:
        parts = material.of_piece(connection, piece, home=self._home, episodes=self._episodes)
        return parts, memories.list_forgotten(connection)

    async def _may_ask(self, at: datetime) -> bool:
        """Whether the day's tokens are not used up."""
        limit = self._settings.capture_tokens
        if limit == 0:
            return True
        used = await self._database.query(
            lambda connection: usage.tokens_for(
                connection, (Purpose.capture, Purpose.maintenance), since=at - _DAY
            )
        )
        if used >= limit:
            log.warning("capture_waits", used=used, limit=limit)
        return used < limit

    async def _read_part(
        self,
        part: Part,
        told: _Read,
        *,
        injected: Collection[Memory],
        forgotten: Sequence[Memory],
    ) -> None:
        near = await self._near(part, injected=injected)
        question = Question(
            now=self._clock.now(),
            about=part.about,
            lines=part.lines,
            near=near,
            injected={one.id or 0 for one in injected},
            zone=self._zone,
        )
        verdict = await self._judge.judge(question)
        told.bills.append(verdict)
        if verdict.outage or verdict.nonsense:
            told.trouble = verdict
            return
        told.steps += [Step(refused=1)] * verdict.broken
        for proposal in verdict.proposals:
            wish = self._remembering.wish(proposal.text, limit=_LIKE, floor=0.0, diverse=False)
            like = (await self._remembering.recall(wish, count=False)).found
            told.steps.append(
                sift(
                    proposal,
                    question,
                    like=like,
                    forgotten=forgotten,
                    project_id=part.project_id,
                )
            )

    async def _near(self, part: Part, *, injected: Collection[Memory]) -> list[Memory]:
        """What is remembered about what was said: the longest lines ask, the owner's first."""
        by_weight = sorted(part.lines, key=lambda line: (line.who != "owner", -len(line.text)))
        answers = []
        for line in by_weight[:_MOST_QUERIES]:
            wish = self._remembering.wish(line.text, limit=_NEAR_A_LINE, diverse=False)
            answers.append((await self._remembering.recall(wish, count=False)).found)
        found: dict[int, Memory] = {one.id or 0: one for one in injected if one.current}
        most = len(found) + _NEAR
        # The best of each line first, so that a talk about many things is shown something of each.
        for rank in zip_longest(*answers):
            for one in rank:
                if one is not None and len(found) < most:
                    found.setdefault(one.memory.id or 0, one.memory)
        return list(found.values())


def _settle(
    connection: Connection, piece: Capture, told: _Read, *, purpose: Purpose, at: datetime
) -> bool:
    """Write what came of a piece, all of it or nothing; whether it is settled."""
    now = captures.find(connection, piece.id or 0)
    if now is None or now.state is not CaptureState.waiting:
        return False  # somebody else was quicker
    for verdict in told.bills:
        _bill(connection, verdict, purpose=purpose, at=at)
    if told.trouble is not None:
        _postpone(connection, now, told.trouble, at=at)
        return False
    counts = dict.fromkeys(("captured", "superseded", "ignored", "duplicate", "refused"), 0)
    made: list[Memory] = []
    for number, step in enumerate(told.steps):
        _do(connection, step, key=f"capture:{now.id}:{number}", made=made, counts=counts, at=at)
    captures.change(
        connection,
        now.id or 0,
        state=CaptureState.done,
        ended_at=at,
        problem="",
        retry_at=None,
        **counts,
    )
    return True


def _do(
    connection: Connection,
    step: Step,
    *,
    key: str,
    made: list[Memory],
    counts: dict[str, int],
    at: datetime,
) -> None:
    counts["ignored"] += step.ignored
    counts["refused"] += step.refused
    row, known = step.row, step.known
    if row is not None:
        same = next((one for one in made if says_no_more(row.text, one.text)), None)
        same = same or memories.find_same(connection, row.text, trust=row.trust)
        if same is not None and are_two_events(row.category, row.valid_from, same):
            same = None
        known = same.id if same is not None else None
    if row is not None and known is None:
        row.key, row.created_at = key, at
        made.append(memories.add(connection, row))
        known = row.id
        counts["captured"] += 1
    elif known is not None:
        counts["duplicate"] += 1
    for old in step.closes:
        counts["superseded"] += _close(
            connection, old, known or 0, said_at=step.said_at or at, at=at
        )


def _close(
    connection: Connection, old_id: int, new_id: int, *, said_at: datetime, at: datetime
) -> int:
    """Let one memory replace another; what turns out to be older news is filed behind it."""
    found = memories.by_ids(connection, [old_id, new_id])
    old, new = found.get(old_id), found.get(new_id)
    if old is None or new is None or old_id == new_id or not (old.current and new.current):
        return 0
    if said_at < old.valid_from:
        old, new = new, old
    memories.supersede(connection, old.id or 0, by=new.id or 0, at=at)
    return 1


def _postpone(connection: Connection, now: Capture, trouble: Verdict, *, at: datetime) -> None:
    if trouble.nonsense:
        failed = now.failed + 1
        values = {"failed": failed, "problem": trouble.nonsense, "retry_at": at + _AFTER_NONSENSE}
        if failed >= _TRIES:
            values |= {"state": CaptureState.failed, "ended_at": at, "retry_at": None}
        captures.change(connection, now.id or 0, **values)
        return
    wait = min(_AFTER_OUTAGE * 2 ** min(now.unanswered, 10), _LONGEST_OUTAGE_WAIT)
    captures.change(
        connection,
        now.id or 0,
        unanswered=now.unanswered + 1,
        problem=trouble.outage,
        retry_at=at + max(wait, trouble.retry_after or timedelta()),
    )


def _bill(connection: Connection, verdict: Verdict, *, purpose: Purpose, at: datetime) -> None:
    used = verdict.usage
    if used is None or not used.tokens:
        return
    values = used.model_dump(exclude={"model"})
    model = used.model[:100] or "unknown"
    usage.record(connection, Usage(purpose=purpose, backend="claude", model=model, at=at, **values))
