"""Answers in the owner's own words: the message after a tap on "Other…", or a reply to a card."""

from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.cards import OTHER
from agentos.domain.states import CardState, MessageState
from agentos.domain.talk import Card, Message
from agentos.frontdesk import effects, taps
from agentos.frontdesk.intake import Intake
from agentos.home import Home
from agentos.store import cards, messages, shown


def take(
    connection: Connection,
    message: Message,
    intake: Intake,
    *,
    home: Home,
    ways: effects.Ways,
    at: datetime,
) -> taps.Tapped | None:
    """Take a message as the answer to the card that waits for it; None when it is none.

    The answer, what follows from it, and that the message is handled are one transaction.
    """
    assert message.id is not None
    now = messages.get(connection, message.id)
    if now.state is not MessageState.received or now.text != message.text:
        return None
    card = _card_for(connection, now)
    if card is None:
        return None
    said = intake.shown
    for file in intake.files:
        said += f"\n(File: {file.path})"
    tapped = taps.tap(
        connection,
        card.id or 0,
        OTHER,
        via=message.channel,
        home=home,
        ways=ways,
        at=at,
        own_words=said.strip(),
    )
    if tapped.message is None:
        effects.reply(connection, now, tapped.toast, key="answer", at=at)
    else:
        effects.finish(connection, now, at=at)  # what follows has an answer of its own
    return tapped


def _card_for(connection: Connection, message: Message) -> Card | None:
    """The open card that a message answers."""
    if message.external_id.startswith("card:") or message.triage is not None:
        return None
    if message.reply_to_external_id is not None:
        replied = shown.find(
            connection,
            conversation=message.conversation,
            external_id=message.reply_to_external_id,
        )
        if replied is None or replied.card_id is None:
            return None  # it is about something else
        card = cards.get(connection, replied.card_id)
        return card if card.other and card.state is CardState.open else None
    return cards.find_wanting_words(connection, message.conversation, since=message.received_at)
