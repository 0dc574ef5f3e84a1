"""The outbox: what is to be said, written in the transaction that made it true."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text, update

from agentos.domain.states import OutboxState
from agentos.domain.talk import OutboxKind, Outgoing
from agentos.store import rows, shown

OUTBOX = rows.table_of(Outgoing)
# In the words of the partial index: bound as values, SQLite would not know that it fits.
_IS_OPEN = text("outbox.state IN ('pending', 'sending')")


def say(
    connection: Connection,
    *,
    key: str,
    conversation: str,
    text: str,
    at: datetime,
    kind: OutboxKind = OutboxKind.text,
    **more: Any,
) -> Outgoing:
    """Put something into the outbox. The same key again changes nothing and returns the first."""
    row = Outgoing(
        key=key,
        channel=conversation.partition(":")[0],
        conversation=conversation,
        kind=kind,
        text=text,
        created_at=at,
        **more,
    )
    made = rows.add_once(connection, row, unique=("key",))
    return made if made is not None else find_by_key(connection, key) or row


def get(connection: Connection, outbox_id: int) -> Outgoing:
    """The outbox row with this id. Raises NotFound."""
    return rows.get(connection, Outgoing, outbox_id)


def find_by_key(connection: Connection, key: str) -> Outgoing | None:
    """The row with this key, or None."""
    return rows.fetch_one(connection, Outgoing, select(OUTBOX).where(OUTBOX.c.key == key))


def redact(connection: Connection, key: str) -> None:
    """Take the buttons off what was said under a key: their words are to be forgotten."""
    if (row := find_by_key(connection, key)) is not None:
        rows.change(connection, Outgoing, row.id or 0, buttons=[])


def list_due(connection: Connection, channel: str, *, now: datetime) -> list[Outgoing]:
    """The next row of each conversation: order within one is kept, so a stuck row holds its own."""
    heads = (
        select(func.min(OUTBOX.c.id))
        .where(OUTBOX.c.channel == channel, _IS_OPEN)
        .group_by(OUTBOX.c.conversation)
    )
    statement = (
        select(OUTBOX)
        .where(
            OUTBOX.c.id.in_(heads),
            OUTBOX.c.state == OutboxState.pending,
            (OUTBOX.c.next_attempt_at.is_(None)) | (OUTBOX.c.next_attempt_at <= now),
        )
        .order_by(OUTBOX.c.id)
    )
    return rows.fetch(connection, Outgoing, statement)


def next_attempt(connection: Connection, channel: str) -> datetime | None:
    """When the earliest postponed row is to be tried again, or None."""
    statement = select(func.min(OUTBOX.c.next_attempt_at)).where(
        OUTBOX.c.channel == channel, _IS_OPEN, OUTBOX.c.state == OutboxState.pending
    )
    moment: datetime | None = connection.execute(statement).scalar_one()
    return moment


def mark_sending(connection: Connection, outbox_id: int) -> bool:
    """Take a row for sending; False when another has it or it is settled."""
    result = connection.execute(
        update(OUTBOX)
        .where(OUTBOX.c.id == outbox_id, OUTBOX.c.state == OutboxState.pending)
        .values(state=OutboxState.sending, attempts=OUTBOX.c.attempts + 1)
    )
    return result.rowcount == 1


def mark_sent(
    connection: Connection, outbox_id: int, *, external_id: str | None, at: datetime
) -> None:
    """The channel has it, and shows it under this id, if it tells one."""
    if external_id is not None:
        shown.note(connection, get(connection, outbox_id), [external_id])
    rows.change(
        connection,
        Outgoing,
        outbox_id,
        state=OutboxState.sent,
        external_id=external_id,
        sent_at=at,
        error=None,
    )


def mark_retry(
    connection: Connection, outbox_id: int, *, at: datetime, error: str, uncertain: bool
) -> None:
    """Try again at a time. `uncertain`: the send may have arrived although its reply was lost."""
    values: dict[str, Any] = {"state": OutboxState.pending, "next_attempt_at": at, "error": error}
    if uncertain:
        values["uncertain"] = True
    rows.change(connection, Outgoing, outbox_id, **values)


def mark_failed(connection: Connection, outbox_id: int, *, error: str) -> None:
    """The channel will never take it; the rows behind it go on."""
    rows.change(connection, Outgoing, outbox_id, state=OutboxState.failed, error=error)


def recover(connection: Connection) -> int:
    """After a crash: what was being sent may or may not have arrived. Returns how many."""
    result = connection.execute(
        update(OUTBOX)
        .where(OUTBOX.c.state == OutboxState.sending)
        .values(state=OutboxState.pending, uncertain=True)
    )
    return int(result.rowcount)


def list_for_job(connection: Connection, job_id: int) -> list[Outgoing]:
    """What was said about a job, oldest first."""
    statement = select(OUTBOX).where(OUTBOX.c.job_id == job_id).order_by(OUTBOX.c.id)
    return rows.fetch(connection, Outgoing, statement)
