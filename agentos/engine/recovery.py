"""What a daemon left live that is gone: its jobs go on, and what it left running is ended."""

import os
import signal
from contextlib import suppress
from datetime import datetime

import psutil
from sqlalchemy import Connection

from agentos import log as logs
from agentos.config import Config
from agentos.domain.frames import MARK
from agentos.domain.states import Actor, JobState, RunState
from agentos.domain.work import Job, Run
from agentos.engine.attempts import last_frame
from agentos.engine.collecting import collect
from agentos.engine.hearing import heard_by
from agentos.engine.settling import Ending, queue_again, release, settle
from agentos.home import Home
from agentos.store import jobs, outbox, runs, workers

log = logs.get(__name__)
_CRASHED = "the daemon ended"
_EXPIRED = "its lease ended"
_STOPPED = "the daemon was stopped"


def recover(
    connection: Connection, *, at: datetime, max_crashes: int, node: str | None = None
) -> list[int]:
    """After a start: queue again the jobs whose runs were interrupted; returns their ids.

    With a node, only its runs are taken for interrupted, for others may share the database.

    A crash of the daemon is no fault of the job's; but a job that was live in `max_crashes` crashes
    may be their cause, so it is set aside as failed.
    """
    again = []
    for run in _live(connection, node):
        job = _interrupt(connection, run, detail=_CRASHED, at=at)
        if job is None:
            continue
        crashes = runs.count_ended(connection, run.job_id, RunState.interrupted, detail=_CRASHED)
        if crashes >= max_crashes:
            _set_aside(connection, job, crashes=crashes, at=at)
        else:
            queue_again(connection, job, at=at)
            again.append(run.job_id)
    uncertain = outbox.recover(connection)
    log.info("recovered", jobs=again, uncertain_sends=uncertain)
    return again


def settle_ended(
    connection: Connection, *, at: datetime, config: Config, home: Home, node: str | None = None
) -> list[int]:
    """After a start, before `recover`: settle the runs that came to their end; returns their jobs.

    Their children had done all and said so, and nobody was there any more to hear it. Reads files.
    """
    settled = []
    for run in _live(connection, node):
        folder = home.job_folder(run.job_id)
        ended = last_frame(folder, run)
        if ended is None:
            continue
        ending = Ending(
            state=RunState.done,
            text=ended.text,
            usage=ended.usage,
            session_id=run.session_id,
            session_tokens=ended.session_tokens,
            heard=heard_by(connection, run, ended, home=home),
        )
        found = collect(folder / "artefacts")
        settle(connection, run, ending, found=found, at=at, config=config)
        settled.append(run.job_id)
    if settled:
        log.info("settled_late", jobs=settled)
    return settled


def put_back(connection: Connection, *, at: datetime, node: str | None = None) -> None:
    """Before an orderly end: queue again what runs. It does not count against the jobs."""
    for run in _live(connection, node):
        job = _interrupt(connection, run, detail=_STOPPED, at=at)
        if job is not None:
            queue_again(connection, job, at=at)


def rescue(connection: Connection, *, at: datetime, ours: set[int]) -> list[int]:
    """Queue again the jobs of runs that nobody attends any more; returns their ids.

    `ours` are the runs that this daemon attends: it knows better than a clock how they are. Should
    another daemon still attend one, its settle is refused by the run's state.
    """
    again = []
    for run in runs.list_expired(connection, now=at):
        if run.id in ours:
            continue
        job = _interrupt(connection, run, detail=_EXPIRED, at=at)
        if job is not None:
            queue_again(connection, job, at=at)
            again.append(run.job_id)
    if again:
        log.warning("rescued", jobs=again)
    return again


def _live(connection: Connection, node: str | None) -> list[Run]:
    return [run for run in runs.list_live(connection) if node is None or run.node == node]


def _interrupt(connection: Connection, run: Run, *, detail: str, at: datetime) -> Job | None:
    """End a live run and free its worker; its job, when that is still to be done."""
    runs.settle(connection, run, RunState.interrupted, at=at, detail=detail)
    worker = workers.get(connection, run.worker_id)
    release(connection, worker, session_id=run.session_id, at=at)
    job = jobs.get(connection, run.job_id)
    return job if job.state is JobState.running else None


def _set_aside(connection: Connection, job: Job, *, crashes: int, at: datetime) -> None:
    """What was begun for somebody never ends without a word."""
    assert job.id is not None
    error = f"the daemon ended {crashes} times while it ran"
    jobs.move(connection, job.id, JobState.failed, by=Actor.engine, at=at, error=error)
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
            if process.environ().get(MARK, "").startswith(f"{mark}:"):
                process.send_signal(signal.SIGKILL)
                ended += 1
    if ended:
        log.warning("orphans_ended", count=ended)
    return ended
