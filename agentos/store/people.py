"""People: the owner on each channel, and the strangers who knocked."""

from datetime import datetime

from sqlalchemy import Connection, select

from agentos.domain.people import Person, Role
from agentos.store import events, rows

PERSON = rows.table_of(Person)


def meet(
    connection: Connection, *, channel: str, external_id: str, name: str, at: datetime
) -> Person:
    """Who this is; somebody new is a stranger."""
    row = Person(
        channel=channel, external_id=external_id, name=name[:200], role=Role.stranger, seen_at=at
    )
    made = rows.add_once(connection, row, unique=("channel", "external_id"))
    if made is not None:
        return made
    found = find(connection, channel=channel, external_id=external_id)
    assert found is not None
    return found


def find(connection: Connection, *, channel: str, external_id: str) -> Person | None:
    """Who has this id on a channel, or None."""
    statement = select(PERSON).where(
        PERSON.c.channel == channel, PERSON.c.external_id == external_id
    )
    return rows.fetch_one(connection, Person, statement)


def find_owner(connection: Connection, channel: str) -> Person | None:
    """The owner on a channel, or None before the pairing."""
    statement = select(PERSON).where(PERSON.c.channel == channel, PERSON.c.role == Role.owner)
    return rows.fetch_one(connection, Person, statement)


def pair(
    connection: Connection, *, channel: str, external_id: str, name: str, at: datetime
) -> Person:
    """Make somebody the owner on a channel; the one before them is a stranger again."""
    before = find_owner(connection, channel)
    person = meet(connection, channel=channel, external_id=external_id, name=name, at=at)
    if before is not None and before.id != person.id and before.id is not None:
        rows.change(connection, Person, before.id, role=Role.stranger)
    assert person.id is not None
    rows.change(connection, Person, person.id, role=Role.owner)
    person.role = Role.owner
    events.record(connection, "owner_paired", at=at, channel=channel, external_id=external_id)
    return person
