"""Knocks: the owner is asked once about each stranger, and what they tap decides."""

import re
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from agentos.domain.cards import buttons_of
from agentos.domain.people import Person, Role
from agentos.domain.states import CardState
from agentos.domain.talk import Card, CardKind
from agentos.store import cards, outbox, people

# Whoever wants to fill the owner's chat has many accounts: the others are only in `pm people`.
_MOST_A_DAY = 5
_DAY = timedelta(days=1)
GUEST, IGNORE = "guest", "ignore"
_LABELS = {GUEST: "Let in as guest", IGNORE: "Ignore"}
_ODD = re.compile(r"[`\s\x00-\x1f]+")


def tell(connection: Connection, person: Person, *, to: str, at: datetime) -> None:
    """Ask the owner about somebody; a second time about the same person changes nothing."""
    key = _key(person.id)
    if outbox.find_by_key(connection, key) is not None or _today(connection, at=at) >= _MOST_A_DAY:
        return
    asked = Card(
        kind=CardKind.knock,
        channel=person.channel,
        conversation=to,
        question=f"Somebody knocked: {named(person)}",
        options=[
            {"key": f"{key}-{person.id}", "label": label, "consequence": ""}
            for key, label in _LABELS.items()
        ],
        created_at=at,
    )
    card = cards.open_card(connection, asked)
    outbox.say(
        connection,
        key=key,
        conversation=to,
        text=f"🚪 {card.question}\nA guest may chat with me, and neither sees nor starts anything.",
        at=at,
        buttons=buttons_of(card, side_by_side=True),
        card_id=card.id,
    )


def decide(connection: Connection, card: Card, key: str, *, at: datetime) -> str:
    """Do what the owner tapped; returns how it ended, in words."""
    wish, _, number = key.partition("-")
    person = people.get(connection, int(number))
    if person.role is Role.owner:
        said = f"{named(person)} is an owner already."
    elif wish == GUEST:
        welcome(connection, people.admit(connection, int(number), Role.guest, at=at), at=at)
        said = f"✓ {named(person)} is your guest now."
    else:
        people.admit(connection, int(number), Role.ignored, at=at)
        said = f"✕ {named(person)} is ignored."
    _show(connection, person, card, said, at=at)
    return said


def close(connection: Connection, person: Person, *, at: datetime) -> None:
    """The question is answered elsewhere: the card shows how, and is tapped no more."""
    shown = outbox.find_by_key(connection, _key(person.id))
    if shown is None or shown.card_id is None:
        return
    card = cards.get(connection, shown.card_id)
    if card.state is not CardState.open:
        return
    # What is shown in words of its own stays so when the card ends.
    _show(connection, person, card, f"{named(person)}: {person.role.value}", at=at)
    cards.cancel(connection, shown.card_id, at=at)


def welcome(connection: Connection, person: Person, *, at: datetime) -> None:
    """Tell somebody that they are let in."""
    outbox.say(
        connection,
        key=f"welcome:{person.id}:{person.role.value}:{at.isoformat(timespec='seconds')}",
        conversation=f"{person.channel}:{person.external_id}",
        text="You may talk with me now. Just write."
        if person.role is Role.guest
        else "You are let in as an owner: write what you want done. /help shows what I can do.",
        at=at,
    )


def named(person: Person) -> str:
    """A name as somebody gave it to themselves, so that nothing in it counts as Markdown."""
    plain = _ODD.sub(" ", person.name).strip()[:60] or person.external_id
    handle = f" (@{_ODD.sub('', person.username)})" if person.username else ""
    return f"`{plain}{handle}`"


def _show(connection: Connection, person: Person, card: Card, said: str, *, at: datetime) -> None:
    """Let the message with the card show how it ended, without buttons."""
    shown = outbox.find_by_key(connection, _key(person.id))
    if shown is not None:
        text = f"🚪 {card.question}\n\n{said}"
        outbox.settle(connection, shown, text=text, at=at)


def _key(person_id: int | None) -> str:
    return f"knock:{person_id}"


def _today(connection: Connection, *, at: datetime) -> int:
    statement = select(func.count()).where(
        cards.CARD.c.kind == CardKind.knock, cards.CARD.c.created_at > at - _DAY
    )
    return int(connection.execute(statement).scalar_one())
