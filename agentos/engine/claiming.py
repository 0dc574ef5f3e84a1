"""Claiming: what may start gets a worker and a run, in one transaction with what is due besides."""

import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.ports import Clock
from agentos.domain.states import Actor, JobState, TaskState, WorkerState
from agentos.domain.work import Job, JobKind, Run, Worker
from agentos.engine import settling
from agentos.engine.capacity import limits_of, next_reset, survey
from agentos.engine.choosing import choose_worker, must_wait, takes_jobs
from agentos.engine.lanes import Choice, Held, Limits, Supply, Under, barred, choose, detour
from agentos.engine.routes import Routes
from agentos.store import jobs, pauses, pools, runs, tasks, workers

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


@dataclass(frozen=True)
class Preview:
    """What is under way, what there is to be used and at most, and which jobs would start."""

    under: Under
    supply: Supply
    limits: Limits
    choice: Choice


@dataclass(frozen=True)
class _Found:
    """What can start now, what is due to be said, and what there was to be used."""

    start: list[Job]
    reminders: list[Job]
    supply: Supply


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
        found = self._look_down(connection, present, at=now)
        return Round(
            changed=bool(found.start or found.reminders or jobs.list_doomed(connection)),
            cancelled=runs.list_cancelled(connection) if present.under.running else [],
            due=self._next_due(connection, at=now),
        )

    def start(self, connection: Connection, present: Present) -> Round:
        """Say what is due to be said, end what cannot start, claim what may."""
        runs.claim_alone(connection)
        now = self._clock.now()
        changed = _end_the_doomed(connection, at=now)
        found = self._look_down(connection, present, at=now)
        for job in found.reminders:
            settling.remind(connection, job, at=now)
        started = self._claim_all(connection, found.start, found.supply, at=now)
        return Round(
            started=started,
            changed=changed or bool(found.start or found.reminders),
            cancelled=runs.list_cancelled(connection) if present.under.running else [],
            due=self._next_due(connection, at=now),
        )

    def explain(self, connection: Connection, present: Present, *, limit: int) -> list[Held]:
        """The next jobs of the queue and what holds each of them."""
        return self.preview(connection, present, limit=limit).choice.held

    def preview(self, connection: Connection, present: Present, *, limit: int) -> Preview:
        """What the next round finds and would choose; nothing is changed by looking."""
        now = self._clock.now()
        under, supply = self._survey(connection, present, at=now)
        ready = jobs.list_ready(connection, now=now, limit=limit)
        agents = [job for job in ready if job.kind is JobKind.agent]
        choice = choose(agents, under=under, supply=supply, limits=self._limits)
        return Preview(under, supply, self._limits, choice)

    def _survey(
        self, connection: Connection, present: Present, *, at: datetime
    ) -> tuple[Under, Supply]:
        under = present.under
        if under.running:
            under = replace(under, urgent=runs.count_urgent(connection, node=self._node))
        supply = survey(
            connection,
            config=self._config,
            routes=self._routes,
            now=at,
            strain=present.strain,
            draining=present.draining,
        )
        return under, supply

    def _look_down(self, connection: Connection, present: Present, *, at: datetime) -> "_Found":
        """Go down the queue to what can start, or be said.

        One look goes so far. When jobs that are held fill it, what holds them is barred from the
        next: they must not hide what is free behind them.
        """
        under, supply = self._survey(connection, present, at=at)
        bars = barred(under=under, supply=supply, limits=self._limits)
        start: list[Job] = []
        # Reading a job takes longer than finding it, and the first ones mostly do start.
        far = min(_LOOK_AHEAD, max(0, self._limits.slots - under.running) + 2)
        while True:
            ready = jobs.list_ready(connection, now=at, limit=far, barred=bars)
            reminders = [job for job in ready if job.kind is JobKind.reminder]
            known = {job.id for job in start}
            agents = [job for job in ready if job.kind is JobKind.agent and job.id not in known]
            choice = choose(agents, under=under, supply=supply, limits=self._limits)
            start, under = [*start, *choice.start], choice.under
            before, bars = bars, barred(under=under, supply=supply, limits=self._limits)
            if len(ready) < far or (bars == before and far == _LOOK_AHEAD):
                return _Found(start=start, reminders=reminders, supply=supply)
            far = _LOOK_AHEAD

    def _next_due(self, connection: Connection, *, at: datetime) -> datetime | None:
        reset = next_reset(pools.list_all(connection), self._config.capacity, now=at)
        due = jobs.next_due(connection, now=at)
        pause = pauses.find(connection, now=at)
        moments = (due, reset, pause.until if pause is not None else None)
        return min((each for each in moments if each is not None), default=None)

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
                _refuse_if_never(connection, job, at=at)
                continue  # else another job of this round took its worker
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
        session_id = self._session_of(connection, job)
        # What was begun goes on in its own session, and not in that of somebody who is free.
        is_open = session_id is None or job.wants_worker_id is not None
        worker = choose_worker(job, idle, model=model) if is_open else None
        if worker is not None:
            return worker
        name = f"{job.backend}-{job.id}-{job.attempts + 1}"
        if workers.find_by_name(connection, name) is not None:
            name = f"{name}-{secrets.token_hex(4)}"  # somebody has given it to a worker of theirs
        return workers.add(
            connection,
            Worker(
                name=name,
                backend=job.backend,
                model=model,
                persona=job.persona,
                skills=list(job.skills),
                project_id=job.project_id,
                session_id=session_id,
                created_at=at,
            ),
        )

    def _session_of(self, connection: Connection, job: Job) -> str | None:
        assert job.id is not None
        if not job.attempts:
            if job.continues_id is None:
                return None
            return runs.last_session(connection, job.continues_id, backend=job.backend)
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
            # Another daemon was faster. Whom it was made for needs it no more.
            if not worker.persistent:
                workers.change(connection, worker.id, state=WorkerState.retired)
            return None
        workers.change(connection, worker.id, state=WorkerState.working, last_used_at=at)
        if worker.persistent and job.wants_worker_id is None:
            jobs.stay_with(connection, job, worker)
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


def _refuse_if_never(connection: Connection, job: Job, *, at: datetime) -> None:
    """A job whose worker will take none any more would wait for ever, and nobody would know why."""
    assert job.wants_worker_id is not None
    worker = workers.get(connection, job.wants_worker_id)
    if not takes_jobs(worker):
        problem = f"the worker {worker.name}, which it names, takes no jobs any more"
        settling.refuse(connection, job, problem=problem, at=at)
