"""Runs: attempts at jobs. One at most is live for a job and for a worker; an index sees to it."""

import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, select, text, update

from agentos.domain.frames import Failure
from agentos.domain.ledger import Event
from agentos.domain.states import JobState, RunState
from agentos.domain.work import Job, Lane, Run, Worker
from agentos.errors import LeaseLost
from agentos.store import events, jobs, rows
from agentos.store.prepared import Prepared

RUN = rows.table_of(Run)
WORKER = rows.table_of(Worker)
JOB = rows.table_of(Job)
EVENT = rows.table_of(Event)
_RETRIED = "job_retried"
# Any number that nothing else locks by.
_CLAIMING = 0x61676F73
# In the words of the partial index: bound as values, SQLite would not know that it fits.
_IS_LIVE = text("run.state IN ('starting', 'running')")
_CANCELLED = (
    select(RUN.c.id)
    .join(JOB, JOB.c.id == RUN.c.job_id)
    .where(_IS_LIVE, JOB.c.state == JobState.cancelled)
)
_URGENT = (
    select(func.count())
    .select_from(RUN.join(JOB, JOB.c.id == RUN.c.job_id))
    .where(_IS_LIVE, RUN.c.node == bindparam("node"), JOB.c.lane == Lane.urgent)
)


def claim_alone(connection: Connection) -> None:
    """Let one daemon at a time look for what to claim; SQLite has one writer anyway.

    Else two that look at the same moment find the same job and the same idle worker.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))


def start(
    connection: Connection,
    job: Job,
    worker: Worker,
    *,
    now: datetime,
    lease: timedelta,
    model: str,
    node: str,
) -> Run | None:
    """Claim a queued job for a worker and open its next run; None when it was taken before."""
    assert job.id is not None and worker.id is not None
    if not jobs.take(connection, job.id):
        return None
    run = rows.add(
        connection,
        Run(
            job_id=job.id,
            worker_id=worker.id,
            number=job.attempts + 1,
            token=secrets.token_hex(16),
            node=node,
            session_id=worker.session_id,
            model=model,
            started_at=now,
            heartbeat_at=now,
            lease_until=now + lease,
        ),
    )
    events.record(
        connection,
        "run_started",
        at=now,
        job_id=job.id,
        run_id=run.id,
        task_id=job.task_id,
        worker=worker.name,
        number=run.number,
    )
    return run


def get(connection: Connection, run_id: int) -> Run:
    """The run with this id. Raises NotFound."""
    return rows.get(connection, Run, run_id)


def list_live(connection: Connection) -> list[Run]:
    """All runs that are starting or running."""
    statement = select(RUN).where(_IS_LIVE).order_by(RUN.c.id)
    return rows.fetch(connection, Run, statement)


def list_cancelled(connection: Connection) -> list[int]:
    """The ids of live runs whose job is cancelled: they are to be ended."""
    return [run_id for (run_id,) in connection.execute(_CANCELLED)]


def list_expired(connection: Connection, *, now: datetime) -> list[Run]:
    """Live runs whose lease has ended: who attended them is gone, or slept for long."""
    statement = select(RUN).where(_IS_LIVE, RUN.c.lease_until < now).order_by(RUN.c.id)
    return rows.fetch(connection, Run, statement)


def list_for_job(connection: Connection, job_id: int) -> list[Run]:
    """The attempts at a job, oldest first."""
    return rows.fetch(connection, Run, select(RUN).where(RUN.c.job_id == job_id).order_by(RUN.c.id))


def first_start(connection: Connection, job_id: int) -> datetime | None:
    """When the first run of a job began, or None."""
    began: datetime | None = connection.execute(
        select(func.min(RUN.c.started_at)).where(RUN.c.job_id == job_id)
    ).scalar()
    return began


def last_worker(connection: Connection, job_id: int) -> Worker | None:
    """Who ran a job last, or None when nobody has yet."""
    statement = (
        select(WORKER)
        .join(RUN, RUN.c.worker_id == WORKER.c.id)
        .where(RUN.c.job_id == job_id)
        .order_by(RUN.c.id.desc())
        .limit(1)
    )
    return rows.fetch_one(connection, Worker, statement)


def last_session(connection: Connection, job_id: int, *, backend: str) -> str | None:
    """The session of the newest run of a job on a backend that had one, for resuming it."""
    statement = (
        select(RUN.c.session_id)
        .join(WORKER, WORKER.c.id == RUN.c.worker_id)
        .where(RUN.c.job_id == job_id, RUN.c.session_id.is_not(None), WORKER.c.backend == backend)
        .order_by(RUN.c.id.desc())
        .limit(1)
    )
    found: str | None = connection.execute(statement).scalar()
    return found


def count_ended(connection: Connection, job_id: int, state: RunState, *, detail: str) -> int:
    """How many runs of a job ended in this way, with this detail, since the owner's last retry."""
    statement = select(func.count()).where(
        RUN.c.job_id == job_id, RUN.c.state == state, RUN.c.detail == detail, _counts(job_id)
    )
    return int(connection.execute(statement).scalar_one())


def count_failed(connection: Connection, job_id: int, failure: Failure | None) -> int:
    """How many runs of a job failed for this reason since the owner's last retry."""
    statement = select(func.count()).where(
        RUN.c.job_id == job_id,
        RUN.c.state == RunState.failed,
        RUN.c.failure == failure,
        _counts(job_id),
    )
    return int(connection.execute(statement).scalar_one())


def count_anew(connection: Connection, job: Job, *, at: datetime) -> None:
    """The owner tries it again: what failed before does not count against it any more."""
    last = connection.execute(select(func.max(RUN.c.id)).where(RUN.c.job_id == job.id)).scalar()
    events.record(connection, _RETRIED, at=at, job_id=job.id, run_id=last or 0, task_id=job.task_id)


def _counts(job_id: int) -> ColumnElement[bool]:
    """The run came after the last one that the owner has forgiven."""
    forgiven = select(func.max(EVENT.c.run_id)).where(
        EVENT.c.job_id == job_id, EVENT.c.key == _RETRIED
    )
    return RUN.c.id > func.coalesce(forgiven.scalar_subquery(), 0)


def count_urgent(connection: Connection, *, node: str) -> int:
    """How many of the live runs of a node are of urgent jobs."""
    return int(connection.execute(_URGENT, {"node": node}).scalar_one())


@cache
def _change_live(names: tuple[str, ...]) -> Prepared:
    """Built once for each set of columns."""
    values = {name: bindparam(f"new_{name}", type_=RUN.c[name].type) for name in names}
    is_it = (
        RUN.c.id == bindparam("run_id", type_=RUN.c.id.type),
        RUN.c.token == bindparam("run_token", type_=RUN.c.token.type),
    )
    return Prepared(update(RUN).where(*is_it, _IS_LIVE).values(values))


def change_live(connection: Connection, run: Run, **values: Any) -> None:
    """Change a live run. Raises LeaseLost when it is not the live one any more."""
    told = {f"new_{name}": value for name, value in values.items()}
    told |= {"run_id": run.id, "run_token": run.token}
    if _change_live(tuple(values)).run(connection, told).rowcount != 1:
        raise LeaseLost(run_id=run.id)
    if values.get("state") is RunState.running:
        events.record(
            connection,
            "run_running",
            at=values.get("heartbeat_at") or run.heartbeat_at,
            job_id=run.job_id,
            run_id=run.id,
        )


def heartbeat(connection: Connection, run: Run, *, now: datetime, lease: timedelta) -> None:
    """Renew the lease. Raises LeaseLost when the run is not the live one any more."""
    change_live(connection, run, heartbeat_at=now, lease_until=now + lease)


def settle(
    connection: Connection,
    run: Run,
    state: RunState,
    *,
    at: datetime,
    detail: str | None,
    failure: Failure | None = None,
) -> None:
    """End a run. Raises LeaseLost when another took its place: then nothing is to be changed."""
    change_live(connection, run, state=state, finished_at=at, detail=detail, failure=failure)
    events.record(
        connection,
        "run_settled",
        at=at,
        job_id=run.job_id,
        run_id=run.id,
        outcome=state.value,
        detail=detail,
    )
