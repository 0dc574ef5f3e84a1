"""`/project`: which project a conversation belongs to."""

from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.states import ProjectState
from agentos.domain.talk import Message
from agentos.domain.work import Project
from agentos.errors import BadRequest
from agentos.frontdesk.lines import cut
from agentos.store import bindings, projects

_MOST_NAMES = 20
_OFF = ("off", "none", "-")


def project(connection: Connection, message: Message, rest: str, at: datetime) -> str:
    """Show, bind or unbind; `/project new NAME` makes one."""
    wish, _, name = rest.partition(" ")
    if not rest:
        return _shown(connection, message.conversation)
    if rest.lower() in _OFF:
        gone = bindings.unbind(connection, message.conversation)
        return "This chat belongs to no project now." if gone else _NONE
    if wish.lower() == "new" and name.strip():
        return _made(connection, message.conversation, name.strip(), at=at)
    active = projects.list_all(connection, state=ProjectState.active, limit=10_000)
    found = [one for one in active if one.name.casefold() == rest.casefold()]
    if not found:
        names = ", ".join(cut(one.name, 40) for one in active[:_MOST_NAMES])
        there = f" There is: {names}." if names else ""
        told = cut(rest, 60)
        return f"I know no project {told}.{there} `/project new {told}` makes it."
    return _bound(connection, message.conversation, found[0], at=at)


_NONE = "This chat belongs to no project. Say /project and a name to change that."


def _shown(connection: Connection, conversation: str) -> str:
    found = bindings.find(connection, conversation)
    if found is None:
        return _NONE
    return f"This chat belongs to **{cut(found.name, 80)}**. /project off ends that."


def _made(connection: Connection, conversation: str, name: str, *, at: datetime) -> str:
    try:
        made = projects.add(connection, name=name[:200], description="", at=at)
    except BadRequest as error:
        said = str(error)
        return f"{said[:1].upper()}{said[1:]}."
    return _bound(connection, conversation, made, at=at)


def _bound(connection: Connection, conversation: str, found: Project, *, at: datetime) -> str:
    bindings.bind(connection, conversation, found.id or 0, at=at)
    name = cut(found.name, 80)
    return f"This chat belongs to **{name}** now: what you ask for here is work of that project."
