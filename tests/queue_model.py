"""A plain Python model of the queue, to hold the real rows against."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agentos.domain.capacity import Span
from agentos.domain.frames import Failure
from agentos.domain.states import (
    FINISHED_JOBS,
    TASKS,
    Actor,
    JobState,
    RunState,
    TaskState,
    allowed,
)
from agentos.domain.work import JobKind, NeedPolicy
from agentos.engine.retrying import next_try

_TASK_OF = {
    JobState.queued: TaskState.pending,
    JobState.running: TaskState.running,
    JobState.parked: TaskState.waiting,
    JobState.done: TaskState.ready,
    JobState.failed: TaskState.failed,
    JobState.cancelled: TaskState.cancelled,
}
LOST = (JobState.failed, JobState.cancelled)


@dataclass
class ModelRun:
    """An attempt, as whoever attends it knows it."""

    run_id: int
    worker_id: int
    node: str
    lease_until: datetime
    state: RunState = RunState.starting
    live: bool = True


@dataclass
class ModelJob:
    """A job, and what it should have come to."""

    job_id: int
    kind: JobKind
    priority: int
    needs: tuple[int, ...]
    policy: NeedPolicy
    wants: int | None
    task: TaskState | None
    state: JobState = JobState.queued
    # The keys of its events, in turn.
    told: list[str] = field(default_factory=lambda: ["job_queued"])
    runs: list[ModelRun] = field(default_factory=list)
    failures: Counter[Failure | None] = field(default_factory=Counter)
    crashes: int = 0

    @property
    def live(self) -> ModelRun | None:
        """Its live run."""
        return next((run for run in self.runs if run.live), None)

    def move(self, new: JobState, *, by: Actor) -> None:
        """Go to a state, with its task and its event."""
        self.state = new
        if new is not JobState.running:
            self.told.append(f"job_{new.value}")
        if self.task is not None and allowed(TASKS, self.task, _TASK_OF[new], by=by):
            self.task = _TASK_OF[new]


@dataclass
class ModelPool:
    """What was used of a backend since this pool began."""

    began_at: datetime
    tokens: int = 0
    turns: int = 0


class Model:
    """All jobs, workers and pools there should be."""

    def __init__(self, *, max_crashes: int) -> None:
        self.max_crashes = max_crashes
        self.jobs: dict[int, ModelJob] = {}
        self.keys: dict[str, int] = {}
        # Persistent workers that take jobs.
        self.workers: set[int] = set()
        self.pools: dict[tuple[str, Span], ModelPool] = {}
        self.rests: dict[str, tuple[datetime, datetime]] = {}

    def live(self, node: str | None = None) -> list[tuple[ModelJob, ModelRun]]:
        """What runs, on a node or on all."""
        return [
            (job, run)
            for job in self.jobs.values()
            if (run := job.live) is not None and node in (None, run.node)
        ]

    def busy(self) -> set[int]:
        """Workers with a live run."""
        return {run.worker_id for _, run in self.live()}

    def has_what_it_needs(self, job: ModelJob) -> bool:
        """Whether nothing that it needs keeps it from starting."""
        fine = (JobState.done, *LOST) if job.policy is NeedPolicy.go_on else (JobState.done,)
        return all(self.jobs[each].state in fine for each in job.needs)

    def is_doomed(self, job: ModelJob) -> bool:
        """Whether it needs one that is lost, and does not go on without."""
        lost = any(self.jobs[each].state in LOST for each in job.needs)
        return job.state is JobState.queued and job.policy is NeedPolicy.skip and lost

    def end_the_doomed(self) -> None:
        """Cancel what will never start, and in turn what needs that."""
        while doomed := [job for job in self.jobs.values() if self.is_doomed(job)]:
            for job in doomed:
                job.move(JobState.cancelled, by=Actor.engine)

    def settle(
        self, job: ModelJob, run: ModelRun, state: RunState, failure: Failure | None
    ) -> None:
        """A run ends, and its job goes where that leads."""
        self.end(run, state)
        if state is RunState.failed:
            job.failures[failure] += 1
        if job.state is not JobState.running:
            return
        again = state in (RunState.interrupted, RunState.cancelled)
        if state is RunState.failed:
            times = job.failures[failure]
            again = next_try(failure, times=times, max_crashes=self.max_crashes) is not None
        if state is RunState.done:
            job.move(JobState.done, by=Actor.engine)
        else:
            job.move(JobState.queued if again else JobState.failed, by=Actor.engine)

    def end(self, run: ModelRun, state: RunState) -> None:
        """A run is over, and its worker is free."""
        run.state, run.live = state, False

    def interrupt(self, job: ModelJob, run: ModelRun, *, crash: bool) -> None:
        """A daemon that is gone left this run live."""
        self.end(run, RunState.interrupted)
        job.crashes += crash
        if job.state is JobState.running:
            aside = crash and job.crashes >= self.max_crashes
            job.move(JobState.failed if aside else JobState.queued, by=Actor.engine)

    def spend(self, backend: str, tokens: int, *, at: datetime) -> None:
        """Count a turn in both pools."""
        for span in Span:
            pool = self.pools.get((backend, span))
            if pool is None or not pool.began_at <= at < pool.began_at + span.length:
                pool = self.pools[backend, span] = ModelPool(at)
            pool.tokens += tokens
            pool.turns += 1

    def rest(self, backend: str, told: timedelta, *, at: datetime) -> None:
        """A backend said that it has nothing left for so long."""
        until = at + min(max(told, timedelta(seconds=1)), timedelta(days=7))
        began, known = self.rests.get(backend, (at, at))
        if not (began <= at < known and known >= until):
            self.rests[backend] = (at, until)
        self.pools.setdefault((backend, Span.five_hours), ModelPool(at))

    def unfinished(self) -> list[ModelJob]:
        """What is still to be done."""
        return [job for job in self.jobs.values() if job.state not in FINISHED_JOBS]
