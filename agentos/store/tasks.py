"""Tasks: outcomes somebody wants."""

from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.states import TASKS, Actor, TaskState, allowed, check
from agentos.domain.work import Task
from agentos.store import events, rows


def add(connection: Connection, task: Task) -> Task:
    """A new task."""
    made = rows.add(connection, task)
    events.record(connection, "task_added", at=task.created_at, task_id=made.id, title=task.title)
    return made


def get(connection: Connection, task_id: int) -> Task:
    """The task with this id. Raises NotFound."""
    return rows.get(connection, Task, task_id)


def list_all(
    connection: Connection, *, state: TaskState | None, project_id: int | None, limit: int
) -> list[Task]:
    """The newest tasks first."""
    return rows.newest(connection, Task, limit=limit, state=state, project_id=project_id)


def move(connection: Connection, task_id: int, new: TaskState, *, by: Actor, at: datetime) -> None:
    """Move a task on. Raises WrongState when `by` may not."""
    task = get(connection, task_id)
    check(TASKS, task.state, new, by=by, noun="task", name=task_id)
    rows.change(connection, Task, task_id, state=new, updated_at=at)
    events.record(connection, f"task_{new.value}", at=at, task_id=task_id)


def follow(
    connection: Connection, task_id: int | None, new: TaskState, *, by: Actor, at: datetime
) -> bool:
    """Let a task go where its job goes, where it can and `by` may move it; whether it moved."""
    if task_id is None:
        return False
    task = get(connection, task_id)
    if not allowed(TASKS, task.state, new, by=by):
        return False
    move(connection, task_id, new, by=by, at=at)
    return True
