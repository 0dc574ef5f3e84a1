"""Whatever happens to the queue in whatever order: the real rows against a plain model.

Two daemons share one database. They start, attend and settle runs, crash, stop, freeze and rescue
each other's, while the owner adds, cancels and retries, workers come and go, backends reach their
limits and the clock jumps.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, select
from sqlmodel import SQLModel

from agentos.config import Config
from agentos.domain.capacity import Pool, Span
from agentos.domain.frames import Failure, TurnUsage
from agentos.domain.ledger import Event
from agentos.domain.states import FINISHED_JOBS, Actor, JobState, RunState, TaskState, WorkerState
from agentos.domain.talk import Outgoing
from agentos.domain.work import Job, JobKind, Lane, NeedPolicy, Project, Run, Task, TaskKind, Worker
from agentos.engine.claiming import Claims, Present, Preview, Started
from agentos.engine.collecting import NOTHING
from agentos.engine.lanes import Hold, Under, holds
from agentos.engine.recovery import put_back, recover, rescue
from agentos.engine.routes import Routes
from agentos.engine.settling import Ending, release, settle
from agentos.errors import LeaseLost, WrongState
from agentos.store import jobs, rows, runs, tasks, workers
from agentos.store.database import Database
from tests.queue_model import Model, ModelJob, ModelRun

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)
SLOTS, PROJECT_SLOTS, TEMPLATE_SLOTS = 2, 2, 1
LEASE = timedelta(minutes=2)
HOUR = timedelta(hours=1)
NODES = ("here", "there")
JUMPS = [
    *(timedelta(seconds=1), timedelta(seconds=45), timedelta(minutes=3), timedelta(minutes=20)),
    *(HOUR, 6 * HOUR, timedelta(days=8)),
    *(-timedelta(seconds=1), -timedelta(minutes=10), -6 * HOUR, -timedelta(days=9)),
]
FAILURES = [*Failure, None]
_EVENT, _POOL, _OUTBOX = (rows.table_of(kind) for kind in (Event, Pool, Outgoing))
ENDS = [RunState.done, RunState.timed_out, RunState.cancelled, RunState.interrupted]


class HandClock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.at = BEGAN

    def now(self) -> datetime:
        return self.at

    async def sleep_until(self, moment: datetime) -> None:
        raise AssertionError("nobody sleeps here")


@dataclass
class Daemon:
    """What one daemon has in its head."""

    name: str
    claims: Claims
    live: dict[int, Started] = field(default_factory=dict)
    down: bool = False

    def under(self) -> Under:
        """What it counts as under way, as the dispatcher does."""
        worked_on = [started.job for started in self.live.values()]
        return Under(
            running=len(worked_on),
            projects=Counter(job.project_id for job in worked_on if job.project_id is not None),
            templates=Counter(job.template for job in worked_on if job.template is not None),
            tokens=sum(job.tokens for job in worked_on),
        )


def _used(tokens: int) -> TurnUsage:
    return TurnUsage(model="m", input_tokens=tokens)


def _reminders(due: list[ModelJob]) -> list[ModelJob]:
    return [job for job in due if job.kind is JobKind.reminder]


def _job_of(key: str) -> int | None:
    """The job that something was said about, by the key of what was said."""
    what, _, rest = key.partition(":")
    number = rest.split(":")[0]
    return int(number) if what in ("failed", "result", "reminder") and number.isdigit() else None


def picked(number: int, some: list[Any]) -> Any:
    return some[number % len(some)]


numbers = st.integers(0, 1000)
nodes = st.sampled_from(NODES)


class QueueMachine(RuleBasedStateMachine):
    """The rules, and what must hold after each."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.clock = HandClock()
        self.config = Config()
        self.config.owner.timezone = "UTC"
        self.config.engine.slots = SLOTS
        self.config.engine.project_slots = PROJECT_SLOTS
        self.config.engine.template_slots = TEMPLATE_SLOTS
        self.config.engine.lease_seconds = LEASE.total_seconds()
        self.config.capacity.window_tokens = 30_000
        self.config.capacity.deep_queue = 4
        self.config.capacity.five_hour_tokens = 60_000
        self.config.capacity.weekly_turns = 15
        self.missing: dict[str, str] = {}
        routes = Routes(
            models={"claude": "sonnet", "codex": "deep"},
            missing=lambda: self.missing,
            fallback={"claude": "codex"},
        )
        self.daemons = {
            name: Daemon(
                name, Claims(clock=self.clock, config=self.config, node=name, routes=routes)
            )
            for name in NODES
        }
        self.model = Model(max_crashes=self.config.engine.max_attempts)
        self._names = 0
        self.lost_leases = 0
        with database.begin() as connection:
            project = Project(name="p", created_at=self.now, updated_at=self.now)
            self.project_id = rows.add(connection, project).id

    @property
    def now(self) -> datetime:
        return self.clock.at

    def write(self, work: Callable[[Connection], Any]) -> Any:
        with self.database.begin() as connection:
            return work(connection)

    def snapshot(self) -> dict[str, list[Any]]:
        """Everything there is."""
        with self.database.read() as connection:
            return {
                table.name: sorted(map(str, connection.execute(select(table)).all()))
                for table in SQLModel.metadata.sorted_tables
            }

    # The owner.

    @rule(
        priority=st.integers(0, 5),
        needs=st.lists(numbers, max_size=2),
        policy=st.sampled_from(NeedPolicy),
        later=st.sampled_from([None, None, None, timedelta(seconds=30), 2 * HOUR]),
        project=st.booleans(),
        template=st.booleans(),
        worker=st.one_of(st.none(), st.none(), numbers),
        key=st.sampled_from([None, None, "a", "b"]),
        task=st.booleans(),
        backend=st.sampled_from(["claude", "claude", "codex"]),
        letters=st.sampled_from([1, 1, 8_000, 80_000]),
        reminder=st.sampled_from([False, False, False, True]),
    )
    def enqueue(
        self,
        priority: int,
        needs: list[int],
        policy: NeedPolicy,
        later: timedelta | None,
        project: bool,
        template: bool,
        worker: int | None,
        key: str | None,
        task: bool,
        backend: str,
        letters: int,
        reminder: bool,
    ) -> None:
        known = sorted(self.model.jobs)
        needed = sorted({picked(each, known) for each in needs}) if known else []
        persistent = sorted(self.model.workers)
        wants = picked(worker, persistent) if worker is not None and persistent else None

        def add(connection: Connection) -> Job:
            task_id = None
            if task:
                row = Task(title="t", kind=TaskKind.code, created_at=self.now, updated_at=self.now)
                task_id = tasks.add(connection, row).id
            named = None if wants is None else workers.get(connection, wants)
            job = Job(
                key=key,
                kind=JobKind.reminder if reminder else JobKind.agent,
                title="t",
                prompt="p" * letters,
                priority=priority,
                if_needs_fail=policy,
                project_id=self.project_id if project else None,
                template="inbox" if template else None,
                task_id=task_id,
                wants_worker_id=wants,
                backend=backend if named is None else named.backend,
                run_at=None if later is None else self.now + later,
                conversation="terminal:main",
                created_at=self.now,
            )
            return jobs.enqueue(connection, job, needs=needed)

        made = self.write(add)
        assert made.id is not None
        if key is not None and key in self.model.keys:
            assert made.id == self.model.keys[key]
            return
        if key is not None:
            self.model.keys[key] = made.id
        self.model.jobs[made.id] = ModelJob(
            job_id=made.id,
            kind=made.kind,
            priority=priority,
            needs=tuple(needed),
            policy=policy,
            wants=wants,
            task=TaskState.pending if task else None,
        )

    def _enqueue_plain(self, priority: int, *, task: bool) -> None:
        self.enqueue(
            priority=priority,
            needs=[],
            policy=NeedPolicy.skip,
            later=None,
            project=False,
            template=False,
            worker=None,
            key=None,
            task=task,
            backend="claude",
            letters=1,
            reminder=False,
        )

    @initialize(priorities=st.lists(st.integers(0, 5), min_size=2, max_size=5))
    def begin(self, priorities: list[int]) -> None:
        """There is something to do, and it has begun."""
        for priority in priorities:
            self._enqueue_plain(priority, task=True)
        for daemon in self.daemons.values():
            self._round(daemon)

    @rule(priorities=st.lists(st.integers(0, 5), min_size=1, max_size=3), node=nodes)
    def enqueue_and_start(self, priorities: list[int], node: str) -> None:
        for priority in priorities:
            self._enqueue_plain(priority, task=False)
        self.start(node, "")

    @precondition(lambda self: self.model.jobs)
    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        job = picked(number, list(self.model.jobs.values()))
        self._move_by_owner(job, JobState.cancelled, may=job.state not in FINISHED_JOBS)

    @precondition(lambda self: any(j.state is JobState.failed for j in self.model.jobs.values()))
    @rule(number=numbers)
    def retry(self, number: int) -> None:
        failed = [job for job in self.model.jobs.values() if job.state is JobState.failed]
        self._retry(picked(number, failed))

    def _retry(self, job: ModelJob) -> None:
        def again(connection: Connection) -> None:
            runs.count_anew(connection, jobs.get(connection, job.job_id), at=self.now)
            jobs.move(connection, job.job_id, JobState.queued, by=Actor.owner, at=self.now)

        self.write(again)
        job.move(JobState.queued, by=Actor.owner)
        job.failures.clear()
        job.crashes = 0

    @precondition(lambda self: any(j.state is JobState.parked for j in self.model.jobs.values()))
    @rule(number=numbers)
    def answer(self, number: int) -> None:
        parked = [job for job in self.model.jobs.values() if job.state is JobState.parked]
        self._move_by_owner(picked(number, parked), JobState.queued, may=True)

    def _move_by_owner(self, job: ModelJob, new: JobState, *, may: bool) -> None:
        def move(connection: Connection) -> None:
            jobs.move(connection, job.job_id, new, by=Actor.owner, at=self.now)

        if may:
            self.write(move)
            job.move(new, by=Actor.owner)
            return
        before = self.snapshot()
        with pytest.raises(WrongState):
            self.write(move)
        assert self.snapshot() == before

    @rule(backend=st.sampled_from(["claude", "codex"]), model=st.sampled_from(["sonnet", "deep"]))
    def hire(self, backend: str, model: str) -> None:
        self._names += 1
        row = Worker(
            name=f"w{self._names}",
            backend=backend,
            model=model,
            persistent=True,
            created_at=self.now,
        )
        self.model.workers.add(self.write(lambda c: workers.add(c, row)).id)

    @precondition(lambda self: self.model.workers)
    @rule(number=numbers)
    def dismiss(self, number: int) -> None:
        worker_id = picked(number, sorted(self.model.workers))
        freed = self.write(lambda c: workers.retire(c, workers.get(c, worker_id), at=self.now))
        self.model.workers.discard(worker_id)
        named = [job for job in self.model.jobs.values() if job.wants == worker_id]
        waiting = [job for job in named if job.state not in FINISHED_JOBS]
        assert freed == [job.job_id for job in waiting]
        for job in waiting:
            job.wants = None

    @rule(gone=st.booleans())
    def uninstall(self, gone: bool) -> None:
        self.missing.clear()
        if gone:
            self.missing["codex"] = "codex is not installed: `npm i` brings it"

    # The world.

    @rule(jump=st.sampled_from(JUMPS))
    def pass_time(self, jump: timedelta) -> None:
        self.clock.at += jump

    # The daemons.

    @rule(node=nodes, strain=st.sampled_from(["", "", "the machine has 9 MB of memory left"]))
    def start(self, node: str, strain: str) -> None:
        daemon = self.daemons[node]
        if not daemon.down:
            self._round(daemon, strain=strain)

    def _round(self, daemon: Daemon, *, strain: str = "") -> list[Started]:
        """One round, and what it must and must not have done."""
        under = daemon.under()
        present = Present(under=under, strain=strain)
        looked = self.write(lambda c: daemon.claims.look(c, present))
        before = self.model.busy()
        self.model.end_the_doomed()
        free, due = self._startable(daemon, present)
        round_ = self.write(lambda c: daemon.claims.start(c, present))
        assert looked.changed == round_.changed
        for job in due:
            job.move(JobState.done, by=Actor.engine)
        for started in round_.started:
            assert started.job.id in free, "it was not to start"
            self._note_start(daemon, started, busy=before)
        self._note_refused(free)
        if not round_.changed:
            assert not free, "it could have started, and nothing did"
        return list(round_.started)

    def _startable(self, daemon: Daemon, present: Present) -> tuple[set[int], list[ModelJob]]:
        """Which jobs may start now, each for itself, and which are due to be said."""
        with self.database.read() as connection:
            preview = daemon.claims.preview(connection, present, limit=0)
            known = {job.job_id: jobs.get(connection, job.job_id) for job in self._ready()}
        due = [job for job in self._ready() if self._is_due(known[job.job_id])]
        free: set[int] = set()
        for job in sorted(due, key=lambda job: (known[job.job_id].turn_at, job.job_id)):
            row = known[job.job_id]
            if job.kind is JobKind.reminder:
                continue
            held = holds(row, under=preview.under, supply=preview.supply, limits=preview.limits)
            if held is None:
                free.add(job.job_id)
            elif held.hold is Hold.window:
                # The tokens are set aside for it: only urgent work goes past it.
                return free | self._urgent_behind(due, known, preview), _reminders(due)
        return free, _reminders(due)

    def _urgent_behind(
        self, due: list[ModelJob], known: dict[int, Job], preview: Preview
    ) -> set[int]:
        urgent = [known[job.job_id] for job in due if job.priority <= 1]
        return {
            row.id or 0
            for row in urgent
            if row.kind is JobKind.agent
            and holds(row, under=preview.under, supply=preview.supply, limits=preview.limits)
            is None
        }

    def _ready(self) -> list[ModelJob]:
        """Queued jobs that need nothing and wait for nobody."""
        waits_for = self.model.busy() & self.model.workers
        return [
            job
            for job in self.model.jobs.values()
            if job.state is JobState.queued
            and self.model.has_what_it_needs(job)
            and job.wants not in waits_for
        ]

    def _is_due(self, row: Job) -> bool:
        # What was begun never waits for longer than an hour, whatever the clock was.
        begun = row.attempts > 0 and (row.run_at or self.now) > self.now + HOUR
        return row.run_at is None or row.run_at <= self.now or begun

    def _note_start(self, daemon: Daemon, started: Started, *, busy: set[int]) -> None:
        run, worker = started.run, started.worker
        assert run.id is not None and worker.id is not None
        job = self.model.jobs[run.job_id]
        assert job.state is JobState.queued and self.model.has_what_it_needs(job)
        assert worker.id not in busy
        assert job.wants in (None, worker.id)
        assert worker.backend not in self.missing
        began, until = self.model.rests.get(worker.backend, (self.now, self.now))
        assert not began <= self.now < until, "its backend rests"
        if worker.id in self.model.workers:
            job.wants = worker.id  # what it has begun it goes on with
        job.runs.append(ModelRun(run.id, worker.id, daemon.name, self.now + LEASE))
        job.move(JobState.running, by=Actor.engine)
        daemon.live[run.id] = started

    def _note_refused(self, free: set[int]) -> None:
        """What names a backend or a worker that is not there ends with the reason."""
        with self.database.read() as connection:
            for job_id in free:
                job = self.model.jobs[job_id]
                row = jobs.get(connection, job_id)
                if job.state is JobState.queued and row.state is JobState.failed:
                    if job.wants is None or job.wants in self.model.workers:
                        assert row.error in self.missing.values()
                    job.move(JobState.failed, by=Actor.engine)

    def _attended(self) -> list[tuple[Daemon, Started]]:
        return [
            (daemon, daemon.live[run_id])
            for daemon in self.daemons.values()
            for run_id in sorted(daemon.live)
        ]

    def _of(self, started: Started) -> tuple[ModelJob, ModelRun]:
        job = self.model.jobs[started.run.job_id]
        return job, next(run for run in job.runs if run.run_id == started.run.id)

    def _fenced(self, daemon: Daemon, started: Started, work: Callable[[Connection], Any]) -> bool:
        """Do something as the attendant of a run; False when it is refused, as it must be."""
        _, run = self._of(started)
        if run.live:
            self.write(work)
            return True
        before = self.snapshot()
        with pytest.raises(LeaseLost):
            self.write(work)
        assert self.snapshot() == before
        del daemon.live[run.run_id]
        self.lost_leases += 1
        return False

    @precondition(lambda self: self._attended())
    @rule(numbers=st.lists(numbers, min_size=1, max_size=4))
    def finish_some_and_go_on(self, numbers: list[int]) -> None:
        for number in numbers:
            if attended := self._attended():
                daemon, started = picked(number, attended)
                ending = Ending(state=RunState.done, text="ok", usage=_used(100))
                self._settle(daemon, started, ending)
        for node in NODES:
            self.start(node, "")

    @precondition(lambda self: self._attended())
    @rule(number=numbers)
    def heartbeat(self, number: int) -> None:
        self._beat(*picked(number, self._attended()))

    def _beat(self, daemon: Daemon, started: Started) -> None:
        if self._fenced(
            daemon,
            started,
            lambda c: runs.heartbeat(c, started.run, now=self.now, lease=LEASE),
        ):
            self._of(started)[1].lease_until = self.now + LEASE

    @precondition(lambda self: self._attended())
    @rule(number=numbers)
    def open_session(self, number: int) -> None:
        daemon, started = picked(number, self._attended())
        told = {"state": RunState.running, "session_id": f"s{started.run.id}", "pid": 7}
        if self._fenced(daemon, started, lambda c: runs.change_live(c, started.run, **told)):
            self._of(started)[1].state = RunState.running

    @precondition(lambda self: self._attended())
    @rule(
        number=numbers,
        state=st.sampled_from(ENDS),
        tokens=st.sampled_from([0, 100, 9_000, 25_000]),
    )
    def finish(self, number: int, state: RunState, tokens: int) -> None:
        daemon, started = picked(number, self._attended())
        self._settle(daemon, started, Ending(state=state, text="ok", usage=_used(tokens)))

    @precondition(lambda self: self._attended())
    @rule(
        number=numbers,
        failure=st.sampled_from(FAILURES),
        tokens=st.sampled_from([0, 0, 500]),
        told=st.sampled_from([None, timedelta(seconds=-5), 4 * HOUR, timedelta(days=300)]),
    )
    def fail(
        self, number: int, failure: Failure | None, tokens: int, told: timedelta | None
    ) -> None:
        daemon, started = picked(number, self._attended())
        ending = Ending(
            state=RunState.failed, failure=failure, usage=_used(tokens), retry_after=told
        )
        self._settle(daemon, started, ending)

    def _settle(self, daemon: Daemon, started: Started, ending: Ending) -> None:
        job, run = self._of(started)
        was_wanted = job.state is JobState.running
        if not self._fenced(
            daemon,
            started,
            lambda c: settle(
                c, started.run, ending, found=NOTHING, at=self.now, config=self.config
            ),
        ):
            return
        del daemon.live[run.run_id]
        self.model.settle(job, run, ending.state, ending.failure)
        backend, tokens = started.worker.backend, ending.usage.tokens
        if ending.usage.model and (tokens or ending.failure is None):
            self.model.spend(backend, tokens, at=self.now)
            if ending.state is RunState.done:
                self.model.rests.pop(backend, None)
        if ending.failure is Failure.rate_limited and was_wanted:
            rest = timedelta(seconds=self.config.capacity.rest_seconds)
            self.model.rest(backend, ending.retry_after or rest, at=self.now)

    @precondition(lambda self: any(d.live for d in self.daemons.values()))
    @rule(number=numbers)
    def park(self, number: int) -> None:
        """A run that asks ends, and its job waits for the answer."""
        daemon, started = picked(number, self._attended())
        job, run = self._of(started)
        if not run.live or job.state is not JobState.running:
            return

        def put_aside(connection: Connection) -> None:
            runs.settle(connection, started.run, RunState.interrupted, at=self.now, detail="asks")
            worker = workers.get(connection, run.worker_id)
            release(connection, worker, session_id=None, at=self.now)
            jobs.move(connection, job.job_id, JobState.parked, by=Actor.engine, at=self.now)

        self.write(put_aside)
        del daemon.live[run.run_id]
        self.model.end(run, RunState.interrupted)
        job.move(JobState.parked, by=Actor.engine)

    @rule(node=nodes)
    def crash(self, node: str) -> None:
        daemon = self.daemons[node]
        daemon.live.clear()
        daemon.down = True

    @precondition(lambda self: any(daemon.down for daemon in self.daemons.values()))
    @rule(node=nodes)
    def restart(self, node: str) -> None:
        daemon = self.daemons[node]
        if not daemon.down:
            return
        self.write(lambda c: recover(c, at=self.now, max_crashes=self.model.max_crashes, node=node))
        for job, run in self.model.live(node):
            self.model.interrupt(job, run, crash=True)
        daemon.down = False

    @rule(node=nodes)
    def stop(self, node: str) -> None:
        """An orderly end, and the next start."""
        daemon = self.daemons[node]
        if daemon.down:
            return
        daemon.live.clear()
        self.write(lambda c: put_back(c, at=self.now, node=node))
        for job, run in self.model.live(node):
            self.model.interrupt(job, run, crash=False)

    @rule(node=nodes)
    def rescue(self, node: str) -> None:
        daemon = self.daemons[node]
        if daemon.down:
            return
        again = self.write(lambda c: rescue(c, at=self.now, ours=set(daemon.live)))
        for job, run in self.model.live():
            if run.run_id not in daemon.live and run.lease_until < self.now:
                was_wanted = job.state is JobState.running
                self.model.interrupt(job, run, crash=False)
                assert (job.job_id in again) == was_wanted

    @precondition(lambda self: self._attended())
    @rule(node=nodes)
    def sleep_through_the_leases(self, node: str) -> None:
        """One daemon is frozen; the other takes over, and what the first still tries is refused."""
        self.clock.at += LEASE + timedelta(seconds=1)
        other = next(each for each in NODES if each != node)
        for run_id in sorted(self.daemons[other].live):
            self._beat(self.daemons[other], self.daemons[other].live[run_id])
        self.rescue(other)
        if self.daemons[node].live:
            self._beat(self.daemons[node], next(iter(self.daemons[node].live.values())))

    # What must hold after each step.

    @invariant()
    def the_rows_are_what_the_model_says(self) -> None:
        with self.database.read() as connection:
            known = {job.id: job for job in jobs.list_all(connection, limit=10_000)}
            live = runs.list_live(connection)
            told = rows.fetch(connection, Event, select(_EVENT).order_by(_EVENT.c.id))
            staff = workers.list_all(connection, limit=10_000)
            states = {task.id: task.state for task in rows.newest(connection, Task, limit=10_000)}
            attempts = rows.newest(connection, Run, limit=10_000)
            pools = rows.fetch(connection, Pool, select(_POOL))
            said = [key for (key,) in connection.execute(select(_OUTBOX.c.key))]
        assert set(known) == set(self.model.jobs), "a job was lost, or doubled"
        for job in self.model.jobs.values():
            row = known[job.job_id]
            assert (row.state, row.attempts) == (job.state, len(job.runs)), job
            assert (row.finished_at is not None) == (job.state in FINISHED_JOBS)
            assert row.wants_worker_id == job.wants, (row, job)
            assert row.task_id is None or states[row.task_id] == job.task
        self._check_live(live, known)
        self._check_runs(attempts, told)
        self._check_workers(staff)
        self._check_pools(pools)
        self._check_events(told, said)

    def _check_live(self, live: list[Run], known: dict[int | None, Job]) -> None:
        expected = {run.run_id: (job.job_id, run) for job, run in self.model.live()}
        assert {run.id for run in live} == set(expected)
        assert (
            len({run.job_id for run in live}) == len({run.worker_id for run in live}) == len(live)
        )
        running = {job.job_id for job in self.model.jobs.values() if job.state is JobState.running}
        assert running <= {run.job_id for run in live}, "it runs, but nothing runs it"
        for run in live:
            assert run.state is expected[run.id or 0][1].state
            assert run.lease_until == expected[run.id or 0][1].lease_until
            assert run.job_id in running or known[run.job_id].state in (JobState.cancelled,)
        for name, daemon in self.daemons.items():
            mine = [known[run.job_id] for run in live if run.node == name]
            kept = [each.job for each in daemon.live.values() if self._of(each)[1].live]
            if not daemon.down:
                # Nothing is held for a run that has ended: what counts is what is in the rows.
                assert sorted(job.id or 0 for job in mine) == sorted(job.id or 0 for job in kept)
                assert sum(job.tokens for job in mine) == sum(job.tokens for job in kept)
            self._check_capacity(mine)

    def _check_capacity(self, mine: list[Job]) -> None:
        assert len(mine) <= SLOTS + 1
        assert sum(job.lane != Lane.urgent for job in mine) <= SLOTS
        assert sum(job.project_id is not None for job in mine) <= PROJECT_SLOTS
        assert sum(job.template is not None for job in mine) <= TEMPLATE_SLOTS

    def _check_runs(self, attempts: list[Run], told: list[Event]) -> None:
        expected = {run.run_id: run for job in self.model.jobs.values() for run in job.runs}
        assert {run.id for run in attempts} == set(expected)
        settled = Counter(event.run_id for event in told if event.key == "run_settled")
        begun = Counter(event.run_id for event in told if event.key == "run_started")
        for run in attempts:
            assert run.state is expected[run.id or 0].state
            ended = not expected[run.id or 0].live
            assert (run.finished_at is not None) == ended
            assert (begun[run.id], settled[run.id]) == (1, int(ended))

    def _check_workers(self, staff: list[Worker]) -> None:
        busy = self.model.busy()
        for worker in staff:
            if worker.id in busy:
                assert worker.state is WorkerState.working
            elif worker.id in self.model.workers:
                assert worker.state is WorkerState.idle
            else:
                assert worker.state is WorkerState.retired, "one that lived for a single run"

    def _check_pools(self, pools: list[Pool]) -> None:
        assert {(pool.backend, pool.span) for pool in pools} == set(self.model.pools)
        for pool in pools:
            expected = self.model.pools[pool.backend, pool.span]
            assert (pool.tokens, pool.turns) == (expected.tokens, expected.turns)
            assert pool.began_at == expected.began_at
            if pool.span is Span.five_hours:
                rest = (pool.rests_from, pool.rests_until)
                assert rest == self.model.rests.get(pool.backend, (None, None))

    def _check_events(self, told: list[Event], said: list[str]) -> None:
        states = {f"job_{state.value}" for state in JobState}
        for job in self.model.jobs.values():
            keys = [event.key for event in told if event.job_id == job.job_id]
            assert [key for key in keys if key in states] == job.told
            words = Counter(key.split(":")[0] for key in said if job.job_id == _job_of(key))
            assert words["failed"] == job.told.count("job_failed"), "it failed without a word"
            done = job.told.count("job_done")
            assert words["result"] + words["reminder"] == done, "it is done without a word"

    # In the end.

    def teardown(self) -> None:
        try:
            self._drain()
        finally:
            with self.database.begin() as connection:
                for table in reversed(SQLModel.metadata.sorted_tables):
                    connection.execute(table.delete())

    def _drain(self) -> None:
        """With everything mended and allowed, whatever was added comes to an end."""
        self.missing.clear()
        self.clock.at = max(self.now, BEGAN) + timedelta(days=30)
        for node in NODES:
            self.crash(node)
            self.restart(node)
        for job in list(self.model.jobs.values()):
            if job.state is JobState.parked:
                self._move_by_owner(job, JobState.queued, may=True)
            if job.state is JobState.failed:
                self._retry(job)
        for _ in range(20 + 3 * len(self.model.jobs)):
            self._give_up_the_blocked()
            if not self.model.unfinished():
                break
            self.clock.at += HOUR
            for daemon in self.daemons.values():
                for started in self._round(daemon):
                    self._settle(daemon, started, Ending(state=RunState.done, text="ok"))
            self.the_rows_are_what_the_model_says()
        left = self.model.unfinished()
        assert not left, f"these never came to an end: {left}"

    def _give_up_the_blocked(self) -> None:
        """What is blocked by a job that was cancelled waits for the owner, and is told so."""
        for job in self.model.jobs.values():
            cancelled = any(self.model.jobs[each].state is JobState.cancelled for each in job.needs)
            if job.state is JobState.queued and job.policy is NeedPolicy.block and cancelled:
                self._move_by_owner(job, JobState.cancelled, may=True)


def run(database: Database, *, examples: int, steps: int) -> None:
    """Try so many stories of so many steps."""
    run_state_machine_as_test(
        lambda: QueueMachine(database),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            # To shrink a story takes many minutes; it is told as it was found.
            phases=[Phase.generate],
        ),
    )


def test_whatever_happens_to_the_queue_nothing_is_lost_doubled_or_leaked(
    database: Database,
) -> None:
    run(database, examples=20, steps=30)


@pytest.mark.parametrize("any_database", ["postgres"], indirect=True)
def test_nor_on_postgres(any_database: Database) -> None:
    run(any_database, examples=4, steps=25)
