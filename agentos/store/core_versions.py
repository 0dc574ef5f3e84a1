"""The versions of the core file: what it said, who changed it, and what is proposed."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from agentos.domain.memory import CoreState, CoreVersion
from agentos.errors import NotFound
from agentos.store import events, rows

VERSION = rows.table_of(CoreVersion)
_KEPT = VERSION.c.state == CoreState.kept
# By their ids and not by the clock, which may have been set back.
_NEWEST = VERSION.c.id.desc()


def add(connection: Connection, row: CoreVersion) -> CoreVersion:
    """Keep a version, or a proposal of one."""
    made = rows.add(connection, row)
    events.record(connection, f"core_{row.state.value}", at=row.at, version_id=made.id, by=row.by)
    return made


def get(connection: Connection, version_id: int) -> CoreVersion:
    """The version with this id. Raises NotFound."""
    found = rows.find(connection, CoreVersion, version_id)
    if found is None:
        raise NotFound(noun="core version", name=version_id)
    return found


def find_newest(connection: Connection, *, before: int | None = None) -> CoreVersion | None:
    """The version that is in the file, or None; `before` a proposal: the one it was made from."""
    statement = select(VERSION).where(_KEPT).order_by(_NEWEST).limit(1)
    if before is not None:
        statement = statement.where(VERSION.c.id < before)
    return rows.fetch_one(connection, CoreVersion, statement)


def find_different(connection: Connection, version: CoreVersion) -> CoreVersion | None:
    """The newest version that says something else than this one, or None."""
    statement = select(VERSION).where(_KEPT, VERSION.c.text != version.text)
    return rows.fetch_one(connection, CoreVersion, statement.order_by(_NEWEST).limit(1))


def settle(connection: Connection, version_id: int, state: CoreState, *, at: datetime) -> None:
    """Write down the owner's answer to a proposal."""
    rows.change(connection, CoreVersion, version_id, state=state, answered_at=at)
    events.record(connection, f"core_{state.value}", at=at, version_id=version_id)


def list_by(connection: Connection, by: str) -> list[CoreVersion]:
    """All of one author, oldest first."""
    statement = select(VERSION).where(VERSION.c.by == by).order_by(VERSION.c.id)
    return rows.fetch(connection, CoreVersion, statement)


def withdraw(connection: Connection, version_id: int, *, at: datetime) -> None:
    """Take a proposal back that nobody can say yes to any more: it may be made anew."""
    rows.change(connection, CoreVersion, version_id, by="withdrawn")
    settle(connection, version_id, CoreState.refused, at=at)


def erase(connection: Connection, texts: Iterable[str]) -> int:
    """Empty the proposals that hold one of the texts; the file itself is the owner's to edit."""
    erased = 0
    for text in texts:
        holds = (VERSION.c.state != CoreState.kept, VERSION.c.text.contains(text, autoescape=True))
        gone = update(VERSION).where(*holds).values(text="", state=CoreState.refused)
        erased += connection.execute(gone).rowcount
    return erased


def list_all(connection: Connection, *, limit: int) -> list[CoreVersion]:
    """The newest first, proposals among them."""
    return rows.newest(connection, CoreVersion, limit=limit)


def count(connection: Connection) -> int:
    """How many there are."""
    return int(connection.execute(select(func.count()).select_from(VERSION)).scalar_one())
