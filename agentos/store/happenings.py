"""What has come to its end since a moment: messages that were answered, jobs that are over.

Read from the events behind the work, so that nobody who works has to tell it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, or_, select, text

from agentos.domain.ledger import Event
from agentos.domain.talk import Message, OutboxKind, Outgoing
from agentos.domain.work import Job
from agentos.store import events, rows

EVENT, JOB = rows.table_of(Event), rows.table_of(Job)
MESSAGE, OUTBOX = rows.table_of(Message), rows.table_of(Outgoing)
_MESSAGE_ENDS = ("message_handled",)
_JOB_ENDS = ("job_done", "job_failed", "job_cancelled")
# Drills of the queue: nobody's work, and thousands of them.
_DRILL = "echo"


@dataclass(frozen=True)
class Happening:
    """One message that was answered, or one job that ended, and when."""

    at: datetime
    # Of a job, too: the message that it was made for.
    message: Message | None = None
    # What was said to it, in order; not what its jobs have brought.
    answers: list[Outgoing] = field(default_factory=list)
    job: Job | None = None


def since(
    connection: Connection, event_id: int, *, limit: int = 200
) -> tuple[list[Happening], int, bool]:
    """What ended after an event, oldest first; the event to go on from, and whether there is more.

    On Postgres it waits for who writes: see `events.stream`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE event IN SHARE MODE"))
    newest = events.newest_id(connection)
    statement = (
        select(EVENT.c.id, EVENT.c.at, EVENT.c.message_id, EVENT.c.job_id)
        .outerjoin(JOB, JOB.c.id == EVENT.c.job_id)
        .where(
            EVENT.c.id > event_id,
            EVENT.c.key.in_((*_MESSAGE_ENDS, *_JOB_ENDS)),
            or_(JOB.c.id.is_(None), JOB.c.backend != _DRILL),
        )
        .order_by(EVENT.c.id)
        .limit(limit)
    )
    found = connection.execute(statement).all()
    jobs = {job.id: job for job in _jobs(connection, [row.job_id for row in found])}
    wanted = [row.message_id for row in found] + [job.message_id for job in jobs.values()]
    messages = {message.id: message for message in _messages(connection, wanted)}
    happenings = []
    for row in found:
        if row.job_id is not None:
            job = jobs.get(row.job_id)
            if job is not None:
                happenings.append(Happening(row.at, messages.get(job.message_id), job=job))
        elif (message := messages.get(row.message_id)) is not None:
            answers = _answers(connection, message)
            happenings.append(Happening(row.at, message, answers))
    more = len(found) == limit
    return happenings, found[-1].id if more else newest, more


def _jobs(connection: Connection, ids: Iterable[int | None]) -> list[Job]:
    return rows.fetch(connection, Job, select(JOB).where(JOB.c.id.in_(_known(ids))))


def _messages(connection: Connection, ids: Iterable[int | None]) -> list[Message]:
    return rows.fetch(connection, Message, select(MESSAGE).where(MESSAGE.c.id.in_(_known(ids))))


def _known(ids: Iterable[int | None]) -> Sequence[int]:
    return sorted({each for each in ids if each is not None})


def _answers(connection: Connection, message: Message) -> list[Outgoing]:
    """What the desk said to a message: no results, no files, no later changes of what was said."""
    statement = (
        select(OUTBOX)
        .where(
            OUTBOX.c.message_id == message.id,
            OUTBOX.c.kind == OutboxKind.text,
            OUTBOX.c.edits_id.is_(None),
            or_(OUTBOX.c.job_id.is_(None), OUTBOX.c.key == f"ack:{message.id}"),
        )
        .order_by(OUTBOX.c.id)
    )
    return rows.fetch(connection, Outgoing, statement)
