"""Projects: areas of work."""

from datetime import datetime

from sqlalchemy import Connection, select

from agentos.domain.states import PROJECTS, Actor, ProjectState, check
from agentos.domain.work import Project
from agentos.errors import BadRequest, NotFound
from agentos.store import events, rows

PROJECT = rows.table_of(Project)


def add(connection: Connection, *, name: str, description: str, at: datetime) -> Project:
    """A new project. Raises BadRequest when the name is taken or empty."""
    name = name.strip()
    if not name:
        raise BadRequest(problem="a project needs a name")
    row = Project(name=name, description=description, created_at=at, updated_at=at)
    made = rows.add_once(connection, row, unique=("name",))
    if made is None:
        raise BadRequest(problem=f"there is a project named {name!r} already")
    events.record(connection, "project_added", at=at, project_id=made.id)
    return made


def get(connection: Connection, name_or_id: str | int) -> Project:
    """A project by its id or its exact name. Raises NotFound."""
    if isinstance(name_or_id, int) or name_or_id.isdigit():
        return rows.get(connection, Project, int(name_or_id))
    statement = select(PROJECT).where(PROJECT.c.name == name_or_id)
    found = rows.fetch_one(connection, Project, statement)
    if found is None:
        raise NotFound(noun="project", name=repr(name_or_id))
    return found


def list_all(connection: Connection, *, state: ProjectState | None, limit: int) -> list[Project]:
    """The newest projects first."""
    return rows.newest(connection, Project, limit=limit, state=state)


def move(
    connection: Connection, project_id: int, new: ProjectState, *, by: Actor, at: datetime
) -> None:
    """Move a project on. Raises WrongState when `by` may not."""
    project = rows.get(connection, Project, project_id)
    check(PROJECTS, project.state, new, by=by, noun="project", name=project_id)
    rows.change(connection, Project, project_id, state=new, updated_at=at)
    events.record(connection, f"project_{new.value}", at=at, project_id=project_id)
