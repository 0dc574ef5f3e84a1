"""Which memories a job or a message was given: for `why`, and so that they are not learned anew."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, select

from agentos.domain.memory import MemoryGiven
from agentos.domain.talk import Message
from agentos.store import rows

GIVEN = rows.table_of(MemoryGiven)
MESSAGE = rows.table_of(Message)


def record(
    connection: Connection,
    ids: Iterable[int],
    *,
    at: datetime,
    job_id: int | None = None,
    message_id: int | None = None,
) -> None:
    """Write down that memories were put into the prompt of a job or a message. Again adds none."""
    known = set(list_ids(connection, job_id=job_id, message_id=message_id))
    for memory_id in dict.fromkeys(ids):
        if memory_id not in known:
            row = MemoryGiven(memory_id=memory_id, job_id=job_id, message_id=message_id, at=at)
            rows.add(connection, row)


def list_ids(
    connection: Connection, *, job_id: int | None = None, message_id: int | None = None
) -> list[int]:
    """The memories that this job, or this message, was given; in the order they were."""
    statement = select(GIVEN.c.memory_id).order_by(GIVEN.c.id)
    if job_id is not None:
        statement = statement.where(GIVEN.c.job_id == job_id)
    if message_id is not None:
        statement = statement.where(GIVEN.c.message_id == message_id)
    return list(dict.fromkeys(connection.execute(statement).scalars()))


def list_given(connection: Connection, memory_id: int, *, limit: int) -> list[MemoryGiven]:
    """To what a memory was given, the newest first."""
    return rows.newest(connection, MemoryGiven, limit=limit, memory_id=memory_id)


def find_message(connection: Connection, conversation: str) -> int | None:
    """The newest message of a conversation that was given a memory, or None."""
    statement = (
        select(GIVEN.c.message_id)
        .join(MESSAGE, MESSAGE.c.id == GIVEN.c.message_id)
        .where(MESSAGE.c.conversation == conversation)
        .order_by(GIVEN.c.id.desc())
        .limit(1)
    )
    found: int | None = connection.execute(statement).scalar_one_or_none()
    return found
