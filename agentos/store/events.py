"""Events: one row for each state change, under a stable key.

That a job has begun, and that its worker is busy, is one event: `run_started`; `run_settled` tells
that the worker is free again.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text

from agentos.domain.ledger import Event
from agentos.store import rows

EVENT = rows.table_of(Event)


def record(
    connection: Connection,
    key: str,
    *,
    at: datetime,
    job_id: int | None = None,
    run_id: int | None = None,
    task_id: int | None = None,
    message_id: int | None = None,
    **data: Any,
) -> None:
    """Write down that something happened."""
    event = Event(
        key=key,
        at=at,
        job_id=job_id,
        run_id=run_id,
        task_id=task_id,
        message_id=message_id,
        data=data,
    )
    rows.add(connection, event)


def list_since(
    connection: Connection, event_id: int, *, job_id: int | None = None, limit: int = 500
) -> list[Event]:
    """Events after the given id, oldest first."""
    statement = select(EVENT).where(EVENT.c.id > event_id).order_by(EVENT.c.id).limit(limit)
    if job_id is not None:
        statement = statement.where(EVENT.c.job_id == job_id)
    return rows.fetch(connection, Event, statement)


def stream(connection: Connection, *, since: int, limit: int) -> list[Event]:
    """Events after the given id, oldest first, so that none can still come in between.

    Postgres hands out ids before it commits, so a larger id may be there first: for the length of
    this transaction we wait for who writes, and who wants to write waits for us. SQLite has one
    writer, whose ids are in the order of commits.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE event IN SHARE MODE"))
    return list_since(connection, since, limit=limit)


def newest_id(connection: Connection) -> int:
    """The id of the newest event, 0 when there is none."""
    return int(connection.execute(select(func.coalesce(func.max(EVENT.c.id), 0))).scalar_one())
