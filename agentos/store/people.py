"""People: the owner on each channel, their guests, and the strangers who knocked."""

from datetime import datetime

from sqlalchemy import Connection, select

from agentos.domain.people import Person, Role
from agentos.errors import BadRequest
from agentos.store import events, rows

PERSON = rows.table_of(Person)


def meet(
    connection: Connection,
    *,
    channel: str,
    external_id: str,
    name: str,
    at: datetime,
    username: str = "",
) -> Person:
    """Who this is; somebody new is a stranger. Names change, so the newest is kept."""
    name, username = name[:200], username[:64]
    row = Person(
        channel=channel,
        external_id=external_id,
        name=name,
        username=username,
        role=Role.stranger,
        seen_at=at,
    )
    made = rows.add_once(connection, row, unique=("channel", "external_id"))
    if made is not None:
        return made
    found = find(connection, channel=channel, external_id=external_id)
    assert found is not None
    if (found.name, found.username) != (name, username):
        rows.change(connection, Person, found.id or 0, name=name, username=username)
        found.name, found.username = name, username
    return found


def get(connection: Connection, person_id: int) -> Person:
    """The person with this id. Raises BadRequest."""
    person = rows.find(connection, Person, person_id)
    if person is None:
        problem = f"there is no person {person_id}; `pm people list` shows who there is"
        raise BadRequest(problem=problem)
    return person


def find(connection: Connection, *, channel: str, external_id: str) -> Person | None:
    """Who has this id on a channel, or None."""
    statement = select(PERSON).where(
        PERSON.c.channel == channel, PERSON.c.external_id == external_id
    )
    return rows.fetch_one(connection, Person, statement)


def find_owner(connection: Connection, channel: str) -> Person | None:
    """The owner on a channel, or None before the pairing; the first of several."""
    statement = (
        select(PERSON)
        .where(PERSON.c.channel == channel, PERSON.c.role == Role.owner)
        .order_by(PERSON.c.id)
    )
    return rows.fetch_one(connection, Person, statement)


def list_all(connection: Connection, *, role: Role | None, limit: int) -> list[Person]:
    """The newest people first."""
    return rows.newest(connection, Person, limit=limit, role=role)


def admit(connection: Connection, person_id: int, role: Role, *, at: datetime) -> Person:
    """Give somebody a role, or take it from them."""
    person = get(connection, person_id)
    if person.role is not role:
        rows.change(connection, Person, person_id, role=role)
        events.record(
            connection,
            "person_admitted",
            at=at,
            person=person_id,
            role=role.value,
            name=person.name,
        )
        person.role = role
    return person


def pair(
    connection: Connection,
    *,
    channel: str,
    external_id: str,
    name: str,
    at: datetime,
    username: str = "",
) -> Person:
    """Make somebody the owner on a channel; the one before them is a stranger again."""
    before = find_owner(connection, channel)
    person = meet(
        connection, channel=channel, external_id=external_id, name=name, at=at, username=username
    )
    if before is not None and before.id != person.id and before.id is not None:
        rows.change(connection, Person, before.id, role=Role.stranger)
    assert person.id is not None
    rows.change(connection, Person, person.id, role=Role.owner)
    person.role = Role.owner
    events.record(connection, "owner_paired", at=at, channel=channel, external_id=external_id)
    return person
