"""After a start: what the last daemon left live goes on, and what it left running is ended."""

import os
import signal
from contextlib import suppress
from datetime import datetime

import psutil
from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.states import Actor, JobState, RunState, TaskState, WorkerState
from agentos.domain.work import Job, Run
from agentos.store import jobs, outbox, runs, tasks, workers

log = logs.get(__name__)
_CRASHED = "the daemon ended"
_STOPPED = "the daemon was stopped"


def recover(connection: Connection, *, at: datetime, max_crashes: int) -> list[int]:
    """Queue again the jobs whose runs were interrupted; returns their ids.

    A crash of the daemon is no fault of the job's; but a job that was live in `max_crashes` crashes
    may be their cause, so it is set aside as failed.
    """
    again = []
    for run in runs.list_live(connection):
        job = _interrupt(connection, run, detail=_CRASHED, at=at)
        if job is None:
            continue
        crashes = runs.count_ended(connection, run.job_id, RunState.interrupted, detail=_CRASHED)
        if crashes >= max_crashes:
            _set_aside(connection, job, crashes=crashes, at=at)
        else:
            _queue_again(connection, job, at=at)
            again.append(run.job_id)
    uncertain = outbox.recover(connection)
    log.info("recovered", jobs=again, uncertain_sends=uncertain)
    return again


def put_back(connection: Connection, *, at: datetime) -> None:
    """Before an orderly end: queue again what runs. It does not count against the jobs."""
    for run in runs.list_live(connection):
        job = _interrupt(connection, run, detail=_STOPPED, at=at)
        if job is not None:
            _queue_again(connection, job, at=at)


def _interrupt(connection: Connection, run: Run, *, detail: str, at: datetime) -> Job | None:
    """End a live run and free its worker; its job, when that is still to be done."""
    runs.settle(connection, run, RunState.interrupted, at=at, detail=detail)
    worker = workers.get(connection, run.worker_id)
    state = WorkerState.idle if worker.persistent else WorkerState.retired
    session_id = run.session_id or worker.session_id
    workers.change(connection, run.worker_id, state=state, session_id=session_id)
    job = jobs.get(connection, run.job_id)
    return job if job.state is JobState.running else None


def _queue_again(connection: Connection, job: Job, *, at: datetime) -> None:
    assert job.id is not None
    jobs.move(connection, job.id, JobState.queued, by=Actor.engine, at=at, run_at=None)
    tasks.follow_job(connection, job.task_id, TaskState.pending, at=at)


def _set_aside(connection: Connection, job: Job, *, crashes: int, at: datetime) -> None:
    assert job.id is not None
    error = f"the daemon ended {crashes} times while it ran"
    jobs.move(connection, job.id, JobState.failed, by=Actor.engine, at=at, error=error)
    tasks.follow_job(connection, job.task_id, TaskState.failed, at=at)
    _say_set_aside(connection, job, error=error, at=at)


def _say_set_aside(connection: Connection, job: Job, *, error: str, at: datetime) -> None:
    """What was begun for somebody never ends without a word."""
    if job.conversation is None:
        return
    outbox.say(
        connection,
        key=f"failed:{job.id}:{job.attempts}",
        conversation=job.conversation,
        text=f"⚠ **{job.title}** is set aside: {error}. Ask again when that is mended.",
        at=at,
        job_id=job.id,
        message_id=job.message_id,
    )


def end_orphans(mark: str) -> int:
    """End processes that a dead daemon of this home left behind; returns how many.

    They are known by their environment. To be called before any child of ours is started.
    """
    ended = 0
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with suppress(psutil.Error, OSError):
            if process.environ().get("AGENTOS_CHILD", "").startswith(f"{mark}:"):
                process.send_signal(signal.SIGKILL)
                ended += 1
    if ended:
        log.warning("orphans_ended", count=ended)
    return ended
