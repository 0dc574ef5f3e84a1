"""Workers: agent identities with a session."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from agentos.domain.states import WorkerState
from agentos.domain.work import Worker, WorkerRole
from agentos.store import rows

WORKER = rows.table_of(Worker)
# Asked at each dispatch, so built once.
_IDLE = (
    select(WORKER)
    .where(
        WORKER.c.role == WorkerRole.work,
        WORKER.c.persistent.is_(True),
        WORKER.c.state == WorkerState.idle,
    )
    .order_by(WORKER.c.last_used_at, WORKER.c.id)
)


def add(connection: Connection, worker: Worker) -> Worker:
    """A new worker."""
    return rows.add(connection, worker)


def get(connection: Connection, worker_id: int) -> Worker:
    """The worker with this id. Raises NotFound."""
    return rows.get(connection, Worker, worker_id)


def find_by_name(connection: Connection, name: str) -> Worker | None:
    """The worker with this name, or None."""
    return rows.fetch_one(connection, Worker, select(WORKER).where(WORKER.c.name == name))


def list_idle(connection: Connection) -> list[Worker]:
    """Persistent workers that could take a job now, the longest unused first."""
    return rows.fetch(connection, Worker, _IDLE)


def list_all(connection: Connection, *, limit: int = 100) -> list[Worker]:
    """The newest workers first."""
    return rows.newest(connection, Worker, limit=limit)


def change(connection: Connection, worker_id: int, **values: Any) -> None:
    """Set columns of a worker."""
    rows.change(connection, Worker, worker_id, **values)


def desk(connection: Connection, name: str, *, model: str, at: datetime) -> Worker:
    """The front desk's worker of this name, made when it is missing; it keeps the chat session."""
    row = Worker(name=name, role=WorkerRole.front_desk, model=model, persistent=True, created_at=at)
    made = rows.add_once(connection, row, unique=("name",))
    if made is not None:
        return made
    found = find_by_name(connection, name)
    assert found is not None
    if found.model != model:
        change(connection, found.id or 0, model=model)
        found.model = model
    return found
