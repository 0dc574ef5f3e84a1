"""Jobs that go on from another: which they are, and where the session they share began."""

from datetime import datetime

from sqlalchemy import Connection, or_, select

from agentos.domain.states import FINISHED_JOBS, WorkerState
from agentos.domain.work import Job, NeedPolicy, Task, Worker
from agentos.store import jobs, rows, runs, tasks

JOB = rows.table_of(Job)


def list_going_on_from(connection: Connection, job: Job) -> list[Job]:
    """Jobs that have not ended and share the session of this one."""
    root = root_of(connection, job)
    statement = select(JOB).where(
        JOB.c.state.not_in(FINISHED_JOBS),
        JOB.c.id != job.id,
        or_(JOB.c.continues_id.is_not(None), JOB.c.id == root),
    )
    found = rows.fetch(connection, Job, statement.order_by(JOB.c.id))
    return [one for one in found if root_of(connection, one) == root]


def root_of(connection: Connection, job: Job) -> int:
    """The job in whose folder a session began that goes on from job to job."""
    seen = {job.id}
    while job.continues_id is not None and job.continues_id not in seen:
        seen.add(job.continues_id)
        before = rows.find(connection, Job, job.continues_id)
        if before is None:
            break
        job = before
    return job.id or 0


def is_there(connection: Connection, job_id: int) -> bool:
    """Whether there is a job with this id."""
    return rows.find(connection, Job, job_id) is not None


def go_on(
    connection: Connection,
    before: Job,
    *,
    key: str,
    title: str,
    prompt: str,
    task: Task,
    at: datetime,
    conversation: str | None,
    message_id: int | None,
    priority: int = 1,
) -> Job:
    """A job that goes on where another was: with its result and files, and in its session.

    It waits for the other's end, however that is.
    """
    worker = runs.last_worker(connection, before.id or 0)
    backend = worker.backend if worker is not None else before.backend
    job = Job(
        key=key,
        title=title,
        prompt=prompt,
        priority=priority,
        task_id=tasks.add(connection, task).id,
        message_id=message_id,
        conversation=conversation,
        backend=backend,
        model=before.model if backend == before.backend else None,
        skills=list(before.skills),
        persona=before.persona,
        project_id=before.project_id,
        continues_id=before.id,
        wants_worker_id=_who_goes_on(worker),
        if_needs_fail=NeedPolicy.go_on,
        timeout_seconds=before.timeout_seconds,
        created_at=at,
    )
    # One session is in one place at a time: what goes on from the same job is waited for, too.
    also = list_going_on_from(connection, before)
    needs = [one.id for one in (before, *also) if one.id is not None]
    return jobs.enqueue(connection, job, needs=needs)


def _who_goes_on(worker: Worker | None) -> int | None:
    """A persistent worker has its session still; any other has left it in its files."""
    if worker is None or not worker.persistent or worker.state is WorkerState.retired:
        return None
    return worker.id
