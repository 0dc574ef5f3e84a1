"""What all tests share: a home, a database, a clock that can be moved, the stand-ins."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.process import StandinProcess
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, token or setting of the person who runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith(("AGENTOS_", "ANTHROPIC_", "CLAUDE_")):
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
    async with await StandinProcess.start("messages", args=["--with-parent"]) as standin:
        yield standin
