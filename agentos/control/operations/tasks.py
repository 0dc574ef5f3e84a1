"""Tasks from outside: add, list, show."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection

from agentos.control.operations.operation import Here, Limit, Operation, Params, RowId
from agentos.control.operations.shown import Names, job_line, shown, task_line
from agentos.domain.states import TaskState
from agentos.domain.work import Job, Task, TaskKind
from agentos.errors import BadRequest
from agentos.store import projects, reviews, rows, tasks

Title = Annotated[str, Field(min_length=1, max_length=300)]
NameOrId = Annotated[int | str, Field(union_mode="left_to_right")]


class TaskAdd(Params):
    """A new task; its work is added as jobs."""

    title: Title
    kind: TaskKind = TaskKind.ops
    brief: Annotated[str, Field(max_length=1_000_000)] = ""
    project: NameOrId | None = None
    verify_command: Annotated[str, Field(max_length=10_000)] | None = None


class TaskList(Params):
    """Which tasks."""

    state: TaskState | None = None
    project: NameOrId | None = None
    limit: Limit = 50


class TaskShow(Params):
    """One task."""

    task: RowId


def add(connection: Connection, params: TaskAdd, here: Here) -> dict[str, Any]:
    """Add a task."""
    title = " ".join(params.title.split())
    if not title:
        raise BadRequest(problem="a task needs a title")
    row = Task(
        title=title,
        kind=params.kind,
        brief=params.brief,
        project_id=project_id_of(connection, params.project),
        verify_command=params.verify_command,
        created_at=here.at,
        updated_at=here.at,
    )
    return {"task": task_line(tasks.add(connection, row), names=Names(connection))}


def list_all(connection: Connection, params: TaskList, here: Here) -> dict[str, Any]:
    """The newest tasks first."""
    project_id = project_id_of(connection, params.project)
    names = Names(connection)
    found = tasks.list_all(
        connection, state=params.state, project_id=project_id, limit=params.limit
    )
    return {"tasks": [task_line(task, names=names) for task in found]}


def show(connection: Connection, params: TaskShow, here: Here) -> dict[str, Any]:
    """A task with its jobs and what was judged of it."""
    task = tasks.get(connection, params.task)
    names = Names(connection)
    its_jobs = rows.newest(connection, Job, limit=100, task_id=task.id)
    judged = reviews.list_for_task(connection, params.task)
    return {
        "task": {**task_line(task, names=names), "brief": task.brief},
        "jobs": [job_line(job, names=names) for job in its_jobs],
        "reviews": [shown(review) for review in judged],
    }


def project_id_of(connection: Connection, name_or_id: int | str | None) -> int | None:
    """The id of a project that was named, or None when none was. Raises NotFound."""
    return None if name_or_id is None else projects.get(connection, name_or_id).id


TASK_OPERATIONS = (
    Operation(name="task.add", writes=True, params=TaskAdd, run=add),
    Operation(name="task.list", writes=False, params=TaskList, run=list_all),
    Operation(name="task.show", writes=False, params=TaskShow, run=show),
)
