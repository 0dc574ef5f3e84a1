"""Pauses: times in which no new work starts. They are rows, so that a restart keeps them."""

from datetime import datetime

from sqlalchemy import Connection, or_, select, update

from agentos.domain.capacity import Pause
from agentos.store import events, rows
from agentos.store.prepared import Prepared

PAUSE = rows.table_of(Pause)
# Asked at each dispatch, so built once.
_OPEN = Prepared(select(PAUSE).where(PAUSE.c.ended_at.is_(None)).order_by(PAUSE.c.id.desc()))


def begin(connection: Connection, *, until: datetime | None, at: datetime) -> Pause:
    """Start nothing new from now on; it takes the place of a pause that is on."""
    end(connection, at=at)
    made = rows.add(connection, Pause(began_at=at, until=until))
    events.record(connection, "paused", at=at, until=until.isoformat() if until else None)
    return made


def end(connection: Connection, *, at: datetime) -> bool:
    """Go on; whether there was a pause."""
    running = or_(PAUSE.c.until.is_(None), PAUSE.c.until > at)
    was_on = connection.execute(
        select(PAUSE.c.id).where(PAUSE.c.ended_at.is_(None), running).limit(1)
    ).first()
    connection.execute(update(PAUSE).where(PAUSE.c.ended_at.is_(None)).values(ended_at=at))
    if was_on is not None:
        events.record(connection, "resumed", at=at)
    return was_on is not None


def find(connection: Connection, *, now: datetime) -> Pause | None:
    """The pause that is on, or None."""
    found = _OPEN.fetch(connection, Pause, {})
    return next((one for one in found if one.until is None or one.until > now), None)
