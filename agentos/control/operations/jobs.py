"""Jobs from outside: add, list, cancel, and how far one is."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field
from sqlalchemy import Connection

from agentos.control.operations.operation import Limit, Operation, Params, RowId
from agentos.control.operations.shown import Names, job_line, shown
from agentos.control.operations.story import tell
from agentos.control.operations.tasks import NameOrId, Title, project_id_of
from agentos.control.wire import TERMINAL
from agentos.domain.states import (
    FINISHED_JOBS,
    TASKS,
    Actor,
    JobState,
    TaskState,
    WorkerState,
    allowed,
)
from agentos.domain.talk import Card
from agentos.domain.work import Job, Worker, WorkerRole
from agentos.errors import BadRequest, WrongState
from agentos.store import cards, events, jobs, rows, tasks, workers

Word = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
Conversation = Annotated[str, Field(max_length=200, pattern=r"^[a-z]+:\S+$")]


class JobAdd(Params):
    """A new job. `worker` names a persistent one; with `model` it is made when it is missing."""

    title: Title
    prompt: Annotated[str, Field(min_length=1, max_length=1_000_000)]
    project: NameOrId | None = None
    task: RowId | None = None
    priority: Annotated[int, Field(ge=0, le=5)] = 2
    backend: Annotated[str, Field(min_length=1, max_length=32)] = "claude"
    model: Word | None = None
    persona: Word | None = None
    skills: Annotated[list[Word], Field(default_factory=list, max_length=50)]
    # A persistent worker's name is a folder's, too.
    worker: (
        Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None
    ) = None
    needs: Annotated[list[RowId], Field(default_factory=list, max_length=200)]
    at: AwareDatetime | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    conversation: Conversation = TERMINAL
    key: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class JobList(Params):
    """Which jobs."""

    state: JobState | None = None
    project: NameOrId | None = None
    limit: Limit = 50


class JobShow(Params):
    """One job."""

    job: RowId


class JobLogs(Params):
    """What happened to a job after an event."""

    job: RowId
    since_event: Annotated[int, Field(ge=0)] = 0


def add(connection: Connection, params: JobAdd, *, at: datetime) -> dict[str, Any]:
    """Put a job into its lane. The same key again returns the job that has it."""
    title = " ".join(params.title.split())
    if not title or not params.prompt.strip():
        raise BadRequest(problem=f"a job needs a {'prompt' if title else 'title'}")
    task = None if params.task is None else tasks.get(connection, params.task)
    project_id = project_id_of(connection, params.project)
    if project_id is None and task is not None:
        project_id = task.project_id
    _check_needs(connection, params.needs)
    row = Job(
        key=params.key,
        title=title,
        prompt=params.prompt,
        priority=params.priority,
        project_id=project_id,
        task_id=None if task is None else task.id,
        conversation=params.conversation,
        backend=params.backend,
        model=params.model,
        persona=params.persona,
        skills=params.skills,
        wants_worker_id=_worker_id(connection, params, at=at),
        run_at=params.at,
        created_at=at,
    )
    if params.timeout_seconds is not None:
        row.timeout_seconds = params.timeout_seconds
    made = jobs.enqueue(connection, row, needs=dict.fromkeys(params.needs))
    return {"job": job_line(made, names=Names(connection))}


def list_all(connection: Connection, params: JobList, *, at: datetime) -> dict[str, Any]:
    """The newest jobs first, and how many there are in each state."""
    project_id = project_id_of(connection, params.project)
    names = Names(connection)
    found = jobs.list_all(connection, state=params.state, project_id=project_id, limit=params.limit)
    return {
        "jobs": [job_line(job, names=names) for job in found],
        "counts": jobs.count_by_state(connection),
    }


def show(connection: Connection, params: JobShow, *, at: datetime) -> dict[str, Any]:
    """The whole story of a job."""
    return tell(connection, jobs.get(connection, params.job))


def cancel(connection: Connection, params: JobShow, *, at: datetime) -> dict[str, Any]:
    """Cancel a job that has not ended, with its task and its open cards.

    Only the rows change here: the dispatcher sees them and ends the child.
    """
    job = jobs.get(connection, params.job)
    if job.state in FINISHED_JOBS:
        problem = "it has ended, so there is nothing to cancel"
        raise WrongState(noun="job", name=job.id, state=job.state.value, problem=problem)
    moved = jobs.move(connection, params.job, JobState.cancelled, by=Actor.owner, at=at)
    if job.task_id is not None:
        task = tasks.get(connection, job.task_id)
        if allowed(TASKS, task.state, TaskState.cancelled, by=Actor.owner):
            tasks.move(connection, job.task_id, TaskState.cancelled, by=Actor.owner, at=at)
    for card in rows.newest(connection, Card, limit=100, job_id=job.id):
        cards.cancel(connection, card.id or 0, at=at)
    return {"job": job_line(moved, names=Names(connection)), "was": job.state.value}


def logs(connection: Connection, params: JobLogs, *, at: datetime) -> dict[str, Any]:
    """The events of a job after the given one. The transcript is a file beside the rows."""
    job = jobs.get(connection, params.job)
    found = events.list_since(connection, params.since_event, job_id=params.job, limit=1000)
    return {
        "job": job_line(job, names=Names(connection)),
        "ended": job.state in FINISHED_JOBS,
        "events": [shown(event) for event in found],
    }


def _check_needs(connection: Connection, needs: list[int]) -> None:
    for needed in (jobs.get(connection, job_id) for job_id in needs):
        if needed.state in (JobState.failed, JobState.cancelled):
            problem = "a job that needs it would never start"
            raise WrongState(noun="job", name=needed.id, state=needed.state.value, problem=problem)


def _worker_id(connection: Connection, params: JobAdd, *, at: datetime) -> int | None:
    """The worker that was named. Naming a model, too, makes a missing one; a typo does not."""
    if params.worker is None:
        return None
    found = workers.find_by_name(connection, params.worker)
    if found is None and params.model is None:
        problem = f"there is no worker {params.worker!r}; name a model, too, to make one"
        raise BadRequest(problem=problem)
    if found is None:
        made = workers.add(
            connection,
            Worker(
                name=params.worker,
                backend=params.backend,
                model=params.model or "",
                persona=params.persona,
                skills=params.skills,
                persistent=True,
                created_at=at,
            ),
        )
        return made.id
    takes_jobs = found.persistent and found.role is WorkerRole.work
    if not takes_jobs or found.state is WorkerState.retired:
        raise BadRequest(problem=f"worker {found.name} does not take jobs by name")
    if found.backend != params.backend:
        problem = f"worker {found.name} runs on {found.backend}, not on {params.backend}"
        raise BadRequest(problem=problem)
    return found.id


JOB_OPERATIONS = (
    Operation(name="job.add", writes=True, params=JobAdd, run=add),
    Operation(name="job.list", writes=False, params=JobList, run=list_all),
    Operation(name="job.show", writes=False, params=JobShow, run=show),
    Operation(name="job.cancel", writes=True, params=JobShow, run=cancel),
    Operation(name="job.logs", writes=False, params=JobLogs, run=logs),
)
