"""Bindings: which project a conversation belongs to."""

from datetime import datetime

from sqlalchemy import Connection, delete, select

from agentos.domain.talk import Binding
from agentos.domain.work import Project
from agentos.store import events, rows

BINDING = rows.table_of(Binding)
PROJECT = rows.table_of(Project)


def bind(connection: Connection, conversation: str, project_id: int, *, at: datetime) -> None:
    """Let a conversation belong to a project, and to no other."""
    connection.execute(delete(BINDING).where(BINDING.c.conversation == conversation))
    rows.add(connection, Binding(conversation=conversation, project_id=project_id, created_at=at))
    events.record(connection, "conversation_bound", at=at, project_id=project_id)


def unbind(connection: Connection, conversation: str) -> bool:
    """Let a conversation belong to no project; whether it did."""
    gone = connection.execute(delete(BINDING).where(BINDING.c.conversation == conversation))
    return gone.rowcount > 0


def find(connection: Connection, conversation: str | None) -> Project | None:
    """The project of a conversation, or None."""
    statement = (
        select(PROJECT)
        .join(BINDING, BINDING.c.project_id == PROJECT.c.id)
        .where(BINDING.c.conversation == conversation)
    )
    return rows.fetch_one(connection, Project, statement)


def find_id(connection: Connection, conversation: str | None) -> int | None:
    """The id of the project of a conversation, or None."""
    project = find(connection, conversation)
    return None if project is None else project.id
