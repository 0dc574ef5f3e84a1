"""The queue as people look at it: how deep it is, and who waits in it. Only reading."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, text

from agentos.domain.states import JobState
from agentos.domain.work import Job, JobKind, Lane, Run, Worker
from agentos.store import rows

JOB = rows.table_of(Job)
RUN = rows.table_of(Run)
WORKER = rows.table_of(Worker)
# In the words of the partial indexes: bound as values, SQLite would not know that they fit.
_IS_QUEUED = text("job.state = 'queued'")
_IS_LIVE = text("run.state IN ('starting', 'running')")
_IS_AGENT = JOB.c.kind == JobKind.agent


@dataclass(frozen=True)
class Depth:
    """How many jobs of a lane run, wait now, and are due later."""

    running: int = 0
    waiting: int = 0
    later: int = 0


@dataclass(frozen=True)
class Live:
    """A run under way, with its job and its worker."""

    run: Run
    job: Job
    worker: Worker


def depths(connection: Connection, *, now: datetime) -> dict[Lane, Depth]:
    """The depth of each lane; reminders are in none, they are only said."""
    is_later = func.coalesce(JOB.c.run_at > now, False)
    queued = select(JOB.c.lane, is_later, func.count()).where(_IS_QUEUED, _IS_AGENT)
    counts = {
        (lane, bool(later)): count
        for lane, later, count in connection.execute(queued.group_by(JOB.c.lane, is_later))
    }
    live = select(JOB.c.lane, func.count()).join(RUN, RUN.c.job_id == JOB.c.id).where(_IS_LIVE)
    counted = connection.execute(live.group_by(JOB.c.lane))
    running: dict[int, int] = {row[0]: row[1] for row in counted}
    return {
        lane: Depth(
            running=running.get(int(lane), 0),
            waiting=counts.get((int(lane), False), 0),
            later=counts.get((int(lane), True), 0),
        )
        for lane in Lane
    }


def list_waiting(connection: Connection, *, limit: int) -> list[Job]:
    """Queued work in the order of its turns."""
    statement = select(JOB).where(_IS_QUEUED, _IS_AGENT).order_by(JOB.c.turn_at, JOB.c.id)
    return rows.fetch(connection, Job, statement.limit(limit))


def reminders(connection: Connection) -> tuple[int, datetime | None]:
    """How many things are to be said at a time, and when the next of them is."""
    statement = select(func.count(), func.min(JOB.c.run_at)).where(
        _IS_QUEUED, JOB.c.kind == JobKind.reminder
    )
    count, soonest = connection.execute(statement).one()
    return int(count), soonest


def count_parked(connection: Connection) -> int:
    """How many jobs wait for an answer."""
    statement = select(func.count()).where(JOB.c.state == JobState.parked)
    return int(connection.execute(statement).scalar_one())


def list_live(connection: Connection) -> list[Live]:
    """What runs now, the longest first."""
    statement = select(RUN).where(_IS_LIVE).order_by(RUN.c.started_at, RUN.c.id)
    return [
        Live(
            run=run,
            job=rows.get(connection, Job, run.job_id),
            worker=rows.get(connection, Worker, run.worker_id),
        )
        for run in rows.fetch(connection, Run, statement)
    ]
