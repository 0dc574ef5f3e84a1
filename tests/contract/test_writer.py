"""Works that wait together are committed together, and each keeps its own fate."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import IntegrityError

from agentos.domain.states import JobState
from agentos.domain.work import Job, Worker
from agentos.errors import NotFound, StoreUnusable
from agentos.store import jobs, rows, workers
from agentos.store.database import Database

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def job(title: str, **more: object) -> Job:
    return Job.model_validate({"title": title, "prompt": "p", "created_at": NOW, **more})


def held_up(database: Database) -> asyncio.Task[None]:
    """A work that keeps the writer busy for a moment, so that what comes next waits together."""
    return asyncio.ensure_future(
        database.write(lambda connection: _sleep(connection, database.is_sqlite))
    )


def _sleep(connection: Connection, is_sqlite: bool) -> None:
    # No thread's sleep: the writer shall be in the database.
    slow = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000) "
        "SELECT max(x) FROM n"
        if is_sqlite
        else "SELECT pg_sleep(0.2)"
    )
    connection.execute(text(slow))


async def told(waiting: asyncio.Task[None]) -> BaseException | None:
    """How it ended."""
    await asyncio.wait({waiting})
    return waiting.exception()


async def test_works_that_wait_share_one_commit(any_database: Database) -> None:
    commits: list[object] = []
    count = commits.append
    event.listen(Engine, "commit", count)
    try:
        waiting = held_up(any_database)
        await asyncio.sleep(0.01)
        added = [
            any_database.write(lambda c, n=n: jobs.enqueue(c, job(f"job {n}")))  # type: ignore[misc]
            for n in range(20)
        ]
        made = await asyncio.gather(*added)
        await waiting
    finally:
        event.remove(Engine, "commit", count)
    assert len({each.id for each in made}) == 20
    assert len(commits) == 2


async def test_a_work_that_raises_is_undone_alone(any_database: Database) -> None:
    def half(connection: Connection) -> None:
        jobs.enqueue(connection, job("never seen"))
        jobs.get(connection, 999_999)

    def twice(connection: Connection) -> None:
        row = Worker(name="the same", model="m", created_at=NOW)
        workers.add(connection, row)
        rows.add(connection, row.model_copy(update={"id": None}))

    waiting = held_up(any_database)
    await asyncio.sleep(0.01)
    outcomes = await asyncio.gather(
        any_database.write(lambda c: jobs.enqueue(c, job("before"))),
        any_database.write(half),
        any_database.write(twice),
        any_database.write(lambda c: jobs.enqueue(c, job("after"))),
        return_exceptions=True,
    )
    await waiting
    assert [type(outcome) for outcome in outcomes] == [Job, NotFound, IntegrityError, Job]
    found = await any_database.query(jobs.list_all)
    assert sorted(each.title for each in found) == ["after", "before"]
    assert await any_database.query(lambda c: workers.find_by_name(c, "the same")) is None


async def test_on_a_full_disk_all_that_wait_are_told_and_none_is_half_there(
    database: Database,
) -> None:
    def limit(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def lift(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    waiting = held_up(database)
    await asyncio.sleep(0.01)
    outcomes = await asyncio.gather(
        database.write(limit),
        database.write(lambda c: jobs.enqueue(c, job("big", prompt="x" * 2_000_000))),
        database.write(lift),
        return_exceptions=True,
    )
    await told(waiting)
    assert isinstance(outcomes[1], StoreUnusable)
    # What shared the transaction is undone with it, and told the same reason.
    assert all(each is None or isinstance(each, StoreUnusable) for each in outcomes)
    await database.write(lift)
    assert await database.query(jobs.list_all) == []
    made = await database.write(lambda c: jobs.enqueue(c, job("small")))
    assert made.state is JobState.queued


async def test_a_work_that_nobody_waits_for_any_more_is_left_out(any_database: Database) -> None:
    waiting = held_up(any_database)
    await asyncio.sleep(0.01)
    given_up = asyncio.ensure_future(any_database.write(lambda c: jobs.enqueue(c, job("given up"))))
    await asyncio.sleep(0)
    given_up.cancel()
    await waiting
    await any_database.write(lambda c: None)
    assert await any_database.query(jobs.list_all) == []


async def test_closing_writes_what_waits(any_database: Database) -> None:
    waiting = held_up(any_database)
    await asyncio.sleep(0.01)
    last = asyncio.ensure_future(any_database.write(lambda c: jobs.enqueue(c, job("last"))))
    await asyncio.sleep(0)
    await asyncio.to_thread(any_database.close)
    await waiting
    assert (await last).id is not None


def test_a_row_comes_back_as_it_was_written(any_database: Database) -> None:
    elsewhere = timezone(timedelta(hours=-5))
    row = job("ünï\n☃", skills=["a", "b"], run_at=NOW.astimezone(elsewhere), model=None)
    with any_database.begin() as connection:
        made = jobs.enqueue(connection, row)
        found = jobs.get(connection, made.id or 0)
    assert found.model_dump() == made.model_dump()
    assert found.run_at == NOW and found.run_at.utcoffset() == timedelta()


def test_a_row_has_defaults_of_its_own() -> None:
    one, other = job("one"), job("other")
    one.skills.append("only mine")
    assert other.skills == []
    assert one.model_copy(update={"title": "x"}).title == "x"
    with pytest.raises(ValueError, match="no field"):
        one.no_such_column = 1  # type: ignore[attr-defined]
