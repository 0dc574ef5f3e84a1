"""Cards in the chat: taps, own words, copies, expiry; each message shows how its card ended."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from agentos.domain.states import CardState, JobState
from agentos.domain.talk import Card, Outgoing
from agentos.domain.work import Job
from agentos.engine.questions import ask
from agentos.frontdesk.expiry import Expiry
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.process import StandinProcess
from agentos.store import cards, jobs, outbox
from agentos.store.database import Database
from tests.desk_room import TALK, DeskRoom

OPTIONS = [
    {"key": "a", "label": "Direct", "consequence": "Ship now"},
    {"key": "b", "label": "Staged", "consequence": "Test first"},
]
CLARIFY = {"outcome": "clarify", "question": "Which site?", "options": ["Shop", "Blog"]}


@pytest.fixture
async def room(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[DeskRoom]:
    async with DeskRoom(database, clock=clock, home=home, url=model.url) as made:
        yield made


async def parked(room: DeskRoom, **more: Any) -> Card:
    """A job that waits for a card."""
    at = room.clock.now()

    def write(connection: Connection) -> Card:
        row = Job(title="The page", prompt="p", conversation=TALK, created_at=at)
        job = jobs.enqueue(connection, row)
        return ask(
            connection,
            job,
            question="How?",
            options=OPTIONS,
            at=at,
            zone=room.config.owner.zone,
            expires_at=at + timedelta(days=2),
            **more,
        )

    return await room.database.write(write)


async def job_of(room: DeskRoom, card: Card) -> Job:
    return await room.database.query(lambda c: jobs.get(c, card.job_id or 0))


async def card_now(room: DeskRoom, card: Card) -> Card:
    return await room.database.query(lambda c: cards.get(c, card.id or 0))


async def sent(room: DeskRoom, key: str, external_id: str) -> None:
    """The channel has said it, under this id."""
    row = await room.said_under(key)
    at = room.clock.now()
    await room.database.write(
        lambda c: outbox.mark_sent(c, row.id or 0, external_id=external_id, at=at)
    )


async def endings(room: DeskRoom) -> list[Outgoing]:
    return [row for row in await room.said() if row.edits_id is not None]


async def test_a_tap_counts_once_and_every_copy_of_the_card_shows_it(room: DeskRoom) -> None:
    card = await parked(room)
    assert (await job_of(room, card)).state is JobState.parked
    shown = await room.said_under(f"card:{card.id}")
    assert [row[0]["label"] for row in shown.buttons] == ["Direct", "Staged", "Other…"]
    assert "- **Staged**: Test first" in shown.text and "nothing happens" in shown.text
    room.clock.advance(timedelta(hours=3))
    listed = await room.talk("/cards")
    assert [row.text for row in listed if row.key.startswith("command")] == [
        "1 question waiting for your tap."
    ]
    (copy,) = [row for row in await room.said() if row.key.startswith("card:") and row != shown]
    assert copy.text == "⏳ 3 h · How?" and len(copy.buttons) == 3

    assert await room.tap("b", card=card) == "✓ Staged"
    assert await room.tap("b", card=card) == "Answered already: Staged"
    assert await room.tap("a", card=card, via="terminal") == "Answered already: Staged"
    assert (await job_of(room, card)).state is JobState.queued
    assert {row.edits_id for row in await endings(room)} == {shown.id, copy.id}
    assert all(row.text.endswith("**✓ Staged**") for row in await endings(room))
    assert all(not row.buttons for row in await endings(room))


async def test_other_asks_for_words_and_the_next_message_is_the_answer(room: DeskRoom) -> None:
    card = await parked(room)
    assert await room.tap("other", card=card) == "Tell me in your own words."
    assert (await card_now(room, card)).state is CardState.open
    await room.restart()
    await room.talk("/status")  # a command is no answer
    (reply,) = await room.talk("Neither, wait for Monday")
    assert reply.text == "✓ Neither, wait for Monday"
    now = await card_now(room, card)
    assert (now.state, now.answer, now.words, now.answered_via) == (
        CardState.answered,
        "other",
        "Neither, wait for Monday",
        "telegram",
    )
    assert (await job_of(room, card)).state is JobState.queued
    assert (await endings(room))[-1].text.endswith("**✓ Neither, wait for Monday**")
    # The one after that is a message like any other.
    (answer,) = await room.talk("hello there")
    assert answer.text.startswith("Hello!")
    assert await room.tap("a", card=card) == "Answered already: Neither, wait for Monday"


async def test_a_reply_to_a_card_is_its_answer(room: DeskRoom) -> None:
    first, second = await parked(room), await parked(room, other=False)
    await sent(room, f"card:{first.id}", "501")
    await sent(room, f"card:{second.id}", "502")
    await room.talk("hello", reply_to_external_id="502")  # it takes no words
    assert (await card_now(room, second)).state is CardState.open
    forwarded = [{"kind": "forward", "from": "Eve"}]
    await room.talk("hello, go on", reply_to_external_id="501", attachments=forwarded)
    assert (await card_now(room, first)).state is CardState.open  # not the owner's own words
    await room.talk("as you like", reply_to_external_id="501")
    assert (await card_now(room, first)).words == "as you like"


async def test_a_question_of_the_desk_is_answered_in_words_and_decided_again(
    room: DeskRoom,
) -> None:
    await room.decides(r"<message>\nupdate the site\n</message>", CLARIFY)
    work = {"outcome": "quick_work", "title": "The wiki", "kind": "writing", "prompt": "Do it."}
    await room.decides("Answer: the wiki", work)
    asked = await room.say("update the site")
    await room.handled(asked)
    card = await room.card()
    # An edit of what led to it changes neither the card nor its answer.
    await room.desk.edited(
        channel="telegram",
        external_message_id=asked.external_message_id or "",
        text="delete the site",
    )
    await room.tap("other")
    await room.talk("the wiki")
    (job,) = await room.until(room.jobs)
    assert job.title == "The wiki" and "update the site" in job.prompt
    assert (await card_now(room, card)).words == "the wiki"
    assert any(row.text == "Which site?\n\n**✓ the wiki**" for row in await endings(room))


async def test_buttons_never_count_as_yes_a_card_expires_by_the_clock_also_while_nobody_ran(
    room: DeskRoom,
) -> None:
    card = await parked(room)
    room.clock.advance(timedelta(days=3))
    expiry = Expiry(room.database, clock=room.clock)
    loop = asyncio.create_task(expiry.run())

    async def expired() -> bool:
        return (await card_now(room, card)).state is CardState.expired

    await room.until(expired)
    later = await parked(room)
    room.clock.advance(timedelta(days=3))

    async def both() -> bool:
        return (await card_now(room, later)).state is CardState.expired

    await room.until(both)
    loop.cancel()
    assert (await job_of(room, card)).state is JobState.queued
    assert (await endings(room))[0].text.endswith("**⌛ Expired: nothing was done.**")
    assert await room.tap("a", card=card) == "That has expired; nothing was done."


async def test_a_stopped_job_withdraws_its_card(room: DeskRoom) -> None:
    card = await parked(room)
    await room.talk("/stop")
    assert (await job_of(room, card)).state is JobState.cancelled
    assert (await card_now(room, card)).state is CardState.cancelled
    assert (await endings(room))[-1].text.endswith("**✕ No longer needed.**")
    assert await room.tap("a", card=card) == "That is no longer needed."
    assert (await room.talk("/cards"))[-1].text == "Nothing waits for you."


async def test_a_second_question_keeps_the_job_parked_until_both_are_answered(
    room: DeskRoom,
) -> None:
    first = await parked(room)
    at = room.clock.now()

    def more(connection: Connection) -> Card:
        job = jobs.get(connection, first.job_id or 0)
        zone = room.config.owner.zone
        return ask(connection, job, question="When?", options=[], at=at, zone=zone, expires_at=None)

    second = await room.database.write(more)
    await room.tap("a", card=first)
    assert (await job_of(room, first)).state is JobState.parked
    assert second.other  # without options it is answered in words
    await room.tap("other", card=second)
    await room.talk("tomorrow")
    assert (await job_of(room, first)).state is JobState.queued
