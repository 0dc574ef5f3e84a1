"""From queued rows to claimed ones, on each database: what starts, and for whom."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from agentos.config import Config
from agentos.domain.frames import Failure, TurnUsage
from agentos.domain.states import Actor, JobState, RunState, TaskState, WorkerState
from agentos.domain.work import (
    Job,
    JobKind,
    Lane,
    NeedPolicy,
    Project,
    Task,
    TaskKind,
    Worker,
    WorkerRole,
)
from agentos.engine.claiming import Claims, Present, Round, Started
from agentos.engine.collecting import NOTHING
from agentos.engine.lanes import Hold, Under
from agentos.engine.recovery import recover, rescue
from agentos.engine.routes import Routes
from agentos.engine.settling import Ending, settle
from agentos.errors import BadRequest, LeaseLost
from agentos.store import jobs, outbox, rows, runs, tasks, workers
from agentos.store.database import Database
from agentos.store.jobs import Barred

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    async def sleep_until(self, moment: datetime) -> None:
        raise AssertionError("nobody sleeps here")


class Desk:
    """A daemon without processes: it claims, and a test says how each run ends."""

    def __init__(self, database: Database, *, node: str = "here", **capacity: Any) -> None:
        self.database, self.node = database, node
        self.clock = Clock()
        self.config = Config(owner={"timezone": "UTC"}, capacity=capacity)
        self.missing: dict[str, str] = {}
        self.fallback: dict[str, str] = {}
        self.live: list[Started] = []

    def begin_anew(self) -> None:
        """What a start makes: all it knows is in the rows."""
        self.live = []

    @property
    def claims(self) -> Claims:
        routes = Routes(
            models={"claude": "sonnet", "codex": "deep"},
            missing=lambda: self.missing,
            fallback=self.fallback,
        )
        return Claims(clock=self.clock, config=self.config, node=self.node, routes=routes)

    @property
    def present(self) -> Present:
        under = Under()
        for started in self.live:
            under = under.and_(started.job)
        return Present(under=under)

    def add(self, *, needs: list[int] | None = None, **more: Any) -> Job:
        values = {"title": "t", "prompt": "p", "created_at": self.clock.at}
        job = Job(**{**values, "conversation": "terminal:main", **more})
        with self.database.begin() as connection:
            return jobs.enqueue(connection, job, needs=needs or [])

    def add_worker(self, name: str = "w", **more: Any) -> Worker:
        values = {"name": name, "model": "sonnet", "persistent": True, "created_at": NOW}
        with self.database.begin() as connection:
            return workers.add(connection, Worker(**{**values, **more}))

    def look(self) -> Round:
        with self.database.read() as connection:
            return self.claims.look(connection, self.present)

    def start(self) -> list[Started]:
        with self.database.begin() as connection:
            round_ = self.claims.start(connection, self.present)
        self.live += round_.started
        return round_.started

    def end(self, started: Started, state: RunState = RunState.done, **more: Any) -> JobState:
        if started in self.live:
            self.live.remove(started)
        ending = Ending(state=state, **more)
        with self.database.begin() as connection:
            return settle(
                connection,
                started.run,
                ending,
                found=NOTHING,
                at=self.clock.at,
                config=self.config,
            )

    def fail(self, started: Started, failure: Failure, **more: Any) -> JobState:
        return self.end(started, RunState.failed, failure=failure, **more)

    def job(self, job: Job) -> Job:
        with self.database.read() as connection:
            return jobs.get(connection, job.id or 0)

    def said(self, job: Job) -> list[str]:
        with self.database.read() as connection:
            return [row.text for row in outbox.list_for_job(connection, job.id or 0)]

    def retry(self, job: Job) -> None:
        with self.database.begin() as connection:
            runs.count_anew(connection, job, at=self.clock.at)
            jobs.move(connection, job.id or 0, JobState.queued, by=Actor.owner, at=self.clock.at)

    def held(self) -> dict[int | None, Hold]:
        with self.database.read() as connection:
            found = self.claims.explain(connection, self.present, limit=100)
        return {each.job.id: each.hold for each in found}


@pytest.fixture
def desk(any_database: Database) -> Desk:
    return Desk(any_database)


def ids(started: list[Started]) -> list[int | None]:
    return [each.job.id for each in started]


def everything(database: Database) -> dict[str, list[str]]:
    with database.read() as connection:
        return {
            kind.__name__: sorted(map(str, connection.execute(select(rows.table_of(kind))).all()))
            for kind in (Job, Worker, Task)
        }


# The order, and what is looked at.


def test_the_queue_is_served_by_turns_and_not_by_lanes_alone(desk: Desk) -> None:
    old = desk.add(priority=2)
    desk.clock.at += 15 * MINUTE
    fresh, urgent = desk.add(priority=2), desk.add(priority=0)
    with desk.database.read() as connection:
        ready = jobs.list_ready(connection, now=desk.clock.at, limit=10)
    assert [job.id for job in ready] == [old.id, urgent.id, fresh.id]


def passes(job: Job, bars: Barred) -> bool:
    """The same in Python."""
    named = job.wants_worker_id is not None
    backends = bars.backends_by_name if named else bars.backends
    spared = bars.spared_by_name if named else bars.spared
    urgent = job.lane == Lane.urgent
    return job.kind is JobKind.reminder or (
        bars.last_lane is not None
        and job.lane <= bars.last_lane
        and (urgent or bars.turn_by is None or (job.turn_at or NOW) <= bars.turn_by)
        and job.backend not in backends
        and (urgent or job.backend not in spared)
        and job.project_id not in bars.projects
        and job.template not in bars.templates
    )


def test_the_rows_bar_what_the_laws_say(desk: Desk) -> None:
    luck = random.Random(7)
    worker = desk.add_worker()
    with desk.database.begin() as connection:
        projects = [
            rows.add(connection, Project(name=name, created_at=NOW, updated_at=NOW)).id
            for name in ("one", "two")
        ]
    some: dict[str, list[Any]] = {
        "backend": ["claude", "codex", "gemini"],
        "project_id": [None, *projects],
        "template": [None, "inbox", "tidy"],
        "wants_worker_id": [None, None, worker.id],
        "kind": [JobKind.agent, JobKind.agent, JobKind.agent, JobKind.reminder],
        "priority": [0, 1, 2, 3, 4, 5],
        "created_at": [NOW - luck.random() * 5 * HOUR for _ in range(40)],
    }
    queue = [
        desk.add(**{name: luck.choice(values) for name, values in some.items()}) for _ in range(40)
    ]
    queue.sort(key=lambda job: (job.turn_at or NOW, job.id or 0))

    def few(values: list[Any]) -> list[Any]:
        return luck.sample(values, luck.randint(0, len(values)))

    with desk.database.read() as connection:
        for _ in range(150):
            bars = Barred(
                last_lane=luck.choice([None, *Lane]),
                turn_by=luck.choice([None, None, NOW]),
                backends=few(some["backend"]),
                spared=few(some["backend"]),
                backends_by_name=few(some["backend"]),
                spared_by_name=few(some["backend"]),
                projects=few(projects),
                templates=few(["inbox", "tidy"]),
            )
            ready = jobs.list_ready(connection, now=NOW, limit=100, barred=bars)
            assert [job.id for job in ready] == [job.id for job in queue if passes(job, bars)]


def test_many_that_wait_for_tokens_do_not_hide_urgent_work_behind_them(
    any_database: Database,
) -> None:
    desk = Desk(any_database, window_tokens=10_000, deep_queue=1000)
    first = desk.add(priority=0)
    for _ in range(60):
        desk.add(priority=2, prompt="p" * 16_000)
    desk.clock.at += 2 * HOUR
    late = desk.add(priority=0)
    assert ids(desk.start()) == [first.id, late.id]
    assert set(desk.held().values()) == {Hold.window}


def test_many_that_name_a_worker_of_a_backend_that_rests_do_not_hide_what_has_a_detour(
    desk: Desk,
) -> None:
    desk.fallback = {"claude": "codex"}
    named = desk.add_worker("named")
    for _ in range(60):
        desk.add(wants_worker_id=named.id)
    begun = desk.start()
    desk.fail(begun[0], Failure.rate_limited)
    free = desk.add()
    (taken,) = desk.start()
    assert (taken.job.id, taken.worker.backend, taken.run.model) == (free.id, "codex", "deep")


def test_urgent_work_behind_a_full_look_starts_in_the_same_round(desk: Desk) -> None:
    for _ in range(70):
        desk.add(priority=2)
    desk.clock.at += 2 * HOUR
    urgent = desk.add(priority=0)
    started = desk.start()
    assert len(started) == desk.config.engine.slots + 1
    assert started[-1].job.id == urgent.id


def test_what_is_due_to_be_said_is_said_at_a_full_house(desk: Desk) -> None:
    for _ in range(80):
        desk.add(priority=0)
    assert len(desk.start()) == desk.config.engine.slots + 1
    assert not desk.look().changed
    words = desk.add(kind=JobKind.reminder, prompt="call mum", run_at=NOW + MINUTE)
    assert not desk.look().changed
    assert desk.look().due == NOW + MINUTE
    desk.clock.at += MINUTE
    assert desk.look().changed
    assert desk.start() == []
    assert desk.said(words) == ["⏰ call mum"]
    assert not desk.look().changed


def test_an_endless_stream_of_urgent_work_lets_the_oldest_other_job_start(desk: Desk) -> None:
    waits = desk.add(priority=2)
    for _ in range(desk.config.engine.slots + 5):
        desk.add(priority=0)
    while waits.id not in ids(desk.live) and desk.clock.at < NOW + HOUR:
        desk.add(priority=0)
        desk.start()
        assert len(desk.live) == desk.config.engine.slots + 1
        desk.end(desk.live[0])
        desk.clock.at += MINUTE
    # Its patience, and what was queued within that and had to go first.
    assert desk.clock.at - NOW <= 15 * MINUTE + 8 * MINUTE


# Named workers.


def test_a_job_waits_for_the_worker_it_names_and_the_others_do_not(desk: Desk) -> None:
    worker = desk.add_worker(model="opus")
    first, second = (desk.add(wants_worker_id=worker.id) for _ in range(2))
    other = desk.add()
    assert ids(desk.start()) == [first.id, other.id]
    assert not desk.look().changed, "it would look for ever"
    desk.end(desk.live[0])
    assert ids(desk.start()) == [second.id]


def test_of_idle_workers_the_one_that_was_never_used_is_taken_first(desk: Desk) -> None:
    used = desk.add_worker("a", last_used_at=NOW - HOUR)
    longest, never = desk.add_worker("b", last_used_at=NOW - 2 * HOUR), desk.add_worker("c")
    for _ in range(3):
        desk.add()
    assert [each.worker.id for each in desk.start()] == [never.id, longest.id, used.id]


@pytest.mark.parametrize(
    "never",
    [{"state": WorkerState.retired}, {"persistent": False}, {"role": WorkerRole.front_desk}],
)
def test_a_job_whose_worker_never_takes_one_is_refused_and_says_so(
    desk: Desk, never: dict[str, Any]
) -> None:
    worker = desk.add_worker("ghost", **never)
    job = desk.add(wants_worker_id=worker.id)
    assert desk.look().changed
    assert desk.start() == []
    assert desk.job(job).state is JobState.failed
    assert desk.job(job).error == "the worker ghost, which it names, takes no jobs any more"
    assert "pm job retry" in desk.said(job)[0]
    assert not desk.look().changed, "it would look for ever"


def test_what_a_persistent_worker_has_begun_it_goes_on_with_on_its_own_backend(
    desk: Desk,
) -> None:
    desk.fallback = {"claude": "codex"}
    worker = desk.add_worker(backend="codex", model="deep")
    desk.fail(next(iter([desk.add(), desk.start()][1])), Failure.rate_limited)
    (begun,) = desk.start()
    assert begun.worker.id == worker.id
    desk.end(begun, RunState.interrupted, session_id="s1")
    row = desk.job(begun.job)
    assert (row.wants_worker_id, row.backend, row.model) == (worker.id, "codex", None)
    desk.clock.at += HOUR  # claude is awake again, and its session is with codex
    (again,) = desk.start()
    assert (again.worker.id, again.run.session_id, again.run.model) == (worker.id, "s1", "deep")


def test_a_worker_of_the_owners_may_have_any_name(desk: Desk) -> None:
    job = desk.add()
    desk.add_worker(f"claude-{job.id}-1", model="other")
    (started,) = desk.start()
    assert started.worker.name.startswith(f"claude-{job.id}-1-")


# Backends that rest, are missing, or are used up.


def test_a_rate_limit_lets_all_jobs_of_the_backend_wait_for_its_reset_also_after_a_restart(
    desk: Desk,
) -> None:
    first, other, codex = desk.add(), desk.add(priority=0), desk.add(backend="codex")
    by_job = {started.job.id: started for started in desk.start()}
    desk.fail(by_job[first.id], Failure.rate_limited, retry_after=3 * HOUR)
    desk.end(by_job[other.id], RunState.interrupted)
    desk.begin_anew()
    assert not desk.look().changed
    assert desk.held() == {first.id: Hold.backend_rests, other.id: Hold.backend_rests}
    assert desk.look().due == NOW + 3 * HOUR
    assert "Sat 21" not in desk.said(first)[0] and "15:00" in desk.said(first)[0]
    desk.clock.at += 3 * HOUR
    assert ids(desk.start()) == [other.id, first.id]
    assert desk.job(codex).state is JobState.running


def test_a_reset_of_another_day_is_told_with_its_day(desk: Desk) -> None:
    job = desk.add()
    desk.fail(desk.start()[0], Failure.rate_limited, retry_after=50 * HOUR)
    assert "at Mon 23 Nov, 14:00" in desk.said(job)[0]


@pytest.mark.parametrize("told", [timedelta(days=400), timedelta(seconds=-9), timedelta(0), None])
def test_whatever_a_far_end_says_of_its_limit_a_job_is_not_tried_on_and_on(
    desk: Desk, told: timedelta | None
) -> None:
    desk.add()
    desk.fail(desk.start()[0], Failure.rate_limited, retry_after=told)
    assert desk.start() == []
    desk.clock.at += timedelta(days=7)
    assert len(desk.start()) == 1


def test_a_clock_that_was_ahead_costs_one_try_and_not_a_long_rest(desk: Desk) -> None:
    desk.add()
    desk.clock.at += timedelta(days=2)
    desk.fail(desk.start()[0], Failure.rate_limited, retry_after=5 * HOUR)
    desk.clock.at -= timedelta(days=2)
    (again,) = desk.start()
    desk.fail(again, Failure.rate_limited, retry_after=5 * HOUR)
    assert desk.start() == []
    desk.clock.at += 5 * HOUR
    assert len(desk.start()) == 1


def test_a_wait_between_two_tries_does_not_become_days_when_the_clock_is_set_back(
    desk: Desk,
) -> None:
    desk.add()
    later = desk.add(run_at=NOW + 2 * HOUR)
    desk.clock.at += timedelta(days=2)
    begun = next(each for each in desk.start() if each.job.id != later.id)
    desk.fail(begun, Failure.transient)
    assert desk.start() == []
    desk.begin_anew()
    desk.clock.at -= timedelta(days=2)
    with desk.database.begin() as connection:
        recover(connection, at=desk.clock.at, max_crashes=3)
    assert begun.job.id in ids(desk.start())


def test_a_missing_backend_is_said_each_time_it_is_tried(desk: Desk) -> None:
    desk.missing = {"codex": "codex is not installed: install it"}
    job = desk.add(backend="codex")
    for times in (1, 2):
        assert desk.start() == []
        assert desk.job(job).error == "codex is not installed: install it"
        assert len(desk.said(job)) == times
        desk.retry(job)
    desk.missing = {}
    assert ids(desk.start()) == [job.id]


def test_turns_fill_a_pool_where_tokens_are_not_told(any_database: Database) -> None:
    desk = Desk(any_database, five_hour_turns=2, pause_at=0.5)
    desk.add()
    desk.end(desk.start()[0], usage=TurnUsage(model="m"))
    normal, urgent = desk.add(), desk.add(priority=0)
    assert ids(desk.start()) == [urgent.id]
    assert desk.held() == {normal.id: Hold.pool}
    desk.end(desk.live[0], usage=TurnUsage(model="m"))
    last = desk.add(priority=0)
    assert desk.start() == []
    assert desk.held() == {last.id: Hold.backend_rests, normal.id: Hold.backend_rests}
    assert desk.look().due == NOW + 5 * HOUR
    desk.clock.at += 5 * HOUR
    assert ids(desk.start()) == [last.id, normal.id]


def test_only_a_run_that_is_done_teaches_what_a_job_uses(desk: Desk) -> None:
    desk.add()
    used = TurnUsage(model="m", input_tokens=100)
    desk.end(desk.start()[0], RunState.interrupted, usage=used)
    assert desk.add().tokens == 8_000
    more = TurnUsage(model="m", input_tokens=500)
    desk.end(desk.start()[0], usage=more)
    assert desk.add().tokens == 500


# Tries.


def test_a_job_that_failed_for_a_moment_keeps_its_place(desk: Desk) -> None:
    job = desk.add(priority=5)
    before = desk.job(job).turn_at
    desk.fail(desk.start()[0], Failure.transient)
    row = desk.job(job)
    assert row.turn_at == before
    assert row.run_at is not None and NOW < row.run_at <= NOW + 2 * MINUTE
    assert desk.look().due == row.run_at


def test_a_job_that_the_owner_has_tried_again_comes_as_a_new_one_with_all_its_tries(
    desk: Desk,
) -> None:
    job = desk.add(priority=2)
    for _ in range(desk.config.engine.max_attempts):
        (begun,) = desk.start()
        state = desk.fail(begun, Failure.crashed)
    assert state is JobState.failed
    desk.clock.at += 5 * HOUR
    newer = desk.add(priority=0)
    desk.retry(job)
    row = desk.job(job)
    assert (row.error, row.finished_at, row.run_at) == (None, None, None)
    assert row.turn_at == desk.clock.at + 15 * MINUTE
    started = desk.start()
    assert ids(started) == [newer.id, job.id]
    assert desk.fail(started[1], Failure.crashed) is JobState.queued


def test_every_time_it_is_given_up_the_owner_hears_of_it(desk: Desk) -> None:
    job = desk.add()
    for times in (1, 2):
        desk.fail(desk.start()[0], Failure.refused, problem="no such model")
        assert len(desk.said(job)) == times
        desk.retry(job)


def test_a_time_after_the_end_of_time_is_refused_by_name(desk: Desk) -> None:
    with pytest.raises(BadRequest, match="after the end of time"):
        desk.add(priority=5, run_at=datetime.max.replace(tzinfo=UTC))


# Needs.


def test_what_needs_a_lost_job_follows_its_policy(desk: Desk) -> None:
    lost = desk.add()
    skips, blocks, goes_on = (
        desk.add(needs=[lost.id or 0], if_needs_fail=policy)
        for policy in (NeedPolicy.skip, NeedPolicy.block, NeedPolicy.go_on)
    )
    after = desk.add(needs=[skips.id or 0])
    assert ids(desk.start()) == [lost.id]
    assert not desk.look().changed
    desk.fail(desk.live[0], Failure.refused)
    assert desk.look().changed
    assert ids(desk.start()) == [goes_on.id]
    assert desk.job(skips).state is JobState.cancelled
    assert desk.job(after).error == f"it needed #{skips.id}, which did not get done"
    assert desk.job(blocks).state is JobState.queued
    assert not desk.look().changed
    desk.retry(lost)
    (again,) = desk.start()
    desk.end(again)
    assert ids(desk.start()) == [blocks.id]


def test_a_task_goes_where_its_job_goes(desk: Desk) -> None:
    with desk.database.begin() as connection:
        row = Task(title="t", kind=TaskKind.code, created_at=NOW, updated_at=NOW)
        task_id = tasks.add(connection, row).id or 0
    job = desk.add(task_id=task_id)

    def state() -> TaskState:
        with desk.database.read() as connection:
            return tasks.get(connection, task_id).state

    (begun,) = desk.start()
    assert state() is TaskState.running
    desk.end(begun, RunState.interrupted)
    assert state() is TaskState.pending
    desk.fail(desk.start()[0], Failure.refused)
    assert state() is TaskState.failed
    desk.retry(job)
    desk.end(desk.start()[0])
    assert state() is TaskState.ready


# Whose run it is.


def test_after_a_rescue_what_the_old_attendant_still_tries_changes_nothing(desk: Desk) -> None:
    worker = desk.add_worker()
    desk.add(wants_worker_id=worker.id)
    (old,) = desk.start()
    desk.clock.at += 3 * MINUTE
    other = Desk(desk.database, node="there")
    other.clock.at = desk.clock.at
    with desk.database.begin() as connection:
        assert rescue(connection, at=desk.clock.at, ours=set()) == [old.job.id]
    (new,) = other.start()
    assert (new.job.id, new.worker.id) == (old.job.id, worker.id)
    before = everything(desk.database)
    for state in (RunState.done, RunState.failed, RunState.interrupted):
        with pytest.raises(LeaseLost):
            desk.end(old, state, usage=TurnUsage(model="m", input_tokens=9))
    for beat in (_beat, _run):
        with pytest.raises(LeaseLost), desk.database.begin() as connection:
            beat(connection, old)
    assert everything(desk.database) == before
    assert other.end(new) is JobState.done


def _beat(connection: Connection, started: Started) -> None:
    runs.heartbeat(connection, started.run, now=NOW, lease=HOUR)


def _run(connection: Connection, started: Started) -> None:
    runs.change_live(connection, started.run, state=RunState.running, pid=1)


def test_a_daemon_does_not_rescue_what_it_attends_itself(desk: Desk) -> None:
    desk.add()
    (mine,) = desk.start()
    desk.clock.at += timedelta(days=1)  # it slept, and so did the run
    with desk.database.begin() as connection:
        assert rescue(connection, at=desk.clock.at, ours={mine.run.id or 0}) == []
    assert desk.end(mine) is JobState.done


def test_daemons_that_claim_at_the_same_moment_never_claim_the_same_job(
    any_database: Database,
) -> None:
    desks = [Desk(any_database, node=f"n{number}") for number in range(4)]
    made = [desks[0].add() for _ in range(24)]

    def serve(desk: Desk) -> list[int | None]:
        served: list[int | None] = []
        for _ in range(60):
            started = desk.start()
            served += ids(started)
            for each in started:
                desk.end(each)
        return served

    with ThreadPoolExecutor(len(desks)) as pool:
        served = Counter(job_id for found in pool.map(serve, desks) for job_id in found)
    assert served == Counter(job.id for job in made)
    with any_database.read() as connection:
        assert jobs.count_by_state(connection) == {"done": len(made)}
        left = {worker.state for worker in workers.list_all(connection, limit=1000)}
    assert left == {WorkerState.retired}, "none was made in vain"
