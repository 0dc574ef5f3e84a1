"""Which worker takes a job. Pure."""

from collections.abc import Sequence

from agentos.domain.states import WorkerState
from agentos.domain.work import Job, Worker, WorkerRole


def choose_worker(job: Job, idle: Sequence[Worker], *, model: str) -> Worker | None:
    """An idle worker that fits, or None when a new ephemeral one is to be made.

    In this order: the one the job names; one that belongs to its project; one of the same backend,
    model, persona and skills that belongs to no project.
    """
    if job.wants_worker_id is not None:
        return next((worker for worker in idle if worker.id == job.wants_worker_id), None)
    fitting = [worker for worker in idle if fits(worker, job, model=model)]
    if job.project_id is not None:
        for worker in fitting:
            if worker.project_id == job.project_id:
                return worker
    return next((worker for worker in fitting if worker.project_id is None), None)


def must_wait(job: Job, idle: Sequence[Worker]) -> bool:
    """Whether the job names a worker that is busy now."""
    return job.wants_worker_id is not None and all(
        worker.id != job.wants_worker_id for worker in idle
    )


def takes_jobs(worker: Worker) -> bool:
    """Whether a worker takes jobs from the queue, now or later."""
    is_there = worker.persistent and worker.state is not WorkerState.retired
    return is_there and worker.role is WorkerRole.work


def fits(worker: Worker, job: Job, *, model: str) -> bool:
    """Whether a worker is of the kind that the job asks for."""
    return (
        worker.backend == job.backend
        and worker.model == model
        and (job.persona is None or worker.persona == job.persona)
        and set(job.skills) <= set(worker.skills)
    )
