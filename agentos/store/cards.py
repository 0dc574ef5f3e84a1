"""Cards: questions with options, answered once."""

from datetime import datetime

from sqlalchemy import Connection, select, update

from agentos.domain.states import CardState
from agentos.domain.talk import Card
from agentos.errors import BadRequest
from agentos.store import events, rows

CARD = rows.table_of(Card)


def open_card(connection: Connection, card: Card) -> Card:
    """Ask. The outbox row that shows it is the caller's, in the same transaction."""
    made = rows.add(connection, card)
    events.record(
        connection,
        "card_opened",
        at=card.created_at,
        job_id=card.job_id,
        task_id=card.task_id,
        message_id=card.message_id,
        card_id=made.id,
    )
    return made


def get(connection: Connection, card_id: int) -> Card:
    """The card with this id. Raises NotFound."""
    return rows.get(connection, Card, card_id)


def answer(connection: Connection, card_id: int, answer: str, *, via: str, at: datetime) -> bool:
    """Answer an open card with the key of an option; False when it was answered before."""
    card = get(connection, card_id)
    keys = [option["key"] for option in card.options]
    if answer not in keys:
        raise BadRequest(problem=f"card {card_id} has the options {', '.join(keys)}")
    return _close(connection, card, CardState.answered, answer=answer, via=via, at=at)


def cancel(connection: Connection, card_id: int, *, at: datetime) -> bool:
    """Withdraw an open card; False when it was closed before."""
    card = get(connection, card_id)
    return _close(connection, card, CardState.cancelled, answer=None, via=None, at=at)


def redact(connection: Connection, card: Card) -> None:
    """Take the words off the options of a card that was answered; their keys stay."""
    options = [{**option, "label": f"#{option['key']}"} for option in card.options]
    rows.change(connection, Card, card.id or 0, options=options)


def list_open(connection: Connection, *, conversation: str | None = None) -> list[Card]:
    """What waits for the owner, oldest first."""
    statement = select(CARD).where(CARD.c.state == CardState.open).order_by(CARD.c.id)
    if conversation is not None:
        statement = statement.where(CARD.c.conversation == conversation)
    return rows.fetch(connection, Card, statement)


def _close(
    connection: Connection,
    card: Card,
    state: CardState,
    *,
    answer: str | None,
    via: str | None,
    at: datetime,
) -> bool:
    result = connection.execute(
        update(CARD)
        .where(CARD.c.id == card.id, CARD.c.state == CardState.open)
        .values(state=state, answer=answer, answered_via=via, answered_at=at)
    )
    if result.rowcount != 1:
        return False
    events.record(
        connection,
        f"card_{state.value}",
        at=at,
        job_id=card.job_id,
        task_id=card.task_id,
        card_id=card.id,
        answer=answer,
        via=via,
    )
    return True
