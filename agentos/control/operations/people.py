"""People from outside: who may talk to this system, who has knocked, and who is let in."""

from typing import Any, Literal

from sqlalchemy import Connection

from agentos.control.operations.operation import Here, Limit, Operation, Params, RowId
from agentos.control.operations.shown import shown
from agentos.domain.people import Person, Role
from agentos.errors import BadRequest
from agentos.store import knocks, people


class PeopleList(Params):
    """Which people."""

    role: Role | None = None
    limit: Limit = 50


class PeopleApprove(Params):
    """Who is let in, and as what."""

    person: RowId
    role: Literal["owner", "guest"] = "guest"


class PeopleRemove(Params):
    """Who is not let in any more."""

    person: RowId


def list_all(connection: Connection, params: PeopleList, here: Here) -> dict[str, Any]:
    """The newest first."""
    found = people.list_all(connection, role=params.role, limit=params.limit)
    return {"people": [shown(person) for person in found]}


def approve(connection: Connection, params: PeopleApprove, here: Here) -> dict[str, Any]:
    """Let somebody in, and tell them."""
    before, role = people.get(connection, params.person), Role(params.role)
    if _is_set(before, here) and role is not Role.owner:
        raise BadRequest(problem=_IS_SET.format(person=params.person))
    person = people.admit(connection, params.person, role, at=here.at)
    if before.role is not role:
        knocks.close(connection, person, at=here.at)
        knocks.welcome(connection, person, at=here.at)
    return {"person": shown(person)}


def remove(connection: Connection, params: PeopleRemove, here: Here) -> dict[str, Any]:
    """Let somebody in no more; only an owner may come back, by a new pairing code."""
    before = people.get(connection, params.person)
    if _is_set(before, here):
        raise BadRequest(problem=_IS_SET.format(person=params.person))
    role = Role.stranger if before.role is Role.owner else Role.ignored
    person = people.admit(connection, params.person, role, at=here.at)
    knocks.close(connection, person, at=here.at)
    return {"person": shown(person)}


_IS_SET = "person {person} is the owner by telegram.owner_id; change that setting instead"


def _is_set(person: Person, here: Here) -> bool:
    """Whether the settings name this one as the owner."""
    named = here.config.telegram.owner_id
    return person.channel == "telegram" and person.external_id == str(named)


PEOPLE_OPERATIONS = (
    Operation(name="people.list", writes=False, params=PeopleList, run=list_all),
    Operation(name="people.approve", writes=True, params=PeopleApprove, run=approve),
    Operation(name="people.remove", writes=True, params=PeopleRemove, run=remove),
)
