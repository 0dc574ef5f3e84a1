"""Settling a run: its outcome, its cost, the job's next state and what is to be said, as one.

All functions here run inside one write transaction. If another run has taken the place of this
one, the first of them raises LeaseLost and nothing is changed.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, assert_never
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.capacity import Span
from agentos.domain.frames import Failure, TurnUsage
from agentos.domain.ledger import Purpose, Usage
from agentos.domain.states import Actor, JobState, RunState, WorkerState
from agentos.domain.talk import OutboxKind
from agentos.domain.work import Artefact, Job, Run, Worker
from agentos.engine import retrying
from agentos.engine.capacity import shown
from agentos.engine.collecting import Collection
from agentos.store import (
    artefacts,
    cards,
    events,
    expectations,
    jobs,
    outbox,
    pools,
    runs,
    usage,
    workers,
)

_LEAST_REST = timedelta(seconds=1)


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
    # How much of its context the session fills now; None where that is not known.
    session_tokens: int | None = None
    # The session that was to be resumed was gone: a fresh one has begun.
    session_lost: bool = False


def settle(
    connection: Connection,
    run: Run,
    ending: Ending,
    *,
    found: Collection,
    at: datetime,
    config: Config,
) -> JobState:
    """Write all that follows from the end of a run; returns the job's new state."""
    runs.settle(
        connection,
        run,
        ending.state,
        at=at,
        detail=ending.problem or None,
        failure=ending.failure,
    )
    job = jobs.get(connection, run.job_id)
    worker = workers.get(connection, run.worker_id)
    release(
        connection,
        worker,
        session_id=ending.session_id,
        tokens=ending.session_tokens,
        did_a_job=ending.state is RunState.done,
        at=at,
    )
    _record_usage(connection, job, run, worker, ending, at=at)
    if job.state is not JobState.running:
        return job.state  # it was cancelled meanwhile; that has been said by who did it
    match ending.state:
        case RunState.done:
            if _is_to_go_on(connection, job):
                return queue_again(connection, job, at=at)
            return _finish(connection, job, run, ending, found, at=at)
        case RunState.interrupted | RunState.cancelled:
            # Nobody has cancelled the job: it goes on where it was.
            return queue_again(connection, job, at=at)
        case RunState.failed | RunState.timed_out:
            return _try_again(connection, job, worker, ending, at=at, config=config)
        case RunState.starting | RunState.running:
            raise AssertionError(f"{ending.state} is no end")
        case _:
            assert_never(ending.state)


def queue_again(
    connection: Connection, job: Job, *, at: datetime, wait: timedelta = timedelta()
) -> JobState:
    """It goes on after a while, in the session it has, at its place in the queue.

    One that has asked the owner something is parked until the answer.
    """
    assert job.id is not None
    if cards.waits_for(connection, job.id):
        jobs.move(connection, job.id, JobState.parked, by=Actor.engine, at=at)
        return JobState.parked
    run_at = at + wait if wait else None
    jobs.move(connection, job.id, JobState.queued, by=Actor.engine, at=at, run_at=run_at)
    return JobState.queued


def _is_to_go_on(connection: Connection, job: Job) -> bool:
    """Whether a run that came to its end has left a question, or was not told an answer.

    An answer may come while the run that asked is still ending.
    """
    assert job.id is not None
    if not cards.list_for_job(connection, job.id):
        return False
    return cards.waits_for(connection, job.id) or bool(cards.list_untold(connection, job.id))


def release(
    connection: Connection,
    worker: Worker,
    *,
    session_id: str | None,
    at: datetime,
    tokens: int | None = None,
    did_a_job: bool = False,
) -> None:
    """A persistent worker can take the next job; an ephemeral one has done its only one.

    What is counted of a session begins anew with a new one.
    """
    assert worker.id is not None
    if worker.state is WorkerState.retired:
        return
    is_new = session_id is not None and session_id != worker.session_id
    known_tokens = 0 if is_new else worker.session_tokens
    values: dict[str, Any] = {
        "session_id": session_id or worker.session_id,
        "session_job_count": (0 if is_new else worker.session_job_count) + did_a_job,
        "session_tokens": known_tokens if tokens is None else tokens,
    }
    workers.change(
        connection,
        worker.id,
        state=WorkerState.idle if worker.persistent else WorkerState.retired,
        last_used_at=at,
        **values,
    )


def _try_again(
    connection: Connection,
    job: Job,
    worker: Worker,
    ending: Ending,
    *,
    at: datetime,
    config: Config,
) -> JobState:
    """What a failure leads to, by its cause: another try, or the end of the job."""
    assert job.id is not None
    wait = None
    if ending.state is RunState.failed:
        wait = retrying.next_try(
            ending.failure,
            # Not the attempts: those that a restart interrupted are no failures of the job's.
            times=runs.count_failed(connection, job.id, ending.failure),
            max_crashes=config.engine.max_attempts,
        )
    if ending.failure is Failure.rate_limited:
        told = ending.retry_after or timedelta(seconds=config.capacity.rest_seconds)
        # What is in the past or far away is no time to wait for, whoever tells it.
        rest = min(max(told, _LEAST_REST), Span.week.length)
        _rest(connection, job, worker, until=at + rest, at=at, zone=config.owner.zone)
    if wait is None:
        timed_out = ending.state is RunState.timed_out
        advice = retrying.advice(ending.failure, job_id=job.id, timed_out=timed_out)
        problem = ending.problem or "no reason was given"
        return _give_up(connection, job, problem=problem, advice=advice, at=at)
    return queue_again(connection, job, at=at, wait=wait)


def _rest(
    connection: Connection,
    job: Job,
    worker: Worker,
    *,
    until: datetime,
    at: datetime,
    zone: ZoneInfo,
) -> None:
    """The backend has nothing left: all its jobs wait for the reset, and the owner knows."""
    is_news = pools.rest(connection, worker.backend, until=until, at=at)
    if is_news and job.conversation is not None:
        outbox.say(
            connection,
            key=f"rests:{worker.backend}:{until.isoformat()}",
            conversation=job.conversation,
            text=(
                f"⏸ {worker.backend.capitalize()} has reached its limit. "
                f"**{job.title}** and what else needs it go on by themselves "
                f"at {shown(until, now=at, zone=zone)}."
            ),
            at=at,
            job_id=job.id,
        )


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


def refuse(connection: Connection, job: Job, *, problem: str, at: datetime) -> None:
    """A job that can never start here: it ends with the reason, and how to mend it."""
    _give_up(
        connection, job, problem=problem, advice=f"`pm job retry {job.id}` tries again.", at=at
    )


def abandon(connection: Connection, job: Job, *, lost_id: int, at: datetime) -> None:
    """A job needs one that ended without being done, so it will never start."""
    assert job.id is not None
    error = f"it needed #{lost_id}, which did not get done"
    jobs.move(connection, job.id, JobState.cancelled, by=Actor.engine, at=at, error=error)
    if job.conversation is not None and job.plan_id is None:  # a plan tells it at its end
        outbox.say(
            connection,
            key=f"abandoned:{job.id}",
            conversation=job.conversation,
            text=f"**{job.title}** was not started: {error}.",
            at=at,
            job_id=job.id,
        )


def _record_usage(
    connection: Connection, job: Job, run: Run, worker: Worker, ending: Ending, *, at: datetime
) -> None:
    used = ending.usage
    if not used.model or (ending.failure is not None and not used.tokens):
        return  # no model was asked, or it did not answer
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
    if ending.state is RunState.done:
        pools.wake(connection, worker.backend, at=at)
        expectations.learn(connection, job, tokens=used.tokens, took=at - run.started_at)


def _finish(
    connection: Connection, job: Job, run: Run, ending: Ending, found: Collection, *, at: datetime
) -> JobState:
    assert job.id is not None and run.id is not None
    is_step = job.plan_id is not None  # what rings is the end of the plan
    jobs.move(connection, job.id, JobState.done, by=Actor.engine, at=at, result=ending.text)
    if job.conversation is not None:
        outbox.say(
            connection,
            key=f"result:{job.id}",
            conversation=job.conversation,
            text=_result_text(job, ending, found),
            at=at,
            job_id=job.id,
            message_id=job.message_id,
            silent=is_step,
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
                silent=is_step,
            )
    return JobState.done


def _result_text(job: Job, ending: Ending, found: Collection) -> str:
    lines = [f"✅ **{job.title}**"]
    if ending.text.strip():
        lines.append(ending.text.strip())
    elif not found.files:
        lines.append("It ended without a word and without a file.")
    if ending.session_lost:
        lines.append("_Its session was lost; it went on in a new one, from its notes._")
    if found.left:
        lines.append("Not sent: " + ", ".join(found.left[:10]))
    return "\n\n".join(lines)


def _give_up(
    connection: Connection, job: Job, *, problem: str, advice: str, at: datetime
) -> JobState:
    assert job.id is not None
    jobs.move(connection, job.id, JobState.failed, by=Actor.engine, at=at, error=problem)
    if job.conversation is not None:
        outbox.say(
            connection,
            # Not by its attempts: one that is refused again has had none in between.
            key=f"failed:{job.id}:{events.newest_id(connection)}",
            conversation=job.conversation,
            text=f"⚠ **{job.title}** did not work out: {problem}\n\n{advice}",
            at=at,
            job_id=job.id,
            message_id=job.message_id,
        )
    return JobState.failed
