"""Workers: agent identities with a session."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, select, text

from agentos.domain.states import WORKERS, Actor, JobState, WorkerState, check
from agentos.domain.work import Job, Run, Worker, WorkerRole
from agentos.errors import BadRequest, NotFound, WrongState
from agentos.store import events, rows
from agentos.store.prepared import Prepared

WORKER = rows.table_of(Worker)
RUN = rows.table_of(Run)
JOB = rows.table_of(Job)
_UNFINISHED = (JobState.queued, JobState.running, JobState.parked)
# In the words of the partial index: bound as values, SQLite would not know that it fits.
_IS_LIVE = text("run.state IN ('starting', 'running')")
# Asked at each dispatch, so built once.
_IDLE = Prepared(
    select(WORKER)
    .where(
        WORKER.c.role == WorkerRole.work,
        WORKER.c.persistent.is_(True),
        WORKER.c.state == WorkerState.idle,
    )
    .order_by(WORKER.c.last_used_at.nulls_first(), WORKER.c.id)
)
# Asked before a worker is made.
_BY_NAME = Prepared(
    select(WORKER).where(WORKER.c.name == bindparam("name", type_=WORKER.c.name.type))
)


def add(connection: Connection, worker: Worker) -> Worker:
    """A new worker. Of one that lives for a single run, the run's events tell."""
    made = rows.add(connection, worker)
    if worker.persistent:
        _record_added(connection, made)
    return made


def employ(connection: Connection, worker: Worker) -> Worker:
    """A new persistent worker under a name that is free; a retired one gives its name back.

    Raises BadRequest when the name is taken.
    """
    holder = find_by_name(connection, worker.name)
    if holder is not None and holder.state is not WorkerState.retired:
        raise BadRequest(problem=f"there is a worker named {worker.name} already")
    if holder is not None:
        change(connection, holder.id or 0, name=f"{holder.name} ({holder.id})")
    return add(connection, worker)


def get(connection: Connection, worker_id: int) -> Worker:
    """The worker with this id. Raises NotFound."""
    return rows.get(connection, Worker, worker_id)


def find_by_name(connection: Connection, name: str) -> Worker | None:
    """The worker with this name, or None."""
    found = _BY_NAME.fetch(connection, Worker, {"name": name})
    return found[0] if found else None


def list_idle(connection: Connection) -> list[Worker]:
    """Persistent workers that could take a job now, the longest unused first."""
    return _IDLE.fetch(connection, Worker, {})


def list_all(connection: Connection, *, limit: int = 100) -> list[Worker]:
    """The newest workers first."""
    return rows.newest(connection, Worker, limit=limit)


def get_by_name(connection: Connection, name: str) -> Worker:
    """The worker with this name. Raises NotFound."""
    found = find_by_name(connection, name)
    if found is None:
        raise NotFound(noun="worker", name=repr(name))
    return found


def list_here(connection: Connection, *, retired: bool = False, limit: int) -> list[Worker]:
    """Who takes jobs: the persistent ones by name, then those that work on their only one.

    With `retired` also those that no longer do, the newest last.
    """
    statement = (
        select(WORKER)
        .where(WORKER.c.role == WorkerRole.work)
        .order_by(
            WORKER.c.state == WorkerState.retired,
            WORKER.c.persistent.is_(False),
            case((WORKER.c.persistent.is_(True), WORKER.c.name), else_=""),
            WORKER.c.id,
        )
        .limit(limit)
    )
    if not retired:
        statement = statement.where(WORKER.c.state != WorkerState.retired)
    return rows.fetch(connection, Worker, statement)


def at_work(connection: Connection) -> dict[int, Job]:
    """What each worker with a live run works on."""
    statement = select(RUN.c.worker_id, JOB).join(JOB, JOB.c.id == RUN.c.job_id).where(_IS_LIVE)
    found = {}
    for row in connection.execute(statement):
        values = dict(row._mapping)
        worker_id: int = values.pop("worker_id")
        found[worker_id] = Job(**values)
    return found


def list_retired_of(connection: Connection, worker_ids: Collection[int]) -> list[int]:
    """Which of these are retired."""
    statement = select(WORKER.c.id).where(
        WORKER.c.id.in_(list(worker_ids)), WORKER.c.state == WorkerState.retired
    )
    return [worker_id for (worker_id,) in connection.execute(statement)]


def retire(connection: Connection, worker: Worker, *, at: datetime) -> list[int]:
    """It takes no job any more; one that works ends after its run. Its session is not resumed.

    Jobs that waited for it go to another one of its kind; returns their ids. Raises WrongState.
    """
    assert worker.id is not None
    if worker.role is not WorkerRole.work:
        problem = "it speaks for the front desk, which needs it"
        raise WrongState(noun="worker", name=worker.name, state=worker.state.value, problem=problem)
    if worker.state is WorkerState.retired:
        problem = "it takes no job any more"
        raise WrongState(noun="worker", name=worker.name, state="retired", problem=problem)
    if worker.state is WorkerState.working:
        # The engine retires what is not persistent when its run ends.
        change(connection, worker.id, persistent=False)
    else:
        new = WorkerState.retired
        check(WORKERS, worker.state, new, by=Actor.owner, noun="worker", name=worker.name)
        change(connection, worker.id, state=new)
    freed = let_go(connection, worker)
    events.record(
        connection,
        "worker_retired",
        at=at,
        worker=worker.name,
        finishes_first=worker.state is WorkerState.working,
        freed_jobs=freed,
    )
    return freed


def let_go(connection: Connection, worker: Worker, *, job_id: int | None = None) -> list[int]:
    """Jobs that name this worker now ask for one of its kind; returns their ids.

    All that have not ended, or one job whatever its state.
    """
    chosen = JOB.c.state.in_(_UNFINISHED) if job_id is None else JOB.c.id == job_id
    statement = select(JOB).where(JOB.c.wants_worker_id == worker.id, chosen).order_by(JOB.c.id)
    freed = []
    for job in rows.fetch(connection, Job, statement):
        assert job.id is not None
        rows.change(
            connection,
            Job,
            job.id,
            wants_worker_id=None,
            model=job.model or worker.model or None,
            persona=job.persona or worker.persona,
            skills=list(dict.fromkeys([*worker.skills, *job.skills])),
        )
        freed.append(job.id)
    return freed


def change(connection: Connection, worker_id: int, **values: Any) -> None:
    """Set columns of a worker."""
    rows.change(connection, Worker, worker_id, **values)


def desk_name(conversation: str, *, kind: str = "chat") -> str:
    """What the front desk's worker of a conversation is called; those of a kind talk alike."""
    return f"{kind}-{conversation}"[:200]


def desk(connection: Connection, name: str, *, model: str, at: datetime) -> Worker:
    """The front desk's worker of this name, made when it is missing; it keeps the chat session."""
    row = Worker(name=name, role=WorkerRole.front_desk, model=model, persistent=True, created_at=at)
    made = rows.add_once(connection, row, unique=("name",))
    if made is not None:
        _record_added(connection, made)
        return made
    found = find_by_name(connection, name)
    assert found is not None
    if found.model != model:
        change(connection, found.id or 0, model=model)
        found.model = model
    return found


def _record_added(connection: Connection, worker: Worker) -> None:
    events.record(
        connection,
        "worker_added",
        at=worker.created_at,
        worker=worker.name,
        backend=worker.backend,
        model=worker.model,
    )
