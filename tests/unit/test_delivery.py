"""Delivering an outbox: in order, one at a time a conversation, on and on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agentos.channels.delivery import Deliverer
from agentos.domain.states import OutboxState
from agentos.domain.talk import Message, Outgoing
from agentos.errors import BadRequest, ChannelDown, StoreUnusable
from agentos.standins.clock import VirtualClock
from agentos.store import outbox
from agentos.store.database import Database
from tests.telegram_room import until


class Slate:
    """A channel that writes what is said on a slate, and fails as it is told."""

    name = "slate"
    edits_in_place = True

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tried: list[str] = []
        self.notes: list[bool] = []
        self.faults: dict[str, list[BaseException]] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.speaking = 0
        self.most = 0

    async def run(self) -> None:
        """Nothing comes in."""

    async def acknowledge(self, message: Message) -> None:
        """Nothing comes in."""

    async def preview(self, message: Message, *, text: str) -> None:
        """Nothing is shown early."""

    async def fetch(self, attachment: dict[str, Any], *, folder: Path) -> Path:
        """No files."""
        raise BadRequest(problem="no files here")

    async def ready(self, conversation: str) -> None:
        """Wait for somebody to look, in the shut conversation."""
        if conversation == "slate:shut":
            await self.open.wait()

    async def deliver(self, row: Outgoing) -> str | None:
        """Write, or fail."""
        self.tried.append(row.text)
        self.speaking += 1
        self.most = max(self.most, self.speaking)
        await asyncio.sleep(0)
        self.speaking -= 1
        if faults := self.faults.get(row.text):
            raise faults.pop(0)
        self.said.append(row.text)
        self.notes.append(row.uncertain)
        return str(len(self.said))


@pytest.fixture
def slate() -> Slate:
    return Slate()


@asynccontextmanager
async def _delivering(database: Database, slate: Slate, clock: VirtualClock) -> AsyncIterator[None]:
    deliverer = Deliverer(
        database,
        clock=clock,
        channel=slate,
        first_pause=timedelta(milliseconds=10),
        longest_pause=timedelta(milliseconds=40),
    )
    loop = asyncio.create_task(deliverer.run())
    try:
        yield
    finally:
        loop.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(loop, return_exceptions=True)


@pytest.fixture
async def delivering(database: Database, slate: Slate, clock: VirtualClock) -> AsyncIterator[None]:
    async with _delivering(database, slate, clock):
        yield


async def _say(
    database: Database,
    clock: VirtualClock,
    text: str,
    *,
    where: str = "slate:main",
    edits_id: int | None = None,
) -> int:
    row = await database.write(
        lambda c: outbox.say(
            c, key=text, conversation=where, text=text, at=clock.now(), edits_id=edits_id
        )
    )
    return row.id or 0


async def _until(true: Callable[[], object]) -> None:
    async def look() -> object:
        return true()

    await until(look, seconds=10)


async def _row(database: Database, row_id: int) -> Outgoing:
    return await database.query(lambda c: outbox.get(c, row_id))


@pytest.mark.usefixtures("delivering")
async def test_rows_are_said_in_order_and_one_at_a_time(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    for number in range(20):
        await _say(database, clock, str(number))
    await _until(lambda: len(slate.said) == 20)
    assert slate.said == [str(number) for number in range(20)]
    assert slate.most == 1


@pytest.mark.usefixtures("delivering")
async def test_a_head_that_fails_is_tried_until_it_is_said(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    slate.faults["a"] = [ChannelDown(channel="Slate", problem="no chalk") for _ in range(12)]
    first = await _say(database, clock, "a")
    await _say(database, clock, "b")
    await _until(lambda: slate.said == ["a", "b"])
    row = await _row(database, first)
    assert (row.attempts, row.state, row.error, row.uncertain) == (
        13,
        OutboxState.sent,
        None,
        False,
    )


async def test_of_two_edits_of_a_message_that_wait_the_newer_is_said(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    first = await _say(database, clock, "working")
    long = "x" * 3000
    edits = [
        await _say(database, clock, text, edits_id=first)
        for text in ("10 s", "20 s", long, "30 s", "done")
    ]
    other = await _say(database, clock, "asked", edits_id=await _say(database, clock, "ask"))
    async with _delivering(database, slate, clock):
        await _until(lambda: slate.said[-1:] == ["asked"])
    assert slate.said == ["working", long, "done", "ask", "asked"]
    states = [(await _row(database, one)).state for one in (*edits, other)]
    gone, said = OutboxState.superseded, OutboxState.sent
    assert states == [gone, gone, said, gone, said, said]


@pytest.mark.usefixtures("delivering")
async def test_one_conversation_does_not_wait_for_another(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    slate.open.clear()
    shut = await _say(database, clock, "for later", where="slate:shut")
    await _say(database, clock, "for now")
    await _until(lambda: slate.said == ["for now"])
    assert (await _row(database, shut)).state is OutboxState.pending  # not uncertain if we end
    slate.open.set()
    await _until(lambda: slate.said == ["for now", "for later"])


@pytest.mark.usefixtures("delivering")
async def test_what_never_will_work_is_given_up_at_once(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    slate.faults["a"] = [BadRequest(problem="no such slate")]
    first = await _say(database, clock, "a")
    await _say(database, clock, "b")
    await _until(lambda: slate.said == ["b"])
    row = await _row(database, first)
    assert (row.state, row.error, row.attempts) == (OutboxState.failed, "no such slate", 1)


@pytest.mark.usefixtures("delivering")
async def test_a_fault_of_ours_is_tried_five_times(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    slate.faults["a"] = [ZeroDivisionError("oops") for _ in range(9)]
    first = await _say(database, clock, "a")
    await _say(database, clock, "b")
    await _until(lambda: slate.said == ["b"])
    row = await _row(database, first)
    assert (row.state, row.attempts) == (OutboxState.failed, 5)
    assert row.error == "ZeroDivisionError: oops"


@pytest.mark.usefixtures("delivering")
async def test_a_lost_reply_leaves_a_mark(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    lost = ChannelDown(channel="Slate", problem="wiped")
    lost.uncertain = True
    slate.faults["a"] = [lost, ChannelDown(channel="Slate", problem="no chalk")]
    await _say(database, clock, "a")
    await _until(lambda: slate.said == ["a"])
    assert slate.notes == [True]


@pytest.mark.usefixtures("delivering")
async def test_a_clock_that_is_set_back_delays_nothing(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    slate.faults["a"] = [ChannelDown(channel="Slate", problem="no chalk") for _ in range(3)]
    await _say(database, clock, "a")
    await _until(lambda: slate.tried)
    clock.advance(timedelta(days=-3))
    await _until(lambda: slate.said == ["a"])


async def test_what_was_postponed_for_long_is_tried_at_a_start(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    row_id = await _say(database, clock, "a")
    later = clock.now() + timedelta(days=1)
    await database.write(
        lambda c: outbox.mark_retry(c, row_id, at=later, error="flood", uncertain=False)
    )
    async with _delivering(database, slate, clock):
        await _until(lambda: slate.said == ["a"])


async def test_a_send_that_was_cut_off_is_said_again_with_a_mark(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    await _say(database, clock, "a")
    slate.faults["a"] = [asyncio.CancelledError()]
    async with _delivering(database, slate, clock):
        await _until(lambda: not slate.faults["a"])
    assert await database.write(outbox.recover) == 1
    async with _delivering(database, slate, clock):
        await _until(lambda: slate.said == ["a"])
    assert slate.notes == [True]


class FullDisk(Database):
    """A database whose next writes fail."""

    failing = 0

    async def write(self, work: Callable[[Any], Any]) -> Any:
        """Fail, or write."""
        if self.failing:
            self.failing -= 1
            raise StoreUnusable(url="sqlite", problem="disk is full", mend="Free some space.")
        return await super().write(work)


async def test_a_full_disk_says_nothing_twice(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    full = FullDisk(database.url)
    async with _delivering(full, slate, clock):
        for number in range(5):
            await _say(full, clock, str(number))
            full.failing = 3  # hits the marks of this row: sending, sent, or both
            await _until(lambda n=number: str(n) in slate.said and not full.failing)
    rows = [await _row(database, number + 1) for number in range(5)]
    full.close()
    assert slate.said == [str(number) for number in range(5)]
    assert {row.state for row in rows} <= {OutboxState.sent, OutboxState.sending}


def test_pauses_double_up_to_the_longest(
    database: Database, slate: Slate, clock: VirtualClock
) -> None:
    deliverer = Deliverer(database, clock=clock, channel=slate)
    for failures, seconds in [(0, 1), (1, 2), (5, 32), (6, 60), (10_000, 60)]:
        assert seconds * 0.8 <= deliverer._pause(failures) <= seconds * 1.2
