"""Settling a run: its outcome, its cost, the job's next state and what is to be said, as one.

All functions here run inside one write transaction. If another run has taken the place of this
one, the first of them raises LeaseLost and nothing is changed.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from agentos.domain.frames import Failure, TurnUsage
from agentos.domain.ledger import Purpose, Usage
from agentos.domain.states import Actor, JobState, RunState, TaskState, WorkerState
from agentos.domain.talk import OutboxKind
from agentos.domain.work import Artefact, Job, Run, Worker
from agentos.engine import retrying
from agentos.engine.collecting import Collection
from agentos.store import artefacts, jobs, outbox, runs, tasks, usage, workers


@dataclass(frozen=True)
class Ending:
    """How a run ended, as its supervisor saw it."""

    state: RunState
    text: str = ""
    failure: Failure | None = None
    problem: str = ""
    retry_after: timedelta | None = None
    usage: TurnUsage = field(default_factory=TurnUsage)
    session_id: str | None = None


def settle(
    connection: Connection,
    run: Run,
    ending: Ending,
    *,
    found: Collection,
    at: datetime,
    max_attempts: int,
) -> JobState:
    """Write all that follows from the end of a run; returns the job's new state."""
    runs.settle(connection, run, ending.state, at=at, detail=ending.problem or None)
    job = jobs.get(connection, run.job_id)
    worker = workers.get(connection, run.worker_id)
    _release(connection, worker, ending, at=at)
    _record_usage(connection, job, run, worker, ending, at=at)
    if job.state is not JobState.running:
        return job.state  # it was cancelled meanwhile; that has been said by who did it
    if ending.state is RunState.done:
        return _finish(connection, job, run, ending, found, at=at)
    # Not the attempts: those that a restart interrupted are no failures of the job's.
    failures = runs.count_ended(connection, run.job_id, RunState.failed)
    again = retrying.next_try(
        ending.failure, attempts=failures, max_attempts=max_attempts, told=ending.retry_after
    )
    if again is not None:
        run_at = at + again if again else None
        jobs.move(connection, run.job_id, JobState.queued, by=Actor.engine, at=at, run_at=run_at)
        tasks.follow_job(connection, job.task_id, TaskState.pending, at=at)
        return JobState.queued
    return _give_up(connection, job, ending, at=at)


def remind(connection: Connection, job: Job, *, at: datetime) -> None:
    """A reminder is due: it needs no run, only to be said."""
    assert job.id is not None
    jobs.move(connection, job.id, JobState.done, by=Actor.engine, at=at, result=job.prompt)
    if job.conversation is not None:
        outbox.say(
            connection,
            key=f"reminder:{job.id}",
            conversation=job.conversation,
            text=f"⏰ {job.prompt}",
            at=at,
            job_id=job.id,
        )


def abandon(connection: Connection, job: Job, *, lost_id: int, at: datetime) -> None:
    """A job needs one that ended without being done, so it will never start."""
    assert job.id is not None
    error = f"it needed #{lost_id}, which did not get done"
    jobs.move(connection, job.id, JobState.cancelled, by=Actor.engine, at=at, error=error)
    tasks.follow_job(connection, job.task_id, TaskState.cancelled, at=at)
    if job.conversation is not None and job.plan_id is None:  # a plan tells it at its end
        outbox.say(
            connection,
            key=f"abandoned:{job.id}",
            conversation=job.conversation,
            text=f"**{job.title}** was not started: {error}.",
            at=at,
            job_id=job.id,
        )


def _release(connection: Connection, worker: Worker, ending: Ending, *, at: datetime) -> None:
    assert worker.id is not None
    if worker.state is WorkerState.retired:
        return
    state = WorkerState.idle if worker.persistent else WorkerState.retired
    workers.change(
        connection,
        worker.id,
        state=state,
        session_id=ending.session_id or worker.session_id,
        session_job_count=worker.session_job_count + 1,
        last_used_at=at,
    )


def _record_usage(
    connection: Connection, job: Job, run: Run, worker: Worker, ending: Ending, *, at: datetime
) -> None:
    used = ending.usage
    if not (used.input_tokens or used.output_tokens or used.cost_usd):
        return
    row = Usage(
        purpose=Purpose.work,
        backend=worker.backend,
        model=used.model or worker.model,
        job_id=job.id,
        run_id=run.id,
        task_id=job.task_id,
        project_id=job.project_id,
        at=at,
        **used.model_dump(exclude={"model"}),
    )
    usage.record(connection, row)


def _finish(
    connection: Connection, job: Job, run: Run, ending: Ending, found: Collection, *, at: datetime
) -> JobState:
    assert job.id is not None and run.id is not None
    jobs.move(connection, job.id, JobState.done, by=Actor.engine, at=at, result=ending.text)
    tasks.follow_job(connection, job.task_id, TaskState.ready, at=at)
    if job.conversation is not None:
        outbox.say(
            connection,
            key=f"result:{job.id}",
            conversation=job.conversation,
            text=_result_text(job, ending.text, found),
            at=at,
            job_id=job.id,
            message_id=job.message_id,
        )
    for file in found.files:
        artefact = Artefact(
            job_id=job.id,
            run_id=run.id,
            name=file.name,
            path=str(file.path),
            media_type=file.media_type,
            size=file.size,
            created_at=at,
        )
        artefacts.add(connection, artefact)
        if job.conversation is not None:
            outbox.say(
                connection,
                key=f"artefact:{artefact.id}",
                conversation=job.conversation,
                text=file.name,
                kind=OutboxKind(file.kind),
                file_path=str(file.path),
                at=at,
                job_id=job.id,
            )
    return JobState.done


def _result_text(job: Job, text: str, found: Collection) -> str:
    lines = [f"✅ **{job.title}**"]
    if text.strip():
        lines.append(text.strip())
    elif not found.files:
        lines.append("It ended without a word and without a file.")
    if found.left:
        lines.append("Not sent: " + ", ".join(found.left[:10]))
    return "\n\n".join(lines)


def _give_up(connection: Connection, job: Job, ending: Ending, *, at: datetime) -> JobState:
    assert job.id is not None
    problem = ending.problem or "no reason was given"
    jobs.move(connection, job.id, JobState.failed, by=Actor.engine, at=at, error=problem)
    tasks.follow_job(connection, job.task_id, TaskState.failed, at=at)
    if job.conversation is not None:
        advice = retrying.advice(ending.failure, timed_out=ending.state is RunState.timed_out)
        outbox.say(
            connection,
            key=f"failed:{job.id}:{job.attempts}",
            conversation=job.conversation,
            text=f"⚠ **{job.title}** did not work out: {problem}\n\n{advice}",
            at=at,
            job_id=job.id,
            message_id=job.message_id,
        )
    return JobState.failed
