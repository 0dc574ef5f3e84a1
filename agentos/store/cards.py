"""Cards: questions with options, answered once. Each message that shows one shows how it ended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select, update

from agentos.domain.cards import ASKING, OTHER, ending_of
from agentos.domain.states import CardState, RunState
from agentos.domain.talk import Card, Outgoing
from agentos.domain.work import Run
from agentos.errors import BadRequest
from agentos.store import events, outbox, rows
from agentos.store.prepared import Prepared

CARD = rows.table_of(Card)
OUTBOX = rows.table_of(Outgoing)
_RUN = rows.table_of(Run)
# Asked at each end of a job.
_OF_JOB = Prepared(select(CARD).where(CARD.c.job_id == bindparam("job_id")).order_by(CARD.c.id))


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


def answer(
    connection: Connection,
    card_id: int,
    answer: str,
    *,
    via: str,
    at: datetime,
    words: str | None = None,
) -> bool:
    """Answer an open card with the key of an option, or with `OTHER` and words.

    False when it had ended before. What shows it is the caller's to settle.
    """
    card = get(connection, card_id)
    keys = [option["key"] for option in card.options]
    if answer == OTHER and OTHER not in keys and words is not None:
        if not card.other:
            raise BadRequest(problem=f"card {card_id} takes no words; it has {', '.join(keys)}")
    elif answer not in keys:
        raise BadRequest(problem=f"card {card_id} has the options {', '.join(keys)}")
    return _close(connection, card, CardState.answered, answer=answer, words=words, via=via, at=at)


def cancel(connection: Connection, card_id: int, *, at: datetime) -> bool:
    """Withdraw an open card, and show it so; False when it had ended before."""
    card = get(connection, card_id)
    if not _close(connection, card, CardState.cancelled, at=at):
        return False
    show_ending(connection, card_id, at=at)
    return True


def cancel_for_job(connection: Connection, job_id: int, *, at: datetime) -> None:
    """A job has ended: nobody waits for its answers any more."""
    for card in _OF_JOB.fetch(connection, Card, {"job_id": job_id}):
        if card.state is CardState.open:
            cancel(connection, card.id or 0, at=at)


def expire(connection: Connection, card: Card, *, at: datetime) -> bool:
    """No answer came in time, and that is no yes; False when it had ended before."""
    if not _close(connection, card, CardState.expired, at=at):
        return False
    show_ending(connection, card.id or 0, at=at)
    return True


def show_ending(connection: Connection, card_id: int, *, at: datetime) -> None:
    """Let every message that shows a card say how it ended, without its buttons.

    One that was settled in words of its own stays so.
    """
    card = get(connection, card_id)
    statement = select(OUTBOX).where(
        OUTBOX.c.card_id == card_id, OUTBOX.c.edits_id.is_(None), OUTBOX.c.buttons.is_not(None)
    )
    for row in rows.fetch(connection, Outgoing, statement):
        if not row.buttons:
            continue
        outbox.settle(connection, row, text=f"{row.text}\n\n{ending_of(card)}", at=at)


def want_words(connection: Connection, card_id: int, *, at: datetime) -> None:
    """The next thing that is said in its conversation is the answer."""
    rows.change(connection, Card, card_id, words_wanted_at=at)


def find_wanting_words(
    connection: Connection, conversation: str, *, since: datetime
) -> Card | None:
    """The open card that waits for words said at this moment; of several, the one asked last."""
    statement = (
        select(CARD)
        .where(
            CARD.c.state == CardState.open,
            CARD.c.conversation == conversation,
            CARD.c.words_wanted_at <= since,
        )
        .order_by(CARD.c.words_wanted_at.desc(), CARD.c.id.desc())
        .limit(1)
    )
    return rows.fetch_one(connection, Card, statement)


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


def list_all(connection: Connection, *, state: CardState | None, limit: int) -> list[Card]:
    """The newest cards first."""
    return rows.newest(connection, Card, limit=limit, state=state)


def list_expired(connection: Connection, *, now: datetime) -> list[Card]:
    """Open cards whose time is over."""
    statement = select(CARD).where(CARD.c.state == CardState.open, CARD.c.expires_at <= now)
    return rows.fetch(connection, Card, statement.order_by(CARD.c.id))


def next_expiry(connection: Connection) -> datetime | None:
    """When the next open card expires, or None."""
    statement = select(func.min(CARD.c.expires_at)).where(CARD.c.state == CardState.open)
    moment: datetime | None = connection.execute(statement).scalar_one()
    return moment


def list_for_job(connection: Connection, job_id: int) -> list[Card]:
    """What was asked for a job, oldest first."""
    return _OF_JOB.fetch(connection, Card, {"job_id": job_id})


def waits_for(connection: Connection, job_id: int) -> bool:
    """Whether a job has asked something that is open."""
    return any(
        card.state is CardState.open and card.kind in ASKING
        for card in list_for_job(connection, job_id)
    )


def list_untold(connection: Connection, job_id: int) -> list[Card]:
    """What has ended of a job's questions, and no run that came to its end was told."""
    told_to_the_end = select(_RUN.c.id).where(
        _RUN.c.job_id == job_id, _RUN.c.state == RunState.done
    )
    statement = (
        select(CARD)
        .where(
            CARD.c.job_id == job_id,
            CARD.c.kind.in_(ASKING),
            CARD.c.state != CardState.open,
            or_(CARD.c.told_run_id.is_(None), CARD.c.told_run_id.not_in(told_to_the_end)),
        )
        .order_by(CARD.c.id)
    )
    return rows.fetch(connection, Card, statement)


def tell(connection: Connection, cards: Sequence[Card], *, run_id: int) -> None:
    """These were put into the prompt of a run."""
    for card in cards:
        rows.change(connection, Card, card.id or 0, told_run_id=run_id)


def _close(
    connection: Connection, card: Card, state: CardState, *, at: datetime, **values: Any
) -> bool:
    via = values.pop("via", None)
    result = connection.execute(
        update(CARD)
        .where(CARD.c.id == card.id, CARD.c.state == CardState.open)
        .values(state=state, answered_via=via, answered_at=at, **values)
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
        answer=values.get("answer"),
        via=via,
    )
    return True
