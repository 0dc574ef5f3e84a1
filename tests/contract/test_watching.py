"""Work that the owner was told of: its message and its sign follow it to the end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from agentos.domain.progress import Mark
from agentos.domain.states import Actor, JobState
from agentos.domain.talk import Card, CardKind, Message, Outgoing
from agentos.domain.triage import QuickWork, Triage
from agentos.domain.work import Job
from agentos.engine.sessions import Sessions
from agentos.frontdesk import deciding, effects, presses
from agentos.frontdesk.errands import Errands
from agentos.frontdesk.intake import Intake
from agentos.frontdesk.triage import Decided
from agentos.frontdesk.watching import Watching
from agentos.standins.clock import VirtualClock
from agentos.store import cards, jobs, messages, outbox, progress, rows
from agentos.store.database import Database
from tests.desk_room import TALK, PlainChannel

__all__ = ["Sessions"]
WAYS = effects.Ways(model="sonnet", timeout=timedelta(minutes=30), zone=None)  # type: ignore[arg-type]


class Room:
    """A watcher, and somebody who plays owner, desk and engine."""

    def __init__(self, database: Database, clock: VirtualClock) -> None:
        self.database, self.clock = database, clock
        self.channel = PlainChannel()
        self.errands = Errands()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        watching = Watching(
            self.database,
            clock=self.clock,
            channels={"telegram": self.channel},
            errands=self.errands,
            outlook=None,
        )
        self._loop = asyncio.create_task(watching.run())

    async def stop(self) -> None:
        assert self._loop is not None
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)
        await self.errands.call_off()

    async def asks(self, text: str) -> Job:
        """The owner asks for work, and is told of it."""
        at = self.clock.now()
        work = QuickWork(outcome="quick_work", title=text, kind="writing", prompt=text)  # type: ignore[arg-type]
        decided = Decided(Triage(reason="scripted", decision=work), by="a test")

        def write(connection: Connection) -> Job:
            row = Message(
                channel="telegram",
                conversation=TALK,
                external_id=text,
                external_message_id="7",
                text=text,
                received_at=at,
            )
            message = messages.receive(connection, row)
            assert message is not None
            deciding.decide(connection, message, decided, Intake(shown=text), ways=WAYS, at=at)
            (job,) = jobs.list_for_message(connection, message.id or 0)
            row = outbox.find_by_key(connection, f"ack:{message.id}")
            assert row is not None
            outbox.mark_sending(connection, row.id or 0)
            outbox.mark_sent(connection, row.id or 0, external_id="100", at=at)
            return job

        return await self.database.write(write)

    async def move(self, job: Job, state: JobState, *, by: Actor = Actor.engine) -> None:
        at = self.clock.now()
        await self.database.write(lambda c: jobs.move(c, job.id or 0, state, by=by, at=at))

    async def ends(self) -> list[Outgoing]:
        said = await self.database.query(lambda c: rows.newest(c, Outgoing, limit=100))
        return [row for row in said if row.key.startswith(outbox.PROGRESS_END)]

    async def until(self, true: Callable[[], Any], *, seconds: float = 30) -> Any:
        async with asyncio.timeout(seconds):
            while not (found := true()):
                await asyncio.sleep(0.02)
        return found

    async def over(self, *, ends: int = 1) -> None:
        async with asyncio.timeout(30):
            while len(await self.ends()) < ends:
                await asyncio.sleep(0.02)


@pytest.fixture
async def room(database: Database, clock: VirtualClock) -> AsyncIterator[Room]:
    made = Room(database, clock)
    made.start()
    yield made
    await made.stop()


async def test_one_message_tells_of_a_job_to_its_end_and_the_sign_follows(room: Room) -> None:
    job = await room.asks("write a note")
    room.clock.advance(timedelta(seconds=30))
    await room.until(lambda: any("waits for its turn · 3" in text for text in room.channel.shown))
    await room.move(job, JobState.running)
    await room.until(lambda: any("⚙ write a note (#1)" in text for text in room.channel.shown))
    await room.move(job, JobState.done)
    await room.over()
    (end,) = await room.ends()
    assert end.text == "✅ write a note"
    assert (end.edits_id, end.silent, end.job_id, end.buttons) == (1, True, job.id, [])
    assert [mark for _, mark in room.channel.marks] == [Mark.working, Mark.done]
    shown = len(room.channel.shown)
    room.clock.advance(timedelta(minutes=5))
    await asyncio.sleep(0.5)
    assert len(room.channel.shown) == shown


async def test_a_restart_goes_on_with_the_same_message(room: Room) -> None:
    job = await room.asks("write a note")
    await room.move(job, JobState.running)
    await room.stop()
    await room.move(job, JobState.failed)
    room.channel.marks.clear()
    room.start()
    await room.over()
    (end,) = await room.ends()
    assert (end.text, end.edits_id) == ("⚠ write a note · did not work out", 1)
    assert room.channel.marks == [(1, Mark.failed)]


async def test_a_job_that_is_tried_again_goes_on_in_its_message(room: Room) -> None:
    job = await room.asks("write a note")
    await room.move(job, JobState.failed)
    await room.over()
    await room.move(job, JobState.queued, by=Actor.owner)
    await room.database.write(lambda c: progress.reopen(c, job.id or 0))
    await room.move(job, JobState.done)
    await room.over(ends=2)
    second, first = await room.ends()
    assert first.edits_id == second.edits_id == 1
    assert second.text == "✅ write a note"


async def test_a_message_that_was_not_sent_yet_is_not_changed(room: Room) -> None:
    job = await room.asks("write a note")
    await room.database.write(lambda c: rows.change(c, Outgoing, 1, state="pending"))
    room.clock.advance(timedelta(minutes=5))
    await room.move(job, JobState.running)
    await asyncio.sleep(1.5)
    assert room.channel.shown == []


async def test_stop_stops_it_once_and_late_presses_are_answered_kindly(room: Room) -> None:
    job, other = await room.asks("write a note"), await room.asks("write a poem")
    row = await room.database.query(lambda c: outbox.get(c, 1))
    assert row.buttons == [[{"label": "Stop", "data": f"job:{job.id}:stop"}]]

    async def press(job_id: int | None, verb: str = "stop") -> str:
        at = room.clock.now()
        return await room.database.write(lambda c: presses.press(c, job_id or 0, verb, at=at))

    assert await press(job.id) == "✕ Stopped"
    assert await press(job.id) == "It is stopped already."
    assert await press(99) == "That job is not here any more."
    assert await press(other.id, "dance") == "I don't know this button any more."
    await room.over()
    (end,) = await room.ends()
    assert end.text == "✕ write a note · stopped"
    await room.move(other, JobState.done)
    assert await press(other.id) == "It is done already."


async def test_the_sign_is_at_what_the_owner_wrote_also_after_a_question(room: Room) -> None:
    def ask(connection: Connection) -> None:
        at = room.clock.now()
        where = {"channel": "telegram", "conversation": TALK}
        wrote = Message(**where, external_id="1", text="fix it", received_at=at)
        asked = messages.receive(connection, wrote)
        assert asked is not None
        card = Card(
            **where,
            kind=CardKind.clarify,
            question="What?",
            options=[],
            message_id=asked.id,
            created_at=at,
        )
        assert cards.open_card(connection, card).id == 1

    await room.database.write(ask)
    job = await room.asks("card:1")  # as a tap on that card becomes a message
    await room.move(job, JobState.running)
    await room.until(lambda: bool(room.channel.marks))
    assert room.channel.marks == [(1, Mark.working)]
