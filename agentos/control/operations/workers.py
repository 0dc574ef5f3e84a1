"""Workers from outside: list, show, add, retire."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from sqlalchemy import Connection

from agentos.backends.capabilities import check_known
from agentos.control.operations.operation import Here, Limit, Operation, Params
from agentos.control.operations.shown import Names, shown
from agentos.control.operations.tasks import NameOrId, project_id_of
from agentos.domain.work import Job, Run, Worker
from agentos.errors import BadRequest, Misconfigured
from agentos.skills import load
from agentos.store import jobs, rows, workers

_PLAIN = "begin with a letter or digit, and use only letters, digits,"


def _like(pattern: str, words: str) -> AfterValidator:
    """Refuse a text that the pattern does not fit, in words for people."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(words)
        return text

    return AfterValidator(check)


# A worker's name is a folder's, too.
WorkerName = Annotated[
    str,
    Field(max_length=100),
    _like(r"[A-Za-z0-9][A-Za-z0-9._-]*", f"{_PLAIN} dots, hyphens and underscores"),
]
# It becomes an argument of a command line: it must not look like an option.
Model = Annotated[
    str,
    Field(max_length=100),
    _like(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]*", f"{_PLAIN} and . _ - : / @ [ ]"),
]
Persona = Annotated[
    str, Field(max_length=100), _like(r"\w[\w.-]*", f"{_PLAIN} dots, hyphens and underscores")
]
Skills = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=100)]],
    Field(default_factory=list, max_length=50),
]
Backend = Annotated[str, Field(min_length=1, max_length=32)]


class WorkerAdd(Params):
    """A new worker that keeps its session from job to job."""

    name: WorkerName
    backend: Backend = "claude"
    model: Model | None = None
    persona: Persona | None = None
    skills: Skills
    project: NameOrId | None = None


class WorkerList(Params):
    """Which workers: with `retired`, also those that take no job any more."""

    retired: bool = False
    limit: Limit = 100


class WorkerShow(Params):
    """One worker, by its name."""

    worker: Annotated[str, Field(min_length=1, max_length=200)]


def check_skills(names: list[str], here: Here) -> None:
    """Raises BadRequest for a skill that is not there or cannot be read, in one line."""
    for name in names:
        try:
            load(here.home, name)
        except Misconfigured as error:
            raise BadRequest(problem=f"skill {name!r} cannot be used: {error}") from error


def check_new(params: WorkerAdd, here: Here) -> None:
    """What a new worker asks for must be there."""
    check_known(params.backend)
    check_skills(params.skills, here)


def add(connection: Connection, params: WorkerAdd, here: Here) -> dict[str, Any]:
    """Add a worker; its session begins with its first job."""
    made = workers.employ(
        connection,
        Worker(
            name=params.name,
            backend=params.backend,
            model=params.model or here.config.work_model(params.backend),
            persona=params.persona,
            skills=list(dict.fromkeys(params.skills)),
            project_id=project_id_of(connection, params.project),
            persistent=True,
            created_at=here.at,
        ),
    )
    return {"worker": worker_line(made, busy={}, here=here)}


def list_all(connection: Connection, params: WorkerList, here: Here) -> dict[str, Any]:
    """Who takes jobs, and what each works on."""
    busy = workers.at_work(connection)
    found = workers.list_here(connection, retired=params.retired, limit=params.limit)
    return {"workers": [worker_line(worker, busy=busy, here=here) for worker in found]}


def show(connection: Connection, params: WorkerShow, here: Here) -> dict[str, Any]:
    """A worker with its newest runs."""
    worker = workers.get_by_name(connection, params.worker)
    busy = workers.at_work(connection)
    runs = rows.newest(connection, Run, limit=10, worker_id=worker.id)
    told = worker_line(worker, busy=busy, here=here)
    told["project"] = Names(connection).project(worker.project_id)
    return {"worker": told, "runs": [_run(connection, run) for run in runs]}


def retire(connection: Connection, params: WorkerShow, here: Here) -> dict[str, Any]:
    """Retire a worker. What it works on it finishes; what waited for it goes to another."""
    worker = workers.get_by_name(connection, params.worker)
    working_on = workers.at_work(connection).get(worker.id or 0)
    freed = workers.retire(connection, worker, at=here.at)
    now = workers.get(connection, worker.id or 0)
    return {
        "worker": worker_line(now, busy=workers.at_work(connection), here=here),
        "finishes": None if working_on is None else _job(working_on),
        "freed": freed,
    }


def worker_line(worker: Worker, *, busy: Mapping[int, Job], here: Here) -> dict[str, Any]:
    """A worker for a list. `session_share` is how full its session is before it is handed over."""
    doing = busy.get(worker.id or 0)
    full = here.config.engine.session_tokens
    return {
        **shown(worker),
        "session_share": round(worker.session_tokens / full, 4),
        "working_on": None if doing is None else _job(doing),
    }


def _job(job: Job) -> dict[str, Any]:
    return {"id": job.id, "title": job.title}


def _run(connection: Connection, run: Run) -> dict[str, Any]:
    title = jobs.get(connection, run.job_id).title
    return {**shown(run, without=("token",)), "title": title}


WORKER_OPERATIONS = (
    Operation(name="worker.add", writes=True, params=WorkerAdd, run=add, check=check_new),
    Operation(name="worker.list", writes=False, params=WorkerList, run=list_all),
    Operation(name="worker.show", writes=False, params=WorkerShow, run=show),
    Operation(name="worker.retire", writes=True, params=WorkerShow, run=retire),
)
