"""Quiet hours in the rows: what is held, and how it is said when they end."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.states import OutboxState
from agentos.domain.talk import Outgoing
from agentos.domain.work import Job
from agentos.frontdesk import nights
from agentos.store import jobs, outbox, quiet, rows
from agentos.store.database import Database

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = datetime(2026, 11, 20, 23, tzinfo=UTC)
MORNING = datetime(2026, 11, 21, 6, tzinfo=UTC)
HOME, AWAY = "telegram:42", "telegram:43"


def said(connection: Connection, key: str, *, at: datetime = NIGHT, **more: Any) -> Outgoing:
    conversation = more.pop("conversation", HOME)
    return outbox.say(connection, key=key, conversation=conversation, text=key, at=at, **more)


def job(connection: Connection, priority: int) -> int:
    made = jobs.enqueue(connection, Job(title="t", prompt="p", priority=priority, created_at=NIGHT))
    return made.id or 0


def waiting(connection: Connection) -> list[tuple[str, bool]]:
    """What a channel is to say, in its order, and whether it is silent."""
    found = [
        row
        for row in rows.newest(connection, Outgoing, limit=100)
        if row.state is OutboxState.pending
    ]
    return [(row.text, row.silent) for row in reversed(found)]


def test_what_can_wait_is_held_and_said_in_its_order_after_one_line(
    any_database: Database,
) -> None:
    with any_database.begin() as connection:
        quiet.set_up(connection, daily="22:00-07:00", zone="Europe/Berlin")
        background, urgent = job(connection, 2), job(connection, 1)
        first = said(connection, "first", job_id=background)
        said(connection, "at once", job_id=urgent)
        said(connection, "notice", silent=True)
        said(connection, "elsewhere", job_id=background, conversation=AWAY)
        said(connection, "changed", edits_id=first.id, silent=True)
        assert said(connection, "first", job_id=background).id == first.id
        assert waiting(connection) == [("at once", False)]
        assert outbox.release(connection, digest=nights.digest, at=NIGHT) == 0
        assert outbox.any_held(connection)
        assert outbox.release(connection, digest=nights.digest, at=MORNING) == 4
        assert waiting(connection) == [
            ("🌙 2 things came while it was quiet:", False),
            ("first", False),
            ("at once", False),
            ("notice", False),
            ("🌙 1 thing came while it was quiet:", False),
            ("elsewhere", False),
            ("changed", True),
        ]
        assert not outbox.any_held(connection)
        assert outbox.release(connection, digest=nights.digest, at=MORNING) == 0


def test_by_day_nothing_is_held(any_database: Database) -> None:
    with any_database.begin() as connection:
        quiet.set_up(connection, daily="22:00-07:00", zone="Europe/Berlin")
        said(connection, "by day", job_id=job(connection, 5), at=MORNING)
        assert waiting(connection) == [("by day", False)]


def test_the_owner_sets_and_ends_it_in_the_chat(database: Database) -> None:
    with database.begin() as connection:

        def says(rest: str) -> str:
            return nights.quiet(connection, rest, zone=BERLIN, at=NIGHT)

        assert says("").startswith("It is not quiet now.")
        assert says("2h").startswith("Quiet until today at 02:00.")
        assert quiet.until(connection, now=NIGHT) == NIGHT + timedelta(hours=2)
        assert "every day" in says("22:00-7:00")
        assert says("") == "Quiet until today at 07:00. Daily: 22:00 to 07:00. /quiet off ends it."
        assert says("when I sleep").startswith("I can't read those hours")
        said(connection, "held", job_id=job(connection, 2))
        assert says("off").startswith("No quiet hours any more.")
        assert outbox.release(connection, digest=nights.digest, at=NIGHT) == 1


def test_who_spoke_last_is_right(database: Database) -> None:
    with database.begin() as connection:
        quiet.set_up(connection, daily="22:00-07:00", zone="UTC")
        quiet.choose(connection, zone="UTC", daily="")
        quiet.set_up(connection, daily="22:00-07:00", zone="UTC")
        assert quiet.until(connection, now=NIGHT) is None
        quiet.set_up(connection, daily="23:00-06:00", zone="UTC")
        assert quiet.until(connection, now=NIGHT) == datetime(2026, 11, 21, 6, tzinfo=UTC)
