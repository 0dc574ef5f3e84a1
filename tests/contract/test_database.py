"""A database that cannot be used says so in one line, and nothing that was stored is lost."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from agentos.errors import StoreUnusable
from agentos.home import Home
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate


def test_a_file_that_is_no_database_says_what_to_do(home: Home) -> None:
    home.database_file.write_bytes(b"this is not a database, whatever its name says" * 100)
    database = Database(sqlite_url(home.database_file))
    with pytest.raises(StoreUnusable, match="Move the file away"):
        migrate(database)
    database.close()


def test_a_folder_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "missing" / "a.db"))
    with pytest.raises(StoreUnusable, match="folder exists"):
        migrate(database)
    database.close()


@pytest.mark.parametrize("url", ["nonsense", "oracle-of-delphi://host/db", "://"])
def test_a_wrong_url_says_what_one_looks_like(url: str) -> None:
    with pytest.raises(StoreUnusable, match="postgresql://"):
        Database(url)


def test_a_server_that_is_not_there_says_so_without_the_password() -> None:
    database = Database("postgresql://me:hunter2@127.0.0.1:9/db")
    with pytest.raises(StoreUnusable, match="server runs") as caught:
        migrate(database)
    assert "hunter2" not in str(caught.value)
    database.close()


def test_a_full_disk_refuses_the_write_and_keeps_what_was_there(database: Database) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (x TEXT)")
        connection.exec_driver_sql("INSERT INTO kept VALUES ('here')")
    with pytest.raises(StoreUnusable, match="Free some space"), database.begin() as connection:
        # SQLite's own way to play a full disk: no page may be added.
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        connection.exec_driver_sql(f"INSERT INTO kept VALUES ('{'x' * 1_000_000}')")
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM kept").scalar() == 1


def test_what_is_committed_is_on_the_disk(home: Home, database: Database) -> None:
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


async def test_a_commit_wakes_those_who_listen(database: Database) -> None:
    heard = database.listen()
    await database.query(lambda connection: None)
    assert not heard.is_set()
    await database.write(lambda connection: None)
    assert heard.is_set()


async def test_many_writers_at_once_all_get_their_turn(home: Home, database: Database) -> None:
    other = Database(sqlite_url(home.database_file))
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE n (x INTEGER)")

    def write(each: Database) -> asyncio.Future[None]:
        return asyncio.ensure_future(
            each.write(lambda c: c.exec_driver_sql("INSERT INTO n VALUES (1)") and None)
        )

    await asyncio.gather(*(write(each) for _ in range(100) for each in (database, other)))
    other.close()
    with sqlite3.connect(home.database_file) as connection:
        assert connection.execute("SELECT count(*) FROM n").fetchone() == (200,)
    connection.close()
