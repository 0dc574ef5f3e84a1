"""How rows look from outside: plain JSON, times in UTC with their offset."""

from typing import Any

from sqlalchemy import Connection

from agentos.domain.row import Row
from agentos.domain.work import Job, Project, Task, Worker
from agentos.store import rows


def shown(row: Row, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """A row as JSON, in the order of its columns. Its long texts can be left out."""
    dumped = row.model_dump(mode="json", exclude=set(without))
    return {name: dumped[name] for name in type(row).model_fields if name in dumped}


class Names:
    """The names behind the ids of a list, each looked up once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[type[Row], int], str | None] = {}

    def project(self, project_id: int | None) -> str | None:
        """The name of a project."""
        return self._of(Project, project_id, "name")

    def task(self, task_id: int | None) -> str | None:
        """The title of a task."""
        return self._of(Task, task_id, "title")

    def worker(self, worker_id: int | None) -> str | None:
        """The name of a worker."""
        return self._of(Worker, worker_id, "name")

    def _of(self, kind: type[Row], row_id: int | None, field: str) -> str | None:
        if row_id is None:
            return None
        if (kind, row_id) not in self._known:
            row = rows.find(self._connection, kind, row_id)
            self._known[kind, row_id] = None if row is None else getattr(row, field)
        return self._known[kind, row_id]


def job_line(job: Job, *, names: Names) -> dict[str, Any]:
    """A job for a list: without its long texts."""
    line = shown(job, without=("prompt", "result"))
    line["project"] = names.project(job.project_id)
    return line


def task_line(task: Task, *, names: Names) -> dict[str, Any]:
    """A task for a list."""
    line = shown(task, without=("brief",))
    line["project"] = names.project(task.project_id)
    return line
