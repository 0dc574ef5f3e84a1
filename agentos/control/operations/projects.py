"""Projects from outside: add, list, show."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection

from agentos.control.operations.operation import Here, Limit, Operation, Params
from agentos.control.operations.shown import Names, job_line, shown, task_line
from agentos.domain.states import ProjectState
from agentos.store import jobs, projects, tasks

Name = Annotated[str, Field(min_length=1, max_length=200)]


class ProjectAdd(Params):
    """A new project."""

    name: Name
    description: Annotated[str, Field(max_length=100_000)] = ""


class ProjectList(Params):
    """Which projects."""

    state: ProjectState | None = None
    limit: Limit = 50


class ProjectShow(Params):
    """One project, by its id or its name."""

    project: Annotated[int | str, Field(union_mode="left_to_right")]


def add(connection: Connection, params: ProjectAdd, here: Here) -> dict[str, Any]:
    """Add a project."""
    made = projects.add(connection, name=params.name, description=params.description, at=here.at)
    return {"project": shown(made)}


def list_all(connection: Connection, params: ProjectList, here: Here) -> dict[str, Any]:
    """The newest projects first."""
    found = projects.list_all(connection, state=params.state, limit=params.limit)
    return {"projects": [shown(project) for project in found]}


def show(connection: Connection, params: ProjectShow, here: Here) -> dict[str, Any]:
    """A project with its newest tasks and jobs."""
    project = projects.get(connection, params.project)
    names = Names(connection)
    its_tasks = tasks.list_all(connection, state=None, project_id=project.id, limit=50)
    its_jobs = jobs.list_all(connection, project_id=project.id, limit=50)
    return {
        "project": shown(project),
        "tasks": [task_line(task, names=names) for task in its_tasks],
        "jobs": [job_line(job, names=names) for job in its_jobs],
    }


PROJECT_OPERATIONS = (
    Operation(name="project.add", writes=True, params=ProjectAdd, run=add),
    Operation(name="project.list", writes=False, params=ProjectList, run=list_all),
    Operation(name="project.show", writes=False, params=ProjectShow, run=show),
)
