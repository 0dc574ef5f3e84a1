"""The outbox: what is to be said, written in the transaction that made it true."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text, update

from agentos.domain.quiet import can_wait
from agentos.domain.states import OutboxState
from agentos.domain.talk import OutboxKind, Outgoing
from agentos.domain.work import Job
from agentos.store import quiet, rows, shown

OUTBOX = rows.table_of(Outgoing)
# How the keys of those begin that show the end of some work in the place of its progress.
PROGRESS_END = "progress-end:"
_DIGEST = "quiet:"
# What goes on in further messages is more than what the edited one shows.
_LONGEST_SUPERSEDED = 2000
# In the words of the partial index: bound as values, SQLite would not know that it fits.
_IS_OPEN = text("outbox.state IN ('pending', 'sending')")
_HELD = select(OUTBOX).where(text("outbox.state = 'held'")).order_by(OUTBOX.c.id)


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
    """Put something into the outbox. The same key again changes nothing and returns the first.

    In quiet hours, what can wait is held back until they end.
    """
    row = Outgoing(
        key=key,
        channel=conversation.partition(":")[0],
        conversation=conversation,
        kind=kind,
        text=text,
        created_at=at,
        **more,
    )
    if (end := quiet.until(connection, now=at)) is not None and _can_wait(connection, row):
        _announce(connection, row, end=end)
        row.state = OutboxState.held
    made = rows.add_once(connection, row, unique=("key",))
    return made if made is not None else find_by_key(connection, key) or row


def _can_wait(connection: Connection, row: Outgoing) -> bool:
    edited = rows.find(connection, Outgoing, row.edits_id) if row.edits_id is not None else None
    return can_wait(
        job=rows.find(connection, Job, row.job_id) if row.job_id is not None else None,
        answers_owner=row.message_id is not None or row.card_id is not None,
        silent=row.silent,
        edits_held=None if edited is None else edited.state is OutboxState.held,
    )


def _announce(connection: Connection, row: Outgoing, *, end: datetime) -> None:
    """Ahead of the first that is held in a conversation goes a line that will say how many."""
    line = Outgoing(
        key=f"{_DIGEST}{row.conversation}:{end.isoformat()}",
        channel=row.channel,
        conversation=row.conversation,
        state=OutboxState.held,
        created_at=row.created_at,
    )
    rows.add_once(connection, line, unique=("key",))


def release(connection: Connection, *, digest: Callable[[int], str], at: datetime) -> int:
    """When it is not quiet any more: say what was held, in its order, after a line of how many."""
    held = rows.fetch(connection, Outgoing, _HELD)
    if not held or quiet.until(connection, now=at) is not None:
        return 0
    lines = [row for row in held if row.key.startswith(_DIGEST)]
    said = [row for row in held if not row.key.startswith(_DIGEST)]
    for line in lines:
        count = sum(row.conversation == line.conversation for row in said if row.edits_id is None)
        rows.change(connection, Outgoing, line.id or 0, text=digest(count))
    for row in held:
        # What was to be silent at its time was so for the hour, and the hour is over.
        silent = row.edits_id is not None
        rows.change(connection, Outgoing, row.id or 0, state=OutboxState.pending, silent=silent)
    return len(said)


def any_held(connection: Connection) -> bool:
    """Whether anything waits for the end of the quiet hours."""
    return connection.execute(_HELD.limit(1)).first() is not None


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


def list_behind(connection: Connection, row: Outgoing, *, most: int = 50) -> list[Outgoing]:
    """The files of the same job that are to be said right after a row, in order."""
    statement = (
        select(OUTBOX)
        .where(
            OUTBOX.c.conversation == row.conversation,
            OUTBOX.c.id > row.id,
            _IS_OPEN,
        )
        .order_by(OUTBOX.c.id)
        .limit(most)
    )
    found = list[Outgoing]()
    for other in rows.fetch(connection, Outgoing, statement):
        if other.job_id != row.job_id or other.file_path is None:
            break
        found.append(other)
    return found


def waiting(connection: Connection) -> tuple[int, datetime | None]:
    """How much is still to be said, and since when the oldest of it waits."""
    statement = select(func.count(), func.min(OUTBOX.c.created_at)).where(_IS_OPEN)
    count, oldest = connection.execute(statement).one()
    return count, oldest


def next_attempt(connection: Connection, channel: str) -> datetime | None:
    """When the earliest postponed row is to be tried again, or None."""
    statement = select(func.min(OUTBOX.c.next_attempt_at)).where(
        OUTBOX.c.channel == channel, _IS_OPEN, OUTBOX.c.state == OutboxState.pending
    )
    moment: datetime | None = connection.execute(statement).scalar_one()
    return moment


def supersede(connection: Connection, row: Outgoing) -> bool:
    """Whether a text for a message need not be shown, since a newer one for it waits as well."""
    is_begun = row.external_id is not None or row.uncertain
    if row.edits_id is None or is_begun or len(row.text) > _LONGEST_SUPERSEDED:
        return False
    newer = select(OUTBOX.c.id).where(
        OUTBOX.c.conversation == row.conversation,
        OUTBOX.c.edits_id == row.edits_id,
        OUTBOX.c.id > row.id,
        _IS_OPEN,
    )
    result = connection.execute(
        update(OUTBOX)
        .where(OUTBOX.c.id == row.id, OUTBOX.c.state == OutboxState.pending, newer.exists())
        .values(state=OutboxState.superseded)
    )
    return result.rowcount == 1


def settle(connection: Connection, row: Outgoing, *, text: str, at: datetime) -> None:
    """Let a row that was said with buttons show how it was decided, without them; once.

    What was settled before, in words of its own, stays so.
    """
    say(
        connection,
        key=f"{row.key}:decided",
        conversation=row.conversation,
        text=text,
        at=at,
        edits_id=row.id,
        silent=True,
    )


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
