"""The door to the rows: one writer at a time, short transactions, and a signal on each commit.

SQLite is the embedded default: WAL, `BEGIN IMMEDIATE`, and full durability, so that what was
committed is on the disk. Any SQLAlchemy URL works; Postgres is tested.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from agentos.errors import StoreUnusable
from agentos.store.writer import Writer

T = TypeVar("T")
_BUSY_MILLISECONDS = 10_000


class Database:
    """All access to the rows of one home.

    `begin` and `read` are for programs that may block (`pm`, tests). The daemon uses `write` and
    `query`, which run the same functions in threads and keep its loop free.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = _engine(url)
        self._writing = self._engine.execution_options(immediate=True)
        # One writer thread: SQLite has one writer anyway, and a queue in front of it is fair.
        self._writer = Writer(self.begin, translate=self._translated)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-read")
        self._listeners: list[asyncio.Event] = []

    @property
    def is_sqlite(self) -> bool:
        """Whether the rows are in a file of ours."""
        return self._engine.dialect.name == "sqlite"

    @property
    def shown_url(self) -> str:
        """The URL as people may see it: without a password."""
        return make_url(self.url).render_as_string(hide_password=True)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction: all of it or nothing. Raises StoreUnusable when it cannot be had."""
        try:
            with self._writing.connect() as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise self._translated(error) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the rows."""
        try:
            with self._engine.connect() as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise self._translated(error) from error

    async def write(self, work: Callable[[Connection], T], *, tell: bool = True) -> T:
        """Run `work` in a write transaction, in the writer thread; `tell` wakes who listens.

        What waits at the same time shares one transaction and so one wait for the disk, but not
        its fate: `work` that raises is undone alone.
        """
        result = await self._writer.write(work)
        if tell:
            self.poke()
        return result

    async def query(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a consistent view, in a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def listen(self) -> asyncio.Event:
        """An event that is set after each commit made through `write`; the listener clears it."""
        listener = asyncio.Event()
        self._listeners.append(listener)
        return listener

    def poke(self, *, but: asyncio.Event | None = None) -> None:
        """Wake all who listen, as a commit does; `but` not the one whose own doing it was."""
        for listener in self._listeners:
            if listener is not but:
                listener.set()

    def close(self) -> None:
        """Wait for what is being written, and let go of the files."""
        self._writer.close()
        self._readers.shutdown()
        self._engine.dispose()

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self.read() as connection:
            return work(connection)

    def _translated(self, error: DBAPIError) -> Exception:
        """The error as people should read it; as it is when the fault is ours."""
        mend = _mend(error)
        if mend is None:
            return error
        problem = str(error.orig).splitlines()[0]
        return StoreUnusable(url=self.shown_url, problem=problem, mend=mend)


def sqlite_url(file: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{file}"


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreUnusable(
            url=url.partition("@")[2] or url,
            problem=str(error).splitlines()[0],
            mend="Set store.url to a URL like postgresql://user@host/name, or leave it empty.",
        ) from error
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _on_sqlite_begin(connection: Connection) -> None:
    # A transaction that begins as a reader and then writes can lose the race for the write lock
    # with no way to wait for it; one that begins IMMEDIATE waits its turn.
    immediate = connection.get_execution_options().get("immediate", False)
    statement = "BEGIN IMMEDIATE" if immediate else "BEGIN"
    connection.connection.cursor().execute(statement)


def _mend(error: DBAPIError) -> str | None:
    """What the owner can do about it, or None when the fault is ours."""
    text = str(error.orig).lower()
    mends = {
        "not a database": "Move the file away and start again, or restore a backup.",
        "malformed": "Move the file away and start again, or restore a backup.",
        "disk is full": "Free some space; nothing that was stored is lost.",
        "no space left": "Free some space; nothing that was stored is lost.",
        "deadlock": "Two programs were in each other's way; it is tried again.",
        "disk i/o error": "Check the disk; nothing that was stored is lost.",
        "unable to open": "Check that the folder exists and may be written.",
        "readonly": "Make the file writable.",
        "locked": "Another program holds it; try again when that has ended.",
        "connection": "Check that the server runs and that store.url is right.",
    }
    if isinstance(error.orig, sqlite3.IntegrityError):
        return None
    return next((mend for words, mend in mends.items() if words in text), None)
