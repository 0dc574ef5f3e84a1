"""Events: one row for each state change, under a stable key."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

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
    values = {
        "key": key,
        "at": at,
        "job_id": job_id,
        "run_id": run_id,
        "task_id": task_id,
        "message_id": message_id,
        "data": data,
    }
    connection.execute(EVENT.insert(), values)


def list_since(
    connection: Connection, event_id: int, *, job_id: int | None = None, limit: int = 500
) -> list[Event]:
    """Events after the given id, oldest first."""
    statement = select(EVENT).where(EVENT.c.id > event_id).order_by(EVENT.c.id).limit(limit)
    if job_id is not None:
        statement = statement.where(EVENT.c.job_id == job_id)
    return rows.fetch(connection, Event, statement)
