"""Removing rows of what ended long ago, a few at a time.

What stays: what was used and what it cost, what was said, tasks, and whatever was reviewed. The
newest row of a table stays, too: SQLite gives the id of a last row that was removed to the next
one, and the files and messages of the old one would be taken for the new one's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select, update

from agentos.domain.ledger import Event, Usage
from agentos.domain.memory import MemoryGiven
from agentos.domain.progress import Progress
from agentos.domain.states import (
    FINISHED_JOBS,
    LIVE_RUNS,
    CardState,
    OutboxState,
    WorkerState,
)
from agentos.domain.talk import Card, Grant, Outgoing
from agentos.domain.work import Artefact, Job, JobNeed, Review, Run, Steer, Worker
from agentos.store import rows

JOB, RUN, EVENT = rows.table_of(Job), rows.table_of(Run), rows.table_of(Event)
NEED, WORKER, CARD = rows.table_of(JobNeed), rows.table_of(Worker), rows.table_of(Card)
ARTEFACT, REVIEW = rows.table_of(Artefact), rows.table_of(Review)
STEER = rows.table_of(Steer)
USAGE, OUTBOX = rows.table_of(Usage), rows.table_of(Outgoing)
GIVEN, GRANT = rows.table_of(MemoryGiven), rows.table_of(Grant)
PROGRESS = rows.table_of(Progress)
_UNSAID = (OutboxState.held, OutboxState.pending, OutboxState.sending)


@dataclass(frozen=True)
class Removed:
    """How many rows of each kind are gone."""

    jobs: int = 0
    runs: int = 0
    events: int = 0
    workers: int = 0

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(
            jobs=self.jobs + other.jobs,
            runs=self.runs + other.runs,
            events=self.events + other.events,
            workers=self.workers + other.workers,
        )

    def __bool__(self) -> bool:
        return bool(self.jobs or self.runs or self.events or self.workers)


def horizon(connection: Connection, *, now: datetime, keep: timedelta) -> datetime:
    """What ended before this moment is old enough to go.

    It is counted from the last thing that ended: a clock that jumped ahead, or a machine that was
    off for a summer, must not make everything old at once.
    """
    last: datetime | None = connection.execute(select(func.max(JOB.c.finished_at))).scalar()
    return min(now, last or now) - keep


def remove(connection: Connection, *, before: datetime, limit: int = 50) -> Removed:
    """Remove what ended before then: at most so many of each kind, for a short transaction.

    Call it again until it removes nothing.
    """
    gone = [job_id for (job_id,) in connection.execute(_old_jobs(before).limit(limit))]
    removed = Removed(jobs=len(gone))
    if gone:
        removed += _remove_jobs(connection, gone)
    return (
        removed
        + Removed(runs=_remove(connection, RUN, _old_runs(before), limit=limit))
        + Removed(events=_remove(connection, EVENT, _old_events(before), limit=limit * 10))
        + Removed(workers=_remove(connection, WORKER, _old_workers(before), limit=limit))
    )


def list_gone(connection: Connection, job_ids: Sequence[int]) -> list[int]:
    """Which of these were jobs, and are no more; ids that are yet to come are not among them."""
    newest = int(connection.execute(select(func.coalesce(func.max(JOB.c.id), 0))).scalar_one())
    here = set()
    for start in range(0, len(job_ids), 500):
        part = job_ids[start : start + 500]
        here |= {
            found for (found,) in connection.execute(select(JOB.c.id).where(JOB.c.id.in_(part)))
        }
    return [job_id for job_id in job_ids if job_id < newest and job_id not in here]


def _old_jobs(before: datetime) -> Any:
    """Jobs that nothing needs any more, the oldest first."""
    dependent = JOB.alias("dependent")
    its_runs = select(RUN.c.id).where(RUN.c.job_id == JOB.c.id)
    return (
        select(JOB.c.id)
        .where(
            JOB.c.state.in_(FINISHED_JOBS),
            JOB.c.finished_at < before,
            _is_not_last(JOB, JOB.c.id),
            _is_not_of_last(RUN),
            _is_not_of_last(ARTEFACT),
            ~exists().where(
                NEED.c.needs_id == JOB.c.id,
                dependent.c.id == NEED.c.job_id,
                dependent.c.state.not_in(FINISHED_JOBS),
            ),
            ~exists().where(RUN.c.job_id == JOB.c.id, RUN.c.state.in_(LIVE_RUNS)),
            ~exists().where(REVIEW.c.run_id.in_(its_runs)),
            ~exists().where(CARD.c.job_id == JOB.c.id, CARD.c.state == CardState.open),
            ~exists().where(OUTBOX.c.job_id == JOB.c.id, OUTBOX.c.state.in_(_UNSAID)),
        )
        .order_by(JOB.c.id)
    )


def _remove_jobs(connection: Connection, gone: list[int]) -> Removed:
    """Remove jobs with all that is theirs alone; what stays forgets them."""
    its_runs = select(RUN.c.id).where(RUN.c.job_id.in_(gone))
    connection.execute(
        update(USAGE)
        .where(USAGE.c.job_id.in_(gone) | USAGE.c.run_id.in_(its_runs))
        .values(job_id=None, run_id=None)
    )
    for table in (OUTBOX, CARD, GRANT):
        connection.execute(update(table).where(table.c.job_id.in_(gone)).values(job_id=None))
    for table in (STEER, GIVEN, PROGRESS):
        connection.execute(delete(table).where(table.c.job_id.in_(gone)))
    connection.execute(delete(ARTEFACT).where(ARTEFACT.c.job_id.in_(gone)))
    connection.execute(delete(NEED).where(NEED.c.job_id.in_(gone) | NEED.c.needs_id.in_(gone)))
    mine = EVENT.c.job_id.in_(gone) & _is_not_last(EVENT, EVENT.c.id)
    events = connection.execute(delete(EVENT).where(mine)).rowcount
    runs = connection.execute(delete(RUN).where(RUN.c.job_id.in_(gone))).rowcount
    connection.execute(delete(JOB).where(JOB.c.id.in_(gone)))
    return Removed(runs=runs, events=events)


def _old_runs(before: datetime) -> ColumnElement[bool]:
    """Of jobs that stay because they were reviewed: the runs that were not."""
    reviewed = RUN.alias("reviewed")
    return (
        RUN.c.state.not_in(LIVE_RUNS)
        & _is_not_last(RUN, RUN.c.id)
        & exists().where(
            JOB.c.id == RUN.c.job_id, JOB.c.state.in_(FINISHED_JOBS), JOB.c.finished_at < before
        )
        & exists().where(REVIEW.c.run_id == reviewed.c.id, reviewed.c.job_id == RUN.c.job_id)
        & ~exists().where(REVIEW.c.run_id == RUN.c.id)
        & ~exists().where(ARTEFACT.c.run_id == RUN.c.id)
        & ~exists().where(USAGE.c.run_id == RUN.c.id)
    )


def _old_events(before: datetime) -> ColumnElement[bool]:
    """Events of then, but those of jobs that have not ended: their retries are counted by them."""
    unfinished = select(JOB.c.id).where(JOB.c.state.not_in(FINISHED_JOBS))
    return (
        (EVENT.c.at < before)
        & _is_not_last(EVENT, EVENT.c.id)
        & (EVENT.c.job_id.is_(None) | EVENT.c.job_id.not_in(unfinished))
    )


def _old_workers(before: datetime) -> ColumnElement[bool]:
    """Retired workers that no run and no job tells of."""
    return (
        (WORKER.c.state == WorkerState.retired)
        & (func.coalesce(WORKER.c.last_used_at, WORKER.c.created_at) < before)
        & _is_not_last(WORKER, WORKER.c.id)
        & ~exists().where(RUN.c.worker_id == WORKER.c.id)
        & ~exists().where(JOB.c.wants_worker_id == WORKER.c.id)
    )


def _remove(connection: Connection, table: Table, which: ColumnElement[bool], *, limit: int) -> int:
    chosen = select(table.c.id).where(which).order_by(table.c.id).limit(limit)
    found = [row_id for (row_id,) in connection.execute(chosen)]
    for start in range(0, len(found), 500):
        part = found[start : start + 500]
        connection.execute(delete(table).where(table.c.id.in_(part)))
    return len(found)


def _is_not_last(table: Table, column: Any) -> ColumnElement[bool]:
    newest = table.alias(f"newest_{table.name}")
    not_last: ColumnElement[bool] = column != select(func.max(newest.c.id)).scalar_subquery()
    return not_last


def _is_not_of_last(table: Table) -> ColumnElement[bool]:
    """The job is not the one of the newest row of this table."""
    newest = table.alias(f"last_{table.name}")
    of_last = select(newest.c.job_id).order_by(newest.c.id.desc()).limit(1).scalar_subquery()
    return JOB.c.id != func.coalesce(of_last, 0)
