"""Wishes: what is proposed for core memory, put to the owner as a card. Silence is no yes."""

from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.cards import block_of, buttons_of
from agentos.domain.memory import CoreVersion
from agentos.domain.talk import Card, CardKind
from agentos.store import cards, core_versions, outbox

YES, NO = "yes", "no"
_OPTIONS = (
    {"key": YES, "label": "Add it", "consequence": "Every conversation knows it from then on."},
    {"key": NO, "label": "No", "consequence": "It is not proposed again."},
)


def ask(
    connection: Connection, wish: CoreVersion, *, conversation: str, said: str, at: datetime
) -> Card:
    """Show a proposal with what was said about it; asked again it is the same card."""
    found = find(connection, wish.id or 0)
    if found is not None:
        return found
    base = core_versions.find_newest(connection, before=wish.id)
    known = set(base.text.splitlines()) if base is not None else set()
    lines = "\n".join(line for line in wish.text.splitlines() if line not in known)
    card = Card(
        kind=CardKind.core,
        channel=conversation.partition(":")[0],
        conversation=conversation,
        question="May I add this to core memory, which every conversation knows?",
        detail=lines,
        options=[dict(option) for option in _OPTIONS],
        request={"version": wish.id},
        created_at=at,
    )
    opened = cards.open_card(connection, card)
    outbox.say(
        connection,
        key=key_of(wish.id),
        conversation=conversation,
        text=f"{said}\n\n{card.question}\n{block_of(lines)}",
        at=at,
        buttons=buttons_of(opened, side_by_side=True),
        card_id=opened.id,
        silent=True,
    )
    return opened


def key_of(version_id: int | None) -> str:
    """The outbox key of the message that shows a proposal."""
    return f"core:{version_id}"


def find(connection: Connection, version_id: int) -> Card | None:
    """The open card about a proposal, or None."""
    for card in cards.list_open(connection):
        if card.kind is CardKind.core and version_of(card) == version_id:
            return card
    return None


def version_of(card: Card) -> int:
    """The proposal that a card is about."""
    return int((card.request or {})["version"])


def settle(connection: Connection, version_id: int, *, yes: bool, via: str, at: datetime) -> None:
    """It was answered elsewhere: the card shows how."""
    card = find(connection, version_id)
    if card is not None and card.id is not None:
        cards.answer(connection, card.id, YES if yes else NO, via=via, at=at)
        cards.show_ending(connection, card.id, at=at)


def withdraw(connection: Connection, version_id: int, *, at: datetime) -> None:
    """Nobody can say yes to it any more."""
    card = find(connection, version_id)
    if card is not None and card.id is not None:
        cards.cancel(connection, card.id, at=at)
