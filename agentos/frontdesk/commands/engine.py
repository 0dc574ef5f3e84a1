"""/pause and /resume: no new work starts for a while; what runs goes on."""

from datetime import timedelta

from sqlalchemy import Connection

from agentos.frontdesk import words
from agentos.frontdesk.commands.catalogue import Asked
from agentos.store import pauses

_LONGEST = 60 * 24 * 30


def pause(connection: Connection, asked: Asked) -> str:
    """Begin a pause, for so many minutes or until /resume."""
    rest = asked.rest.split(maxsplit=1)[0] if asked.rest else ""
    if rest and not (rest.isascii() and rest.isdigit() and 0 < int(rest[:9]) <= _LONGEST):
        return "Say /pause, or /pause 30 for half an hour (30 days at most)."
    until = asked.at + timedelta(minutes=int(rest)) if rest else None
    pauses.begin(connection, until=until, at=asked.at)
    return f"{paused_words(connection, asked)} What runs goes on; reminders come as ever."


def resume(connection: Connection, asked: Asked) -> str:
    """End a pause."""
    if not pauses.end(connection, at=asked.at):
        return "There is no pause; work starts as it comes."
    return "▶ Work starts again."


def paused_words(connection: Connection, asked: Asked) -> str:
    """That there is a pause and until when; empty when there is none."""
    found = pauses.find(connection, now=asked.at)
    if found is None:
        return ""
    if found.until is None:
        return "⏸ Paused: no new work starts until /resume."
    now = asked.at.astimezone(asked.zone)
    until = words.moment(found.until.astimezone(asked.zone), now=now)
    return f"⏸ Paused: no new work starts until {until.removeprefix('on ')} (or /resume)."
