"""The queue: jobs in lanes, what they need, and when they are due."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, exists, func, select, text, update

from agentos.domain.states import FINISHED_JOBS, JOBS, Actor, JobState, WorkerState, check
from agentos.domain.work import Job, JobNeed, Worker, lane_of
from agentos.errors import BadRequest
from agentos.store import events, rows

JOB = rows.table_of(Job)
NEED = rows.table_of(JobNeed)
WORKER = rows.table_of(Worker)
_NEEDED = JOB.alias("needed")
# In the words of the partial index: bound as a value, SQLite would not know that it fits.
_IS_QUEUED = text("job.state = 'queued'")
_NOW = bindparam("now", type_=JOB.c.run_at.type)


def _unmet_needs() -> ColumnElement[bool]:
    return exists().where(
        NEED.c.job_id == JOB.c.id,
        _NEEDED.c.id == NEED.c.needs_id,
        _NEEDED.c.state != JobState.done,
    )


# The dispatcher asks these after each commit. Building such a statement takes five times as long
# as running it, so they are built once.
_READY = (
    select(JOB)
    .where(
        _IS_QUEUED,
        (JOB.c.run_at.is_(None)) | (JOB.c.run_at <= _NOW),
        ~_unmet_needs(),
        # Else those that wait for one busy worker would hide the free jobs behind them.
        (JOB.c.wants_worker_id.is_(None))
        | exists().where(WORKER.c.id == JOB.c.wants_worker_id, WORKER.c.state == WorkerState.idle),
    )
    .order_by(JOB.c.lane, JOB.c.priority, JOB.c.id)
    .limit(bindparam("limit"))
)
_TAKE = (
    update(JOB)
    .where(JOB.c.id == bindparam("job_id"), JOB.c.state == JobState.queued)
    .values(state=JobState.running, attempts=JOB.c.attempts + 1)
)
_NEXT_DUE = select(func.min(JOB.c.run_at)).where(_IS_QUEUED, JOB.c.run_at > _NOW)
_DOOMED = (
    select(JOB.c.id, func.min(_NEEDED.c.id))
    .join(NEED, NEED.c.job_id == JOB.c.id)
    .join(_NEEDED, _NEEDED.c.id == NEED.c.needs_id)
    .where(
        _IS_QUEUED,
        _NEEDED.c.state.in_([state for state in FINISHED_JOBS if state is not JobState.done]),
    )
    .group_by(JOB.c.id)
)


def enqueue(connection: Connection, job: Job, *, needs: Iterable[int] = ()) -> Job:
    """Put a job into its lane. With a key that is there already, returns the one that has it."""
    if not 0 <= job.priority <= 5:
        raise BadRequest(problem=f"a priority is 0 (urgent) to 5 (background), not {job.priority}")
    job.lane = int(lane_of(job.priority))
    if job.key is None:
        rows.add(connection, job)
    elif rows.add_once(connection, job, unique=("key",)) is None:
        found = rows.fetch_one(connection, Job, select(JOB).where(JOB.c.key == job.key))
        assert found is not None
        return found
    for needed in dict.fromkeys(needs):
        connection.execute(NEED.insert().values(job_id=job.id, needs_id=get(connection, needed).id))
    events.record(connection, "job_queued", at=job.created_at, job_id=job.id, task_id=job.task_id)
    return job


def get(connection: Connection, job_id: int) -> Job:
    """The job with this id. Raises NotFound."""
    return rows.get(connection, Job, job_id)


def list_all(
    connection: Connection,
    *,
    state: JobState | None = None,
    project_id: int | None = None,
    limit: int = 50,
) -> list[Job]:
    """The newest jobs first."""
    return rows.newest(connection, Job, limit=limit, state=state, project_id=project_id)


def list_ready(connection: Connection, *, now: datetime, limit: int) -> list[Job]:
    """Queued jobs that are due and have all they need, in the order of the lanes."""
    found = connection.execute(_READY, {"now": now, "limit": limit})
    return [Job(**row._mapping) for row in found]


def next_due(connection: Connection, *, now: datetime) -> datetime | None:
    """When the next queued job that is not due yet will be, or None."""
    moment: datetime | None = connection.execute(_NEXT_DUE, {"now": now}).scalar_one()
    return moment


def count_by_state(connection: Connection) -> dict[str, int]:
    """How many jobs are in each state."""
    statement = select(JOB.c.state, func.count()).group_by(JOB.c.state)
    return {state.value: count for state, count in connection.execute(statement)}


def move(
    connection: Connection,
    job_id: int,
    new: JobState,
    *,
    by: Actor,
    at: datetime,
    **values: Any,
) -> Job:
    """Move a job on, with what else changes. Raises WrongState when `by` may not."""
    job = get(connection, job_id)
    check(JOBS, job.state, new, by=by, noun="job", name=job_id)
    if new in FINISHED_JOBS:
        values["finished_at"] = at
    rows.change(connection, Job, job_id, state=new, **values)
    data = {"error": values["error"]} if values.get("error") else {}
    events.record(connection, f"job_{new.value}", at=at, job_id=job_id, task_id=job.task_id, **data)
    return get(connection, job_id)


def list_doomed(connection: Connection) -> list[tuple[Job, int]]:
    """Queued jobs that need one which ended without being done, each with that one's id."""
    doomed = connection.execute(_DOOMED).all()
    return [(get(connection, job_id), lost_id) for job_id, lost_id in doomed]


def needs_of(connection: Connection, job_id: int) -> list[Job]:
    """The jobs that this one needs."""
    statement = (
        select(JOB)
        .join(NEED, NEED.c.needs_id == JOB.c.id)
        .where(NEED.c.job_id == job_id)
        .order_by(JOB.c.id)
    )
    return rows.fetch(connection, Job, statement)


def list_unfinished(
    connection: Connection, *, conversation: str | None = None, limit: int = 200
) -> list[Job]:
    """Jobs that have not ended, the newest first; of one conversation, or of all."""
    statement = select(JOB).where(JOB.c.state.not_in(FINISHED_JOBS)).order_by(JOB.c.id.desc())
    if conversation is not None:
        statement = statement.where(JOB.c.conversation == conversation)
    return rows.fetch(connection, Job, statement.limit(limit))


def list_for_plan(connection: Connection, plan_id: int) -> list[Job]:
    """The jobs of a plan, in the order they were made."""
    return rows.fetch(
        connection, Job, select(JOB).where(JOB.c.plan_id == plan_id).order_by(JOB.c.id)
    )


def list_for_message(connection: Connection, message_id: int) -> list[Job]:
    """The jobs that a message started, in the order they were made."""
    return rows.fetch(
        connection, Job, select(JOB).where(JOB.c.message_id == message_id).order_by(JOB.c.id)
    )


def take(connection: Connection, job_id: int) -> bool:
    """Move a queued job to running and count the attempt; False when it is not queued any more."""
    return connection.execute(_TAKE, {"job_id": job_id}).rowcount == 1
