"""The owner's quiet hours, kept where what is said is written."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from agentos.domain.quiet import Quiet, quiet_until, read_hours
from agentos.store import rows
from agentos.store.prepared import Prepared

QUIET = rows.table_of(Quiet)
# All that is said asks this first.
_NEWEST = Prepared(select(QUIET).order_by(QUIET.c.id.desc()))


def find(connection: Connection) -> Quiet | None:
    """The hours there are, or None when nobody has ever set any."""
    found = _NEWEST.fetch(connection, Quiet, {})
    return found[0] if found else None


def until(connection: Connection, *, now: datetime) -> datetime | None:
    """When the quiet ends that is now, or None when it is not quiet."""
    found = find(connection)
    if found is None or not (found.daily or found.until):
        return None
    hours = read_hours(found.daily) if found.daily else None
    return quiet_until(hours, once=found.until, zone=ZoneInfo(found.zone), now=now)


def set_up(connection: Connection, *, daily: str, zone: str) -> None:
    """At each start: the zone, and the hours of the settings when those have changed."""
    found = find(connection)
    if found is None:
        rows.add(connection, Quiet(daily=daily, configured=daily, zone=zone))
    elif found.configured != daily:
        _change(connection, found, daily=daily, configured=daily, zone=zone)
    elif found.zone != zone:
        _change(connection, found, zone=zone)


def choose(
    connection: Connection, *, zone: str, daily: str | None = None, once: datetime | None = None
) -> None:
    """The owner says when to be quiet; daily hours that are not named stay."""
    found = find(connection)
    if found is None:
        found = rows.add(connection, Quiet(zone=zone))
    _change(connection, found, daily=found.daily if daily is None else daily, until=once)


def _change(connection: Connection, found: Quiet, **values: Any) -> None:
    rows.change(connection, Quiet, found.id or 0, **values)
