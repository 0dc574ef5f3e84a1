"""Nights: the consolidations there were, and how far the one came that is under way."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from agentos.domain.memory import Night
from agentos.store import events, rows

NIGHT = rows.table_of(Night)
_NEWEST = NIGHT.c.id.desc()


def begin(connection: Connection, *, key: str, at: datetime) -> Night:
    """The night that was not finished, or one under this key; begun only once."""
    unfinished = find_unfinished(connection)
    if unfinished is not None:
        return unfinished
    made = rows.add_once(connection, Night(key=key, started_at=at), unique=("key",))
    if made is not None:
        events.record(connection, "night_begun", at=at, night=key)
        return made
    found = rows.fetch_one(connection, Night, select(NIGHT).where(NIGHT.c.key == key))
    assert found is not None
    return found


def note(connection: Connection, night: Night, step: str, counts: Mapping[str, int]) -> Night:
    """Write down that a step is done, and what it counted."""
    steps, told = [*night.steps, step], {**night.counts, **counts}
    rows.change(connection, Night, night.id or 0, steps=steps, counts=told)
    return rows.get(connection, Night, night.id or 0)


def end(connection: Connection, night: Night, *, at: datetime) -> Night:
    """Every step is done."""
    rows.change(connection, Night, night.id or 0, ended_at=at)
    events.record(connection, "night_ended", at=at, night=night.key)
    return rows.get(connection, Night, night.id or 0)


def find_unfinished(connection: Connection) -> Night | None:
    """The one that is under way, or was when the process ended."""
    statement = select(NIGHT).where(NIGHT.c.ended_at.is_(None)).order_by(NIGHT.c.id).limit(1)
    return rows.fetch_one(connection, Night, statement)


def find(connection: Connection, key: str) -> Night | None:
    """The one with this key, or None."""
    return rows.fetch_one(connection, Night, select(NIGHT).where(NIGHT.c.key == key))


def find_last(connection: Connection) -> Night | None:
    """The last one that was finished, or None."""
    statement = select(NIGHT).where(NIGHT.c.ended_at.is_not(None)).order_by(_NEWEST).limit(1)
    return rows.fetch_one(connection, Night, statement)
