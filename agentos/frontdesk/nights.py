"""Quiet hours as the owner speaks of them: /quiet 22:00-7:00, /quiet 2h, /quiet off."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.quiet import read_hours
from agentos.frontdesk import words
from agentos.store import quiet as hours

_SPAN = re.compile(r"(?:for )?(?P<n>\d{1,3})\s*(?P<unit>m|min|minutes?|h|hours?|d|days?)")
_MINUTES = {"m": 1, "h": 60, "d": 1440}
_HELD = "I hold back what can wait; reminders, urgent work and answers to you still come."
_HOW = "/quiet 22:00-7:00 sets it for every day, /quiet 2h for now, /quiet off ends it."


def quiet(connection: Connection, rest: str, *, zone: ZoneInfo, at: datetime) -> str:
    """Do what the command says; returns what to say to it."""
    wish = " ".join(rest.lower().split())
    if not wish:
        return _told(connection, zone=zone, at=at)
    if wish in ("off", "end", "no", "stop"):
        hours.choose(connection, zone=zone.key, daily="", once=None)
        return "No quiet hours any more. What I held back comes now."
    if match := _SPAN.fullmatch(wish):
        once = at + timedelta(minutes=int(match["n"]) * _MINUTES[match["unit"][0]])
        hours.choose(connection, zone=zone.key, once=once)
        return f"Quiet until {_moment(once, zone=zone, at=at)}. {_HELD}"
    try:
        daily = str(read_hours(wish))
    except ValueError as error:
        return f"I can't read those hours: {error}. {_HOW}"
    hours.choose(connection, zone=zone.key, daily=daily)
    return f"Quiet from {daily.replace('-', ' to ')} on every day ({zone.key}). {_HELD}"


def digest(count: int) -> str:
    """Ahead of what was held back."""
    return f"🌙 {words.counted(count, 'thing')} came while it was quiet:"


def _told(connection: Connection, *, zone: ZoneInfo, at: datetime) -> str:
    found = hours.find(connection)
    until = hours.until(connection, now=at)
    daily = f" Daily: {found.daily.replace('-', ' to ')}." if found and found.daily else ""
    if until is not None:
        return f"Quiet until {_moment(until, zone=zone, at=at)}.{daily} /quiet off ends it."
    return f"It is not quiet now.{daily} {_HOW}"


def _moment(when: datetime, *, zone: ZoneInfo, at: datetime) -> str:
    return words.moment(when.astimezone(zone), now=at.astimezone(zone)).removeprefix("on ")
