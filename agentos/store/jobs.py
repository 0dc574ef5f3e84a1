"""The queue: jobs in lanes, what they need, and when they are due."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    text,
    update,
)

from agentos.domain.states import (
    FINISHED_JOBS,
    JOBS,
    Actor,
    JobState,
    RunState,
    TaskState,
    WorkerState,
    check,
)
from agentos.domain.work import (
    Job,
    JobKind,
    JobNeed,
    Lane,
    NeedPolicy,
    Run,
    Worker,
    WorkerRole,
    lane_of,
    turn_of,
)
from agentos.errors import BadRequest
from agentos.store import cards, events, expectations, rows, tasks
from agentos.store.prepared import Prepared

JOB = rows.table_of(Job)
NEED = rows.table_of(JobNeed)
WORKER = rows.table_of(Worker)
_NEEDED = JOB.alias("needed")
_RUN = rows.table_of(Run)
# In the words of the partial index: bound as a value, SQLite would not know that it fits.
_IS_QUEUED = text("job.state = 'queued'")
_NOW = bindparam("now", type_=JOB.c.run_at.type)
# What was begun waits for minutes between two tries. If it seems to be for longer, the clock was
# ahead when that was written down.
_LONGEST_WAIT = timedelta(hours=1)
_IS_DUE = or_(
    JOB.c.run_at.is_(None),
    JOB.c.run_at <= _NOW,
    and_(JOB.c.attempts > 0, JOB.c.run_at > bindparam("much_later", type_=JOB.c.run_at.type)),
)
_TURN_BY = bindparam("turn_by", type_=JOB.c.turn_at.type)
_NEVER = datetime.max.replace(tzinfo=UTC)
# A worker that takes jobs from the queue, and has one.
_IS_BUSY = (
    WORKER.c.role == WorkerRole.work,
    WORKER.c.persistent.is_(True),
    WORKER.c.state == WorkerState.working,
)

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
        # Not as a list: a prepared statement takes none.
        (JOB.c.if_needs_fail != NeedPolicy.go_on)
        | and_(*(_NEEDED.c.state != state for state in _LOST)),
    )


def _none_of(column: Any, name: str) -> ColumnElement[bool]:
    """The column is empty, or has none of the values bound under this name."""
    values = bindparam(name, expanding=True, type_=column.type)
    none: ColumnElement[bool] = column.is_(None) | column.not_in(values)
    return none


def _backend_serves(none: str, only_urgent: str) -> ColumnElement[bool]:
    """The job's backend is not among those that serve nobody, or urgent jobs alone."""
    return and_(
        _none_of(JOB.c.backend, none),
        (JOB.c.lane == Lane.urgent) | _none_of(JOB.c.backend, only_urgent),
    )


# The dispatcher asks these after each commit. Building such a statement takes five times as long
# as running it, so they are built once.
_UNBARRED = (
    select(JOB)
    .where(
        _IS_QUEUED,
        _IS_DUE,
        ~_unmet_needs(),
        # Else those that wait for one busy worker would hide the free jobs behind them. One that
        # names a worker which takes no jobs is here to be refused.
        (JOB.c.wants_worker_id.is_(None))
        | ~exists().where(WORKER.c.id == JOB.c.wants_worker_id, *_IS_BUSY),
    )
    .order_by(JOB.c.turn_at, JOB.c.id)
    .limit(bindparam("limit", type_=Integer()))
)
_IS_REMINDER = JOB.c.kind == JobKind.reminder
_LANE_IS_OPEN = and_(
    JOB.c.lane <= bindparam("last_lane", type_=Integer()),
    or_(JOB.c.lane == Lane.urgent, JOB.c.turn_at.is_(None), JOB.c.turn_at <= _TURN_BY),
)
# Nor do those that could not start anyway. A reminder is only said, so it always can.
_READY_IN_LANES = Prepared(_UNBARRED.where(_IS_REMINDER | _LANE_IS_OPEN))
_READY = _UNBARRED.where(
    _IS_REMINDER
    | and_(
        _LANE_IS_OPEN,
        case(
            (
                JOB.c.wants_worker_id.is_(None),
                _backend_serves("not_backends", "only_urgent_of"),
            ),
            else_=_backend_serves("not_backends_by_name", "only_urgent_by_name"),
        ),
        _none_of(JOB.c.project_id, "not_projects"),
        _none_of(JOB.c.template, "not_templates"),
    )
)
_TAKE = Prepared(
    update(JOB)
    .where(JOB.c.id == bindparam("job_id"), JOB.c.state == JobState.queued)
    .values(state=JobState.running, attempts=JOB.c.attempts + 1)
)
_NEXT_DUE = select(func.min(JOB.c.run_at)).where(
    _IS_QUEUED, JOB.c.run_at.is_not(None), JOB.c.run_at > _NOW
)
_DEPTH = select(func.count()).select_from(
    select(JOB.c.id).where(_IS_QUEUED, _IS_DUE).limit(bindparam("limit")).subquery()
)
_LOST_NEED = (
    select(func.min(NEED.c.needs_id))
    .join(_NEEDED, _NEEDED.c.id == NEED.c.needs_id)
    .where(NEED.c.job_id == JOB.c.id, _NEEDED.c.state.in_(_LOST))
    .correlate(JOB)
    .scalar_subquery()
)
# Along the index of the queue: grouped by id, SQLite would go through all jobs there ever were.
_DOOMED = select(JOB.c.id, _LOST_NEED).where(
    _IS_QUEUED, JOB.c.if_needs_fail == NeedPolicy.skip, _LOST_NEED.is_not(None)
)


def enqueue(connection: Connection, job: Job, *, needs: Iterable[int] = ()) -> Job:
    """Put a job into its lane. With a key that is there already, returns the one that has it."""
    if not 0 <= job.priority <= 5:
        raise BadRequest(problem=f"a priority is 0 (urgent) to 5 (background), not {job.priority}")
    job.lane = int(lane_of(job.priority))
    try:
        since = max(job.created_at, job.run_at or job.created_at).astimezone(UTC)
        job.turn_at = turn_of(job.priority, since=since)
    except OverflowError as error:
        raise BadRequest(problem="that is after the end of time; name an earlier one") from error
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

    # The last lane of which anything can; None for none at all.
    last_lane: Lane | None = Lane.background
    # Only urgent jobs and those whose turn was by then can; None for no such limit.
    turn_by: datetime | None = None
    # Backends of which no job can, and those of which only urgent jobs can: for jobs that go to
    # whoever is free, and for those that name their worker and so keep to its backend.
    backends: Collection[str] = ()
    spared: Collection[str] = ()
    backends_by_name: Collection[str] = ()
    spared_by_name: Collection[str] = ()
    projects: Collection[int] = ()
    templates: Collection[str] = ()

    @property
    def by_lane_alone(self) -> bool:
        """Whether nothing but lanes and turns is, which takes the quickest of looks."""
        backends = (*self.backends, *self.backends_by_name, *self.spared, *self.spared_by_name)
        return not (backends or self.projects or self.templates)


NOTHING_BARRED = Barred()


def list_ready(
    connection: Connection, *, now: datetime, limit: int, barred: Barred = NOTHING_BARRED
) -> list[Job]:
    """Queued jobs that are due, have all they need and are not barred, in the order of turns."""
    told = {
        **_told(now),
        "limit": limit,
        "last_lane": -1 if barred.last_lane is None else int(barred.last_lane),
        "turn_by": barred.turn_by or _NEVER,
    }
    if barred.by_lane_alone:
        return _READY_IN_LANES.fetch(connection, Job, told)
    lists = {
        "not_backends": list(barred.backends),
        "only_urgent_of": list(barred.spared),
        "not_backends_by_name": list(barred.backends_by_name),
        "only_urgent_by_name": list(barred.spared_by_name),
        "not_projects": list(barred.projects),
        "not_templates": list(barred.templates),
    }
    found = connection.execute(_READY, {**told, **lists})
    return [Job(**row._mapping) for row in found]


def count_ready(connection: Connection, *, now: datetime, limit: int) -> int:
    """How many jobs are queued and due, counted up to a limit: the depth of the queue."""
    return int(connection.execute(_DEPTH, {**_told(now), "limit": limit}).scalar_one())


def _told(now: datetime) -> dict[str, Any]:
    return {"now": now, "much_later": now + _LONGEST_WAIT}


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
    elif job.state in FINISHED_JOBS:
        # The owner asks for it anew, so it comes as a new one does; any other keeps its turn.
        anew = {"run_at": None, "finished_at": None, "error": None}
        values = {**anew, "turn_at": turn_of(job.priority, since=at), **values}
    rows.change(connection, Job, job_id, state=new, **values)
    data = {"error": values["error"]} if values.get("error") else {}
    events.record(connection, f"job_{new.value}", at=at, job_id=job_id, task_id=job.task_id, **data)
    tasks.follow(connection, job.task_id, _TASK_OF[new], by=by, at=at)
    if new in FINISHED_JOBS:
        cards.cancel_for_job(connection, job_id, at=at)
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


def list_done_by(connection: Connection, worker_id: int, *, limit: int) -> list[Job]:
    """The latest jobs that a worker has done, the newest first."""
    by = select(_RUN.c.job_id).where(_RUN.c.worker_id == worker_id, _RUN.c.state == RunState.done)
    statement = select(JOB).where(JOB.c.id.in_(by)).order_by(JOB.c.id.desc()).limit(limit)
    return rows.fetch(connection, Job, statement)


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
    return bool(_TAKE.run(connection, {"job_id": job_id}).rowcount == 1)


def stay_with(connection: Connection, job: Job, worker: Worker) -> None:
    """What a persistent worker has begun it goes on with: nobody else has its session.

    `job` is as it was begun, which may be on another backend than it was meant for.
    """
    assert job.id is not None
    values = {"backend": worker.backend, "model": job.model}
    rows.change(connection, Job, job.id, wants_worker_id=worker.id, **values)
