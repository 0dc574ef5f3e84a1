"""The queue: jobs in lanes, what they need, and when they are due."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    func,
    select,
    text,
    update,
)

from agentos.domain.states import (
    FINISHED_JOBS,
    JOBS,
    Actor,
    JobState,
    TaskState,
    WorkerState,
    check,
)
from agentos.domain.work import Job, JobKind, JobNeed, Lane, NeedPolicy, Worker, lane_of, turn_of
from agentos.errors import BadRequest
from agentos.store import events, expectations, rows, tasks

JOB = rows.table_of(Job)
NEED = rows.table_of(JobNeed)
WORKER = rows.table_of(Worker)
_NEEDED = JOB.alias("needed")
# In the words of the partial index: bound as a value, SQLite would not know that it fits.
_IS_QUEUED = text("job.state = 'queued'")
_NOW = bindparam("now", type_=JOB.c.run_at.type)


_LOST = [state for state in FINISHED_JOBS if state is not JobState.done]
# A task goes where its job goes, where that is a way it can go.
_TASK_OF = {
    JobState.queued: TaskState.pending,
    JobState.running: TaskState.running,
    JobState.parked: TaskState.waiting,
    JobState.done: TaskState.ready,
    JobState.failed: TaskState.failed,
    JobState.cancelled: TaskState.cancelled,
}


def _unmet_needs() -> ColumnElement[bool]:
    """It needs one that is under way, or lost to a job that does not go on without it."""
    return exists().where(
        NEED.c.job_id == JOB.c.id,
        _NEEDED.c.id == NEED.c.needs_id,
        _NEEDED.c.state != JobState.done,
        (JOB.c.if_needs_fail != NeedPolicy.go_on) | _NEEDED.c.state.not_in(_LOST),
    )


def _none_of(column: Any, name: str) -> ColumnElement[bool]:
    """The column is empty, or has none of the values bound under this name."""
    values = bindparam(name, expanding=True, type_=column.type)
    none: ColumnElement[bool] = column.is_(None) | column.not_in(values)
    return none


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
        # Nor do those that could not start anyway. A reminder is only said, so it always can.
        (JOB.c.kind == JobKind.reminder)
        | and_(
            JOB.c.lane <= bindparam("last_lane"),
            _none_of(JOB.c.backend, "not_backends"),
            (JOB.c.lane == Lane.urgent) | _none_of(JOB.c.backend, "only_urgent_of"),
            _none_of(JOB.c.project_id, "not_projects"),
            _none_of(JOB.c.template, "not_templates"),
        ),
    )
    .order_by(JOB.c.turn_at, JOB.c.id)
    .limit(bindparam("limit"))
)
_TAKE = (
    update(JOB)
    .where(JOB.c.id == bindparam("job_id"), JOB.c.state == JobState.queued)
    .values(state=JobState.running, attempts=JOB.c.attempts + 1)
)
_NEXT_DUE = select(func.min(JOB.c.run_at)).where(_IS_QUEUED, JOB.c.run_at > _NOW)
_DEPTH = (
    select(func.count())
    .select_from(JOB)
    .where(_IS_QUEUED, (JOB.c.run_at.is_(None)) | (JOB.c.run_at <= _NOW))
)
_DOOMED = (
    select(JOB.c.id, func.min(_NEEDED.c.id))
    .join(NEED, NEED.c.job_id == JOB.c.id)
    .join(_NEEDED, _NEEDED.c.id == NEED.c.needs_id)
    .where(_IS_QUEUED, JOB.c.if_needs_fail == NeedPolicy.skip, _NEEDED.c.state.in_(_LOST))
    .group_by(JOB.c.id)
)


def enqueue(connection: Connection, job: Job, *, needs: Iterable[int] = ()) -> Job:
    """Put a job into its lane. With a key that is there already, returns the one that has it."""
    if not 0 <= job.priority <= 5:
        raise BadRequest(problem=f"a priority is 0 (urgent) to 5 (background), not {job.priority}")
    job.lane = int(lane_of(job.priority))
    job.turn_at = turn_of(job.priority, since=max(job.created_at, job.run_at or job.created_at))
    job.tokens = expectations.expect(connection, job)
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


@dataclass(frozen=True)
class Barred:
    """What cannot start now, whatever else there is room for."""

    last_lane: Lane = Lane.background
    backends: Collection[str] = ()
    # Backends of which only urgent jobs can.
    spared: Collection[str] = ()
    projects: Collection[int] = ()
    templates: Collection[str] = ()


NOTHING_BARRED = Barred()


def list_ready(
    connection: Connection, *, now: datetime, limit: int, barred: Barred = NOTHING_BARRED
) -> list[Job]:
    """Queued jobs that are due, have all they need and are not barred, in the order of turns."""
    told = {
        "now": now,
        "limit": limit,
        "last_lane": int(barred.last_lane),
        "not_backends": list(barred.backends),
        "only_urgent_of": list(barred.spared),
        "not_projects": list(barred.projects),
        "not_templates": list(barred.templates),
    }
    return [Job(**row._mapping) for row in connection.execute(_READY, told)]


def count_ready(connection: Connection, *, now: datetime) -> int:
    """How many jobs are queued and due: the depth of the queue."""
    return int(connection.execute(_DEPTH, {"now": now}).scalar_one())


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
    """Move a job on, with what else changes, and its task along with it.

    Raises WrongState when `by` may not.
    """
    job = get(connection, job_id)
    check(JOBS, job.state, new, by=by, noun="job", name=job_id)
    if new in FINISHED_JOBS:
        values["finished_at"] = at
    elif values.get("run_at") is not None:
        # It keeps its place in the queue, but comes into it only then.
        turn = turn_of(job.priority, since=values["run_at"])
        values["turn_at"] = max(turn, job.turn_at or turn)
    rows.change(connection, Job, job_id, state=new, **values)
    data = {"error": values["error"]} if values.get("error") else {}
    events.record(connection, f"job_{new.value}", at=at, job_id=job_id, task_id=job.task_id, **data)
    tasks.follow(connection, job.task_id, _TASK_OF[new], by=by, at=at)
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
