"""What jobs need of each other: never in a circle, whoever adds what in which order."""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, select, text

from agentos.domain.states import FINISHED_JOBS, JobState
from agentos.domain.work import Job, JobNeed, NeedPolicy
from agentos.errors import BadRequest, WrongState
from agentos.store import events, jobs, rows

JOB = rows.table_of(Job)
NEED = rows.table_of(JobNeed)
# A statement may have so many values on every database.
_AT_ONCE = 500


def check_met_some_day(needed: Job, policy: NeedPolicy) -> None:
    """Raises WrongState for one that will never be done, unless the job goes on without it."""
    lost = (JobState.cancelled,) if policy is NeedPolicy.block else _LOST
    if policy is not NeedPolicy.go_on and needed.state in lost:
        problem = "a job that needs it would never start"
        raise WrongState(noun="job", name=needed.id, state=needed.state.value, problem=problem)


_LOST = tuple(state for state in FINISHED_JOBS if state is not JobState.done)


def change(
    connection: Connection,
    job_id: int,
    *,
    add: Collection[int],
    remove: Collection[int],
    at: datetime,
) -> Job:
    """Let a queued job need other ones, or no longer. The same again changes nothing.

    Raises NotFound, WrongState when it is not queued or one would never be done, and BadRequest
    for a circle, with the names of all who are in it.
    """
    _one_at_a_time(connection)
    job = jobs.get(connection, job_id)
    if job.state is not JobState.queued:
        problem = "only while a job is queued can what it needs be changed"
        raise WrongState(noun="job", name=job_id, state=job.state.value, problem=problem)
    has = {needed for _, needed in edges_from(connection, [job_id])}
    for needed in remove:
        if needed not in has:
            raise BadRequest(problem=f"job {job_id} does not need job {needed}")
    removed = [needed for needed in dict.fromkeys(remove) if needed not in add]
    for needed in removed:
        pair = (NEED.c.job_id == job_id) & (NEED.c.needs_id == needed)
        connection.execute(NEED.delete().where(pair))
    added = [needed for needed in dict.fromkeys(add) if needed not in has]
    for needed in added:
        check_met_some_day(jobs.get(connection, needed), job.if_needs_fail)
        _refuse_circle(connection, job_id, needed)
        connection.execute(NEED.insert().values(job_id=job_id, needs_id=needed))
    if added or removed:
        events.record(connection, "job_needs", at=at, job_id=job_id, added=added, removed=removed)
    return job


def edges_from(connection: Connection, job_ids: Collection[int]) -> list[tuple[int, int]]:
    """What these jobs need, as pairs (job, needed)."""
    return _edges(connection, NEED.c.job_id, job_ids)


def edges_to(connection: Connection, job_ids: Collection[int]) -> list[tuple[int, int]]:
    """What needs these jobs, as pairs (job, needed)."""
    return _edges(connection, NEED.c.needs_id, job_ids)


def connected(connection: Connection, job_ids: Iterable[int], *, limit: int) -> list[Job]:
    """These jobs, all that they need and all that needs them, in turn; by id, at most so many."""
    known: dict[int, None] = dict.fromkeys(job_ids)
    fresh = list(known)
    while fresh and len(known) < limit:
        beyond = [needed for _, needed in edges_from(connection, fresh)]
        beyond += [job for job, _ in edges_to(connection, fresh)]
        fresh = [each for each in dict.fromkeys(beyond) if each not in known]
        known.update(dict.fromkeys(fresh))
    chosen = sorted(list(known)[:limit])
    found = []
    for part in _parts(chosen):
        statement = select(JOB).where(JOB.c.id.in_(part)).order_by(JOB.c.id)
        found += rows.fetch(connection, Job, statement)
    return found


def find_way(connection: Connection, start: int, end: int) -> list[int]:
    """The shortest way from a job to one that it needs, in turn; empty when there is none."""
    came_from: dict[int, int] = {start: start}
    fresh = [start]
    while fresh and end not in came_from:
        beyond = []
        for job, needed in edges_from(connection, fresh):
            if needed not in came_from:
                came_from[needed] = job
                beyond.append(needed)
        fresh = beyond
    if end not in came_from:
        return []
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]


def _refuse_circle(connection: Connection, job_id: int, needed: int) -> None:
    way = find_way(connection, needed, job_id)
    if not way:
        return
    named = [f"{each} {jobs.get(connection, each).title}" for each in [job_id, *way]]
    raise BadRequest(problem=f"that would be a circle: {' → '.join(named)}")


def _one_at_a_time(connection: Connection) -> None:
    """Two halves of a circle must not be added side by side; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE job_need IN SHARE ROW EXCLUSIVE MODE"))


def _edges(
    connection: Connection, column: object, job_ids: Collection[int]
) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for part in _parts(list(job_ids)):
        statement = select(NEED.c.job_id, NEED.c.needs_id).where(column.in_(part))  # type: ignore[attr-defined]
        found += [(job, needed) for job, needed in connection.execute(statement)]
    return sorted(found)


def _parts(ids: list[int]) -> Iterable[list[int]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
