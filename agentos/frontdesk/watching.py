"""Watching over work that the owner was told of: its message and its sign follow it to the end.

What is shown meanwhile is best effort and leaves no rows. The end is a row, written when the rows
say that the work is over: whatever crashed in between, the next start finds it open.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.ports import Channel, Clock
from agentos.domain.progress import Mark, Progress
from agentos.domain.states import JobState, OutboxState
from agentos.domain.talk import Card, Message, Outgoing
from agentos.domain.work import Job
from agentos.engine.outlook import Look, Outlook
from agentos.errors import StoreUnusable
from agentos.frontdesk import progress as words
from agentos.frontdesk.errands import Errands
from agentos.frontdesk.phrases import pause
from agentos.frontdesk.progress import JobView, PlanView, View
from agentos.store import expectations, jobs, messages, outbox, plans, rows, runs
from agentos.store import progress as told
from agentos.store.database import Database

log = logs.get(__name__)
_TICK = timedelta(seconds=1)
_LOOK_AGAIN = timedelta(seconds=10)
# A burst of commits is looked at once.
_GATHER = timedelta(milliseconds=150)
_REST = 5
# One that is on its way must not arrive after the end.
_LAST_ONE = timedelta(seconds=5)
# What fewer jobs taught is no expectation yet.
_LEAST_SAMPLES = 2


@dataclass(frozen=True)
class Watched:
    """One piece of work, how it stands, and what was said of it."""

    progress: Progress
    view: View
    row: Outgoing
    message: Message | None

    @property
    def id(self) -> int:
        """Of its progress."""
        return self.progress.id or 0

    @property
    def jobs(self) -> list[Job]:
        """Its job, or those of its steps."""
        steps = self.view.steps if isinstance(self.view, PlanView) else [self.view]
        return [step.job for step in steps]


class Watching:
    """Shows how the owner's work is getting on."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        channels: Mapping[str, Channel],
        errands: Errands,
        outlook: Outlook | None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._channels = channels
        self._errands = errands
        self._outlook = outlook
        # By progress id: what is shown, when it may be changed, and what is on its way.
        self._shown: dict[int, str] = {}
        self._not_before: dict[int, float] = {}
        self._on_its_way: dict[int, asyncio.Task[None]] = {}
        self._marks: dict[int, Mark] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        changed = self._database.listen()
        while True:
            changed.clear()
            busy, began = False, time.monotonic()
            try:
                busy = await self._look()
            except StoreUnusable as error:
                log.warning("progress_postponed", problem=str(error))
            except Exception:  # the loop's edge: showing progress must not stop for a fault of ours
                log.exception("progress_failed")
            # However much is open, it is looked at for a small part of the time.
            took = time.monotonic() - began
            await asyncio.sleep(max(_GATHER.total_seconds(), took * _REST))
            with suppress(TimeoutError):
                async with asyncio.timeout((_TICK if busy else _LOOK_AGAIN).total_seconds()):
                    await changed.wait()

    async def _look(self) -> bool:
        """Bring all that is open up to date; whether anything is."""
        found = await self._database.query(_watched)
        due = []
        for each in found:
            self._mark(each)
            if each.view.is_over:
                await self._end(each)
            elif self._is_due(each):
                due.append(each)
        if due:
            due.sort(key=lambda each: words.mark_of(each.view) is not Mark.working)
            await self._show(due)
        self._forget(but={each.id for each in found})
        return bool(found)

    def _is_due(self, each: Watched) -> bool:
        """Whether it was said, and what it shows is old enough to be changed."""
        age = self._clock.now() - each.row.created_at
        if each.row.state is not OutboxState.sent or age < pause(timedelta()):
            return False
        return each.id not in self._on_its_way and (
            time.monotonic() >= self._not_before.get(each.id, 0.0)
        )

    async def _show(self, due: list[Watched]) -> None:
        present = await self._present(due)
        for each in due:
            channel = self._channels.get(each.row.channel)
            shown = words.text(each.view, present)
            if channel is None or shown == self._shown.get(each.id):
                continue
            self._on_its_way[each.id] = self._errands.send(
                self._show_one(each, channel, shown), name="progress"
            )

    async def _present(self, due: list[Watched]) -> words.Present:
        """What each job does now, and why each waits."""
        now = self._clock.now()
        if self._outlook is None:
            return words.Present(now, {}, {})
        look = self._outlook.now()
        queued = [job for each in due for job in each.jobs if job.state is JobState.queued]
        waits: dict[int, str] = {}
        if queued:
            outlook = self._outlook
            waits = await self._database.query(lambda c: _waits(c, queued, outlook, look))
        return words.Present(now, look.doing, waits)

    async def _show_one(self, each: Watched, channel: Channel, shown: str) -> None:
        try:
            if await channel.progress(each.row, text=shown):
                self._shown[each.id] = shown
                age = self._clock.now() - each.row.created_at
                self._not_before[each.id] = time.monotonic() + pause(age).total_seconds()
            else:
                self._not_before[each.id] = time.monotonic() + _TICK.total_seconds()
        finally:
            self._on_its_way.pop(each.id, None)

    async def _end(self, each: Watched) -> None:
        """Show the end, for good."""
        if (task := self._on_its_way.get(each.id)) is not None:
            await asyncio.wait({task}, timeout=_LAST_ONE.total_seconds())
            task.cancel()
        channel = self._channels.get(each.row.channel)
        shown = words.ending(each.view) if channel is None or channel.edits_in_place else None
        at = self._clock.now()
        await self._database.write(
            lambda connection: told.end(connection, each.id, shown=shown, at=at)
        )

    def _mark(self, each: Watched) -> None:
        """Let the sign at the owner's message follow."""
        mark, message = words.mark_of(each.view), each.message
        if mark is None or message is None or self._marks.get(each.id) is mark:
            return
        self._marks[each.id] = mark
        channel = self._channels.get(message.channel)
        if channel is not None:
            self._errands.send(channel.mark(message, mark), name="mark")

    def _forget(self, *, but: set[int]) -> None:
        for known in (self._shown, self._not_before, self._marks):
            for progress_id in known.keys() - but:
                known.pop(progress_id, None)


def _watched(connection: Connection) -> list[Watched]:
    """All that is open, with what is known of it."""
    found = []
    for each in told.list_open(connection):
        view: View
        if each.plan_id is not None:
            made = jobs.list_for_plan(connection, each.plan_id)
            steps = [_view(connection, job) for job in made]
            view = PlanView(plans.get(connection, each.plan_id), steps)
        else:
            view = _view(connection, jobs.get(connection, each.job_id or 0))
        row = outbox.get(connection, each.outbox_id)
        message = _asked(connection, row.message_id) if row.message_id is not None else None
        found.append(Watched(each, view, row, message))
    return found


def _asked(connection: Connection, message_id: int) -> Message:
    """What the owner wrote: what a tap on a card became goes back to what the card was about."""
    message = messages.get(connection, message_id)
    kind, _, card_id = message.external_id.partition(":")
    if kind == "card" and card_id.isdigit():
        card = rows.find(connection, Card, int(card_id))
        if card is not None and card.message_id is not None:
            return _asked(connection, card.message_id)
    return message


def _view(connection: Connection, job: Job) -> JobView:
    assert job.id is not None
    began_at: datetime | None = None
    usual: timedelta | None = None
    if job.attempts:
        began_at = runs.first_start(connection, job.id)
        learned = expectations.find_for(connection, job)
        if learned is not None and learned.samples >= _LEAST_SAMPLES:
            usual = timedelta(seconds=learned.seconds)
    return JobView(job, began_at, usual)


def _waits(
    connection: Connection, queued: list[Job], outlook: Outlook, look: Look
) -> dict[int, str]:
    explainer = outlook.explainer(connection, look)
    return {job.id or 0: words.told(explainer.why(job)) for job in queued}
