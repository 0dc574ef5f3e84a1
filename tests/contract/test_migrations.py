"""An update of the tables with jobs in flight: everything goes on in order, on each database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, MetaData, Table, inspect, text
from sqlmodel import SQLModel

import agentos.store.migrate
from agentos.config import Config
from agentos.domain.states import Actor, JobState, RunState, WorkerState
from agentos.domain.work import PATIENCE, Job
from agentos.engine.claiming import Claims, Present, Started
from agentos.engine.collecting import NOTHING
from agentos.engine.lanes import Under
from agentos.engine.recovery import recover
from agentos.engine.routes import Routes
from agentos.engine.settling import Ending, settle
from agentos.errors import StoreUnusable
from agentos.store import jobs, memories, runs, workers
from agentos.store.database import Database
from agentos.store.migrate import migrate
from tests.memory_room import a_memory

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LEASE = timedelta(minutes=2)


@pytest.fixture
def old(any_database: Database) -> Database:
    """A database as the first version made it."""
    with any_database.begin() as connection:
        _drop_everything(connection)
        scripts = Path(agentos.store.migrate.__file__).parent / "migrations"
        config = AlembicConfig()
        config.set_main_option("script_location", str(scripts))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    return any_database


def _drop_everything(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
        return
    there = MetaData()
    there.reflect(connection)
    there.drop_all(connection)


class Rows:
    """Rows of the first version, written without the classes of this one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables = MetaData()
        self._tables.reflect(connection)

    def add(self, table: str, **values: Any) -> int:
        columns: Table = self._tables.tables[table]
        made = self._connection.execute(columns.insert().values(**values))
        key = made.inserted_primary_key
        return int(key[0]) if key else 0

    def job(self, title: str, priority: int = 2, *, ago: timedelta = HOUR, **more: Any) -> int:
        lane = 0 if priority <= 1 else 1 if priority == 2 else 2
        plain = {"kind": "agent", "prompt": "p", "state": "queued", "backend": "claude"}
        counts = {"skills": [], "timeout_seconds": 1800, "attempts": 0}
        values = {**plain, **counts, "created_at": _when(NOW - ago), **more}
        return self.add("job", title=title, priority=priority, lane=lane, **values)

    def worker(self, name: str, **more: Any) -> int:
        plain = {"role": "work", "backend": "claude", "model": "sonnet", "persistent": True}
        counts = {"skills": [], "state": "idle", "session_job_count": 3}
        return self.add("worker", name=name, created_at=_when(NOW), **{**plain, **counts, **more})

    def live_run(self, job_id: int, worker_id: int, *, session: str) -> int:
        times = dict.fromkeys(("started_at", "heartbeat_at", "lease_until"), _when(NOW - MINUTE))
        return self.add(
            "run",
            job_id=job_id,
            worker_id=worker_id,
            number=1,
            token=f"t{job_id}",
            node="here",
            state="running",
            session_id=session,
            pid=4711,
            **times,
        )


def _when(moment: datetime) -> datetime:
    # What the driver of SQLite is given must be naive, as the column type of ours makes it.
    return moment.astimezone(UTC)


class After:
    """A daemon of this version on those rows."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.at = NOW
        self.config = Config(engine={"slots": 50})
        routes = Routes(models={"claude": "sonnet"})
        self.claims = Claims(clock=self, config=self.config, node="here", routes=routes)

    def now(self) -> datetime:
        return self.at

    async def sleep_until(self, moment: datetime) -> None:
        raise AssertionError("nobody sleeps here")

    def recover(self) -> list[int]:
        with self.database.begin() as connection:
            return recover(connection, at=self.at, max_crashes=3, node="here")

    def start(self) -> list[Started]:
        with self.database.begin() as connection:
            return self.claims.start(connection, Present(under=Under())).started

    def end(self, started: Started) -> JobState:
        ending = Ending(state=RunState.done, text="ok")
        with self.database.begin() as connection:
            return settle(
                connection, started.run, ending, found=NOTHING, at=self.at, config=self.config
            )

    def job(self, job_id: int) -> Job:
        with self.database.read() as connection:
            return jobs.get(connection, job_id)


def titles(started: list[Started]) -> list[str]:
    return [each.job.title for each in started]


def test_jobs_in_flight_go_on_in_order_after_an_update(old: Database) -> None:
    with old.begin() as connection:
        table = Rows(connection)
        mine = table.worker("mine", state="working", session_id="s-mine")
        once = table.worker("claude-9-1", persistent=False, state="working")
        idle = table.worker("idle", model="opus", session_id="s-idle")
        running = table.job("running", 2, ago=3 * HOUR, state="running", attempts=1)
        alone = table.job("alone", 3, ago=2 * HOUR, state="running", attempts=1)
        table.live_run(running, mine, session="s-run")
        table.live_run(alone, once, session="s-alone")
        table.job("background", 5, ago=MINUTE)
        table.job("old background", 5, ago=6 * HOUR)
        table.job("normal", 2, ago=MINUTE)
        table.job("urgent", 0, ago=timedelta())
        table.job("named", 2, wants_worker_id=idle)
        later = table.job("later", 2, run_at=_when(NOW + HOUR))
        parked = table.job("parked", 2, ago=9 * HOUR, state="parked", attempts=1)
        failed = table.job("failed", 2, state="failed", attempts=1, finished_at=_when(NOW))
        done = table.job("done", 2, state="done", attempts=1, finished_at=_when(NOW))
        needing = table.job("needing", 2, ago=4 * HOUR)
        doomed = table.job("doomed", 2, ago=4 * HOUR)
        for job_id, needed in ((needing, running), (needing, done), (doomed, failed)):
            table.add("job_need", job_id=job_id, needs_id=needed)

    migrate(old)
    after = After(old)
    assert sorted(after.recover()) == sorted([running, alone])
    with old.read() as connection:
        assert workers.get(connection, mine).state is WorkerState.idle
        assert workers.get(connection, once).state is WorkerState.retired
    started = after.start()
    assert titles(started) == [
        "running",
        "old background",
        "alone",
        "named",
        "urgent",
        "normal",
        "background",
    ]
    by_title = {each.job.title: each for each in started}
    assert by_title["named"].worker.id == idle
    assert by_title["named"].run.session_id == "s-idle"
    # What was begun goes on in the session it had, whoever takes it.
    assert by_title["alone"].run.session_id == "s-alone"
    assert by_title["running"].run.session_id == "s-run"
    assert by_title["running"].run.number == 2
    assert after.job(doomed).state is JobState.cancelled
    assert after.job(later).state is JobState.queued
    assert after.job(needing).state is JobState.queued

    with old.begin() as connection:
        for job_id in (parked, failed):
            jobs.move(connection, job_id, JobState.queued, by=Actor.owner, at=NOW)
        for each in started:
            live = runs.get(connection, each.run.id or 0)
            assert live.failure is None
    for each in started:
        assert after.end(each) is JobState.done
    assert titles(after.start()) == ["parked", "needing", "failed"]
    after.at += HOUR
    assert titles(after.start()) == ["later"]


def test_what_waits_keeps_its_place_and_gets_its_turn(old: Database) -> None:
    with old.begin() as connection:
        table = Rows(connection)
        made = [table.job("t", priority, ago=HOUR) for priority in range(6)]
        later = table.job("t", 2, run_at=_when(NOW + HOUR))
        parked = table.job("t", 3, state="parked")
        done = table.job("t", 2, state="done")
    migrate(old)
    after = After(old)
    for priority, job_id in enumerate(made):
        assert after.job(job_id).turn_at == NOW - HOUR + PATIENCE[priority]
    assert after.job(later).turn_at == NOW + HOUR + PATIENCE[2]
    assert after.job(parked).turn_at == NOW - HOUR + PATIENCE[3]
    assert after.job(done).turn_at is None


def test_a_failed_job_from_before_an_update_is_tried_again_in_turn(old: Database) -> None:
    with old.begin() as connection:
        failed = Rows(connection).job("failed", 2, state="failed", attempts=2)
    migrate(old)
    after = After(old)
    with old.begin() as connection:
        jobs.move(connection, failed, JobState.queued, by=Actor.owner, at=NOW)
    assert after.job(failed).turn_at == NOW + PATIENCE[2]
    assert titles(after.start()) == ["failed"]


def test_an_update_that_breaks_off_leaves_everything_as_it_was(old: Database) -> None:
    with old.begin() as connection:
        job_id = Rows(connection).job("t")
        connection.execute(text("CREATE TABLE expectation (there INTEGER)"))
    with pytest.raises(StoreUnusable, match="cannot be made"):
        migrate(old)
    with old.begin() as connection:
        assert _version(connection) == "0001"
        assert "turn_at" not in {each["name"] for each in inspect(connection).get_columns("job")}
        assert not inspect(connection).has_table("pool")
        connection.execute(text("DROP TABLE expectation"))
    migrate(old)
    assert After(old).job(job_id).state is JobState.queued
    assert titles(After(old).start()) == ["t"]


def test_an_update_done_twice_is_done_once(old: Database) -> None:
    with old.begin() as connection:
        Rows(connection).job("t")
    migrate(old)
    with old.begin() as connection:
        before = _version(connection)
    migrate(old)
    with old.begin() as connection:
        assert _version(connection) == before
    assert titles(After(old).start()) == ["t"]


def test_an_updated_database_has_all_columns_and_indexes_that_the_rows_tell(
    old: Database,
) -> None:
    migrate(old)
    with old.begin() as connection:
        there = inspect(connection)
        for table in SQLModel.metadata.sorted_tables:
            found = {each["name"]: each for each in there.get_columns(table.name)}
            assert set(found) == {column.name for column in table.columns}, table.name
            for column in table.columns:
                assert found[column.name]["nullable"] == column.nullable, column
            indexes = {each["name"] for each in there.get_indexes(table.name)}
            assert {index.name for index in table.indexes} <= indexes, table.name


def test_an_updated_database_remembers(old: Database) -> None:
    migrate(old)
    with old.begin() as connection:
        assert memories.add(connection, a_memory("after the update")).id == 1


def _version(connection: Connection) -> str:
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
