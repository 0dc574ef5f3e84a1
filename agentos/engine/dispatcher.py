"""The dispatcher: on each change of the rows, start what may start. The tick is the safety net."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from agentos import log as logs
from agentos.config import Config
from agentos.domain.ports import Clock
from agentos.domain.states import JobState, TaskState, WorkerState
from agentos.domain.work import Job, JobKind, Run, Worker
from agentos.engine import settling
from agentos.engine.choosing import choose_worker, must_wait
from agentos.engine.lanes import Room, choose
from agentos.engine.recovery import put_back
from agentos.engine.supervisor import Supervisor
from agentos.errors import StoreUnusable
from agentos.store import jobs, rows, runs, tasks, workers
from agentos.store.database import Database

log = logs.get(__name__)
# How far down the queue one look goes; the next look follows at the next commit.
_LOOK_AHEAD = 50


@dataclass(frozen=True)
class Started:
    """A job that was claimed, for whom, and its run."""

    run: Run
    job: Job
    worker: Worker


Attend = Callable[[Started], Supervisor]


class Dispatcher:
    """Decides what runs; a supervisor attends each run."""

    def __init__(
        self, database: Database, *, clock: Clock, config: Config, attend: Attend, node: str
    ) -> None:
        self._database = database
        self._clock = clock
        self._config = config
        self._attend = attend
        self._node = node
        self._live: dict[int, tuple[Supervisor, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Dispatch until cancelled; the runs under way are then left to `stop`."""
        changed = self._database.listen()
        while True:
            changed.clear()
            due = await self._cycle()
            await self._wait(changed, due)

    async def stop(self) -> None:
        """End all runs and queue their jobs again: they go on after the next start."""
        for supervisor, _ in self._live.values():
            supervisor.stop()
        await asyncio.gather(*(task for _, task in self._live.values()), return_exceptions=True)
        with suppress(StoreUnusable):  # then the next start takes it for a crash
            await self._database.write(
                lambda connection: put_back(connection, at=self._clock.now())
            )

    def doing(self) -> dict[int, str]:
        """What each live job does now, in plain words, by job id."""
        return {supervisor.run.job_id: supervisor.doing for supervisor, _ in self._live.values()}

    async def _cycle(self) -> datetime | None:
        """One look at the rows and what follows from it; returns when the next job will be due."""
        try:
            round_ = await self._round()
            for run_id in round_.cancelled:
                if run_id in self._live:
                    self._live[run_id][0].cancel()
            for started in round_.started:
                self._watch(started)
            if round_.changed:
                self._database.poke()
        except StoreUnusable as error:
            log.error("dispatch_postponed", problem=str(error))
            return None
        except Exception:
            # The loop's edge: one bad row must not stop all others.
            log.exception("dispatch_failed")
            return None
        return round_.due

    async def _wait(self, changed: asyncio.Event, due: datetime | None) -> None:
        waits: list[asyncio.Future[object]] = [asyncio.ensure_future(changed.wait())]
        if due is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep_until(due)))
        try:
            await asyncio.wait(
                waits,
                timeout=self._config.engine.tick_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for wait in waits:
                wait.cancel()

    def _room(self) -> Room:
        return Room(slots=self._config.engine.slots, running=len(self._live))

    async def _round(self) -> "_Round":
        """With room, straight to the writing: a commit most likely brought a job.

        A full house looks first, because it has nothing to write at most commits.
        """
        if not self._room().free_for_urgent:
            look = await self._database.query(self._look)
            if not look.changed:
                return look
        return await self._database.write(self._start, tell=False)

    def _look(self, connection: Connection) -> "_Round":
        """What there is to do; `changed` says whether that needs a write."""
        now = self._clock.now()
        ready = jobs.list_ready(connection, now=now, limit=_LOOK_AHEAD)
        reminders = any(job.kind is JobKind.reminder for job in ready)
        startable = bool(choose(ready, room=self._room()))
        return _Round(
            started=[],
            changed=reminders or startable or bool(jobs.list_doomed(connection)),
            cancelled=_cancelled(connection, set(self._live)),
            due=jobs.next_due(connection, now=now),
        )

    def _start(self, connection: Connection) -> "_Round":
        """Say what is due to be said, end what cannot start, claim what may: one transaction."""
        now = self._clock.now()
        changed = False
        while doomed := jobs.list_doomed(connection):
            changed = True
            for job, lost_id in doomed:
                settling.abandon(connection, job, lost_id=lost_id, at=now)
        ready = jobs.list_ready(connection, now=now, limit=_LOOK_AHEAD)
        for job in ready:
            if job.kind is JobKind.reminder:
                changed = True
                settling.remind(connection, job, at=now)
        started = self._claim_what_fits(connection, ready, at=now)
        return _Round(
            started=started,
            changed=changed or bool(started),
            cancelled=_cancelled(connection, set(self._live)),
            due=jobs.next_due(connection, now=now),
        )

    def _claim_what_fits(
        self, connection: Connection, ready: list[Job], *, at: datetime
    ) -> list[Started]:
        agents = [job for job in ready if job.kind is JobKind.agent]
        if not agents:
            return []
        idle = workers.list_idle(connection)
        agents = [job for job in agents if not must_wait(job, idle)]
        started = []
        for job in choose(agents, room=self._room()):
            if must_wait(job, idle):
                continue  # another job of this round took its worker
            worker = self._worker_for(connection, job, idle, at=at)
            idle = [other for other in idle if other.id != worker.id]
            if (claimed := self._claim(connection, job, worker, at=at)) is not None:
                started.append(claimed)
        return started

    def _worker_for(
        self, connection: Connection, job: Job, idle: list[Worker], *, at: datetime
    ) -> Worker:
        model = job.model or self._config.models.work
        worker = choose_worker(job, idle, model=model)
        if worker is not None:
            return worker
        assert job.id is not None
        return workers.add(
            connection,
            Worker(
                name=f"{job.backend}-{job.id}-{job.attempts + 1}",
                backend=job.backend,
                model=model,
                persona=job.persona,
                skills=list(job.skills),
                project_id=job.project_id,
                # A second attempt goes on in the session of the first.
                session_id=runs.last_session(connection, job.id),
                created_at=at,
            ),
        )

    def _claim(
        self, connection: Connection, job: Job, worker: Worker, *, at: datetime
    ) -> Started | None:
        assert job.id is not None and worker.id is not None
        run = runs.start(
            connection,
            job,
            worker,
            now=at,
            lease=timedelta(seconds=self._config.engine.lease_seconds),
            model=job.model or worker.model,
            node=self._node,
        )
        if run is None:
            return None
        workers.change(connection, worker.id, state=WorkerState.working, last_used_at=at)
        tasks.follow_job(connection, job.task_id, TaskState.running, at=at)
        return Started(run=run, job=jobs.get(connection, job.id), worker=worker)

    def _watch(self, started: Started) -> None:
        assert started.run.id is not None
        run_id = started.run.id
        supervisor = self._attend(started)
        task = asyncio.create_task(_attend(supervisor))
        self._live[run_id] = (supervisor, task)
        log.info("run_started", run_id=run_id, job_id=started.run.job_id)

        def gone(_ended: asyncio.Task[None]) -> None:
            del self._live[run_id]
            self._database.poke()

        task.add_done_callback(gone)


async def _attend(supervisor: Supervisor) -> None:
    """Attend a run; a fault of ours costs the attempt, not the job."""
    try:
        await supervisor.attend()
    except Exception:
        log.exception("run_unattended", run_id=supervisor.run.id)
        await supervisor.give_up()


@dataclass(frozen=True)
class _Round:
    started: list[Started]
    # Whether the rows were changed, or need to be.
    changed: bool
    cancelled: list[int]
    due: datetime | None


def _cancelled(connection: Connection, live: set[int]) -> list[int]:
    """Runs of ours whose job the owner has cancelled."""
    if not live:
        return []
    found = []
    for run in runs.list_live(connection):
        job = rows.find(connection, Job, run.job_id)
        if run.id in live and job is not None and job.state is JobState.cancelled:
            found.append(run.id)
    return found
