"""Jobs from outside: add, list, cancel, try again, and how far one is."""

from typing import Annotated, Any

from pydantic import AwareDatetime, Field
from sqlalchemy import Connection

from agentos.backends.capabilities import check_known
from agentos.control.operations.operation import Here, Limit, Operation, Params, RowId
from agentos.control.operations.shown import Names, job_line, shown
from agentos.control.operations.story import tell
from agentos.control.operations.tasks import NameOrId, Title, project_id_of
from agentos.control.operations.workers import (
    Backend,
    Model,
    Persona,
    Skills,
    WorkerName,
    check_skills,
)
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
from agentos.domain.work import Job, NeedPolicy, Worker, WorkerRole
from agentos.errors import BadRequest, WrongState
from agentos.store import events, jobs, needs, outbox, progress, runs, tasks, workers

Conversation = Annotated[str, Field(max_length=200, pattern=r"^[a-z]+:\S+$")]


class JobAdd(Params):
    """A new job. `worker` names a persistent one; with `model` it is made when it is missing."""

    title: Title
    prompt: Annotated[str, Field(min_length=1, max_length=1_000_000)]
    project: NameOrId | None = None
    task: RowId | None = None
    priority: Annotated[int, Field(ge=0, le=5)] = 2
    # Claude, unless a worker is named that runs on something else.
    backend: Backend | None = None
    model: Model | None = None
    persona: Persona | None = None
    skills: Skills
    worker: WorkerName | None = None
    needs: Annotated[list[RowId], Field(default_factory=list, max_length=200)]
    if_needs_fail: NeedPolicy = NeedPolicy.skip
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


def check_new(params: JobAdd, here: Here) -> None:
    """What a new job asks for must be there."""
    if params.backend is not None:
        check_known(params.backend)
    check_skills(params.skills, here)


def add(connection: Connection, params: JobAdd, here: Here) -> dict[str, Any]:
    """Put a job into its lane. The same key again returns the job that has it."""
    title = " ".join(params.title.split())
    if not title or not params.prompt.strip():
        raise BadRequest(problem=f"a job needs a {'prompt' if title else 'title'}")
    task = None if params.task is None else tasks.get(connection, params.task)
    project_id = project_id_of(connection, params.project)
    if project_id is None and task is not None:
        project_id = task.project_id
    for needed in params.needs:
        needs.check_met_some_day(jobs.get(connection, needed), params.if_needs_fail)
    worker = _worker(connection, params, here)
    row = Job(
        key=params.key,
        title=title,
        prompt=params.prompt,
        priority=params.priority,
        project_id=project_id,
        task_id=None if task is None else task.id,
        conversation=params.conversation,
        backend=worker.backend if worker else params.backend or "claude",
        model=params.model,
        persona=params.persona,
        skills=params.skills,
        wants_worker_id=None if worker is None else worker.id,
        if_needs_fail=params.if_needs_fail,
        run_at=params.at,
        created_at=here.at,
    )
    if params.timeout_seconds is not None:
        row.timeout_seconds = params.timeout_seconds
    made = jobs.enqueue(connection, row, needs=dict.fromkeys(params.needs))
    return {"job": job_line(made, names=Names(connection))}


def list_all(connection: Connection, params: JobList, here: Here) -> dict[str, Any]:
    """The newest jobs first, and how many there are in each state."""
    project_id = project_id_of(connection, params.project)
    names = Names(connection)
    found = jobs.list_all(connection, state=params.state, project_id=project_id, limit=params.limit)
    return {
        "jobs": [job_line(job, names=names) for job in found],
        "counts": jobs.count_by_state(connection),
    }


def show(connection: Connection, params: JobShow, here: Here) -> dict[str, Any]:
    """The whole story of a job."""
    return tell(connection, jobs.get(connection, params.job))


def cancel(connection: Connection, params: JobShow, here: Here) -> dict[str, Any]:
    """Cancel a job that has not ended, with its task and its open cards.

    Only the rows change here: the dispatcher sees them and ends the child.
    """
    job = jobs.get(connection, params.job)
    if job.state in FINISHED_JOBS:
        problem = "it has ended, so there is nothing to cancel"
        raise WrongState(noun="job", name=job.id, state=job.state.value, problem=problem)
    moved = jobs.move(connection, params.job, JobState.cancelled, by=Actor.owner, at=here.at)
    if job.task_id is not None:
        task = tasks.get(connection, job.task_id)
        if allowed(TASKS, task.state, TaskState.cancelled, by=Actor.owner):
            tasks.move(connection, job.task_id, TaskState.cancelled, by=Actor.owner, at=here.at)
    _say_cancelled(connection, job, here)
    return {"job": job_line(moved, names=Names(connection)), "was": job.state.value}


def retry(connection: Connection, params: JobShow, here: Here) -> dict[str, Any]:
    """Queue a failed job again, with its task. What failed before does not count against it.

    `left` are jobs that were cancelled because this one had failed; those stay so.
    """
    job = jobs.get(connection, params.job)
    if job.state is not JobState.failed:
        problem = "only a job that failed can be tried again"
        raise WrongState(noun="job", name=job.id, state=job.state.value, problem=problem)
    runs.count_anew(connection, job, at=here.at)
    jobs.move(connection, params.job, JobState.queued, by=Actor.owner, at=here.at)
    progress.reopen(connection, params.job)
    if job.wants_worker_id is not None:
        worker = workers.get(connection, job.wants_worker_id)
        if worker.state is WorkerState.retired:
            workers.let_go(connection, worker, job_id=params.job)
    dependents = [jobs.get(connection, one) for one, _ in needs.edges_to(connection, [params.job])]
    left = [one for one in dependents if one.state is JobState.cancelled]
    names = Names(connection)
    return {
        "job": job_line(jobs.get(connection, params.job), names=names),
        "left": [{"id": one.id, "title": one.title} for one in left],
    }


def logs(connection: Connection, params: JobLogs, here: Here) -> dict[str, Any]:
    """The events of a job after the given one. The transcript is a file beside the rows."""
    job = jobs.get(connection, params.job)
    found = events.list_since(connection, params.since_event, job_id=params.job, limit=1000)
    return {
        "job": job_line(job, names=Names(connection)),
        "ended": job.state in FINISHED_JOBS,
        "events": [shown(event) for event in found],
    }


def _say_cancelled(connection: Connection, job: Job, here: Here) -> None:
    """Whoever asked for it hears that it will not come; once."""
    if job.conversation is None:
        return
    was = "was running and is stopped" if job.state is JobState.running else "is cancelled"
    outbox.say(
        connection,
        key=f"cancelled:{job.id}",
        conversation=job.conversation,
        text=f"✕ **{job.title}** {was}.",
        at=here.at,
        job_id=job.id,
        message_id=job.message_id,
    )


def _worker(connection: Connection, params: JobAdd, here: Here) -> Worker | None:
    """The worker that was named. Naming a model, too, makes a missing one; a typo does not."""
    if params.worker is None:
        return None
    found = workers.find_by_name(connection, params.worker)
    if found is None or found.state is WorkerState.retired:
        if params.model is None:
            there = "there is no worker" if found is None else "retired is worker"
            raise BadRequest(
                problem=f"{there} {params.worker!r}; `pm worker list` shows who there is, "
                "and with --model a new one is made"
            )
        return workers.employ(
            connection,
            Worker(
                name=params.worker,
                backend=params.backend or "claude",
                model=params.model,
                persona=params.persona,
                skills=params.skills,
                persistent=True,
                created_at=here.at,
            ),
        )
    if not found.persistent or found.role is not WorkerRole.work:
        raise BadRequest(problem=f"worker {found.name} does not take jobs by name")
    if params.backend is not None and found.backend != params.backend:
        problem = f"worker {found.name} runs on {found.backend}, not on {params.backend}"
        raise BadRequest(problem=problem)
    return found


JOB_OPERATIONS = (
    Operation(name="job.add", writes=True, params=JobAdd, run=add, check=check_new),
    Operation(name="job.list", writes=False, params=JobList, run=list_all),
    Operation(name="job.show", writes=False, params=JobShow, run=show),
    Operation(name="job.cancel", writes=True, params=JobShow, run=cancel),
    Operation(name="job.retry", writes=True, params=JobShow, run=retry),
    Operation(name="job.logs", writes=False, params=JobLogs, run=logs),
)
