"""Claiming: what may start gets a worker and a run, in one transaction with what is due besides."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.ports import Clock
from agentos.domain.states import Actor, JobState, TaskState, WorkerState
from agentos.domain.work import Job, JobKind, Run, Worker
from agentos.engine import settling
from agentos.engine.capacity import limits_of, next_reset, survey
from agentos.engine.choosing import choose_worker, must_wait
from agentos.engine.lanes import Held, Supply, Under, barred, choose, detour
from agentos.engine.routes import Routes
from agentos.store import jobs, pools, runs, tasks, workers

# How far down the queue one look goes; the next look follows at the next commit.
_LOOK_AHEAD = 50


@dataclass(frozen=True)
class Started:
    """A job that was claimed, for whom, and its run."""

    run: Run
    job: Job
    worker: Worker


@dataclass(frozen=True)
class Round:
    """One look at the rows, and what came of it."""

    started: list[Started] = field(default_factory=list)
    # Whether the rows were changed, or need to be.
    changed: bool = False
    # Live runs whose job the owner has cancelled.
    cancelled: list[int] = field(default_factory=list)
    # When something is due next without a commit.
    due: datetime | None = None


@dataclass(frozen=True)
class Present:
    """What the daemon knows that is not in the rows."""

    under: Under
    strain: str = ""
    draining: bool = False


class Claims:
    """Looks at the queue and claims what fits; all functions run inside a transaction."""

    def __init__(
        self,
        *,
        clock: Clock,
        config: Config,
        node: str,
        routes: Routes,
    ) -> None:
        self._clock = clock
        self._config = config
        self._node = node
        self._routes = routes
        self._limits = limits_of(config)

    def look(self, connection: Connection, present: Present) -> Round:
        """What there is to do; `changed` says whether that needs a write."""
        now = self._clock.now()
        supply = self._supply(connection, present, at=now)
        ready = self._ready(connection, present.under, supply, at=now)
        startable = choose(ready, under=present.under, supply=supply, limits=self._limits).start
        return Round(
            changed=bool(startable) or bool(jobs.list_doomed(connection)),
            cancelled=runs.list_cancelled(connection) if present.under.running else [],
            due=self._next_due(connection, at=now),
        )

    def start(self, connection: Connection, present: Present) -> Round:
        """Say what is due to be said, end what cannot start, claim what may."""
        now = self._clock.now()
        changed = _end_the_doomed(connection, at=now)
        supply = self._supply(connection, present, at=now)
        ready = self._ready(connection, present.under, supply, at=now)
        for job in ready:
            if job.kind is JobKind.reminder:
                changed = True
                settling.remind(connection, job, at=now)
        agents = [job for job in ready if job.kind is JobKind.agent]
        choice = choose(agents, under=present.under, supply=supply, limits=self._limits)
        started = self._claim_all(connection, choice.start, supply, at=now)
        return Round(
            started=started,
            changed=changed or bool(choice.start),
            cancelled=runs.list_cancelled(connection) if present.under.running else [],
            due=self._next_due(connection, at=now),
        )

    def explain(self, connection: Connection, present: Present, *, limit: int) -> list[Held]:
        """The next jobs of the queue and what holds each of them."""
        now = self._clock.now()
        supply = self._supply(connection, present, at=now)
        ready = jobs.list_ready(connection, now=now, limit=limit)
        return choose(ready, under=present.under, supply=supply, limits=self._limits).held

    def _supply(self, connection: Connection, present: Present, *, at: datetime) -> Supply:
        return survey(
            connection,
            config=self._config,
            routes=self._routes,
            now=at,
            strain=present.strain,
            draining=present.draining,
        )

    def _ready(
        self, connection: Connection, under: Under, supply: Supply, *, at: datetime
    ) -> list[Job]:
        out = barred(under=under, supply=supply, limits=self._limits)
        return jobs.list_ready(connection, now=at, limit=_LOOK_AHEAD, barred=out)

    def _next_due(self, connection: Connection, *, at: datetime) -> datetime | None:
        reset = next_reset(pools.list_all(connection), self._config.capacity, now=at)
        due = jobs.next_due(connection, now=at)
        return min((each for each in (due, reset) if each is not None), default=None)

    def _claim_all(
        self, connection: Connection, chosen: list[Job], supply: Supply, *, at: datetime
    ) -> list[Started]:
        started: list[Started] = []
        if not chosen:
            return started
        idle = workers.list_idle(connection)
        missing = self._routes.missing()
        for job in chosen:
            if must_wait(job, idle):
                continue  # another job of this round took its worker
            backend = detour(job, supply) or job.backend
            if backend in missing:
                settling.refuse(connection, job, problem=missing[backend], at=at)
                continue
            if backend != job.backend:
                job = job.model_copy(update={"backend": backend, "model": None})
            worker = self._worker_for(connection, job, idle, at=at)
            idle = [other for other in idle if other.id != worker.id]
            if (claimed := self._claim(connection, job, worker, at=at)) is not None:
                started.append(claimed)
        return started

    def _worker_for(
        self, connection: Connection, job: Job, idle: list[Worker], *, at: datetime
    ) -> Worker:
        assert job.id is not None
        model = job.model or self._routes.model(job.backend)
        worker = choose_worker(job, idle, model=model)
        if worker is not None:
            return worker
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
                session_id=self._session_of(connection, job),
                created_at=at,
            ),
        )

    def _session_of(self, connection: Connection, job: Job) -> str | None:
        assert job.id is not None
        if not job.attempts:
            return None
        return runs.last_session(connection, job.id, backend=job.backend)

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
        tasks.follow(connection, job.task_id, TaskState.running, by=Actor.engine, at=at)
        taken = job.model_copy(update={"state": JobState.running, "attempts": job.attempts + 1})
        return Started(run=run, job=taken, worker=worker)


def _end_the_doomed(connection: Connection, *, at: datetime) -> bool:
    """Cancel what needs something that ended undone, and in turn what needs that."""
    changed = False
    while doomed := jobs.list_doomed(connection):
        changed = True
        for job, lost_id in doomed:
            settling.abandon(connection, job, lost_id=lost_id, at=at)
    return changed
