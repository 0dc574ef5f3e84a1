"""The whole story of a job: who asked, why, what ran, what it cost, what came of it."""

from typing import Any

from sqlalchemy import Connection

from agentos.control.operations.shown import Names, shown, task_line
from agentos.domain.states import FINISHED_JOBS, JobState
from agentos.domain.talk import Card
from agentos.domain.work import Job
from agentos.store import (
    artefacts,
    events,
    jobs,
    messages,
    outbox,
    plans,
    reviews,
    rows,
    runs,
    tasks,
    usage,
)


def tell(connection: Connection, job: Job) -> dict[str, Any]:
    """Everything the rows know of a job."""
    assert job.id is not None
    names = Names(connection)
    attempts = runs.list_for_job(connection, job.id)
    left = artefacts.list_for_job(connection, job.id)
    said = outbox.list_for_job(connection, job.id)
    happened = events.list_since(connection, 0, job_id=job.id, limit=1000)
    asked = rows.newest(connection, Card, limit=20, job_id=job.id)
    needed = jobs.needs_of(connection, job.id)
    return {
        "job": {**shown(job), "project": names.project(job.project_id)},
        "ended": job.state in FINISHED_JOBS,
        "waits_for": _waits_for(job, needed),
        "wants_worker": names.worker(job.wants_worker_id),
        "task": _task(connection, job, names=names),
        "plan": _plan(connection, job),
        "message": _message(connection, job),
        "needs": [{"id": one.id, "title": one.title, "state": one.state.value} for one in needed],
        "runs": [
            {**shown(run, without=("token",)), "worker": names.worker(run.worker_id)}
            for run in attempts
        ],
        "usage": _usage(connection, job.id),
        "artefacts": [shown(file) for file in left],
        "said": [shown(row) for row in said],
        "cards": [shown(card) for card in asked],
        "events": [shown(event) for event in happened],
    }


def _waits_for(job: Job, needed: list[Job]) -> list[int]:
    """The ids of the jobs that keep a queued one from starting."""
    if job.state is not JobState.queued:
        return []
    return [one.id or 0 for one in needed if one.state is not JobState.done]


def _task(connection: Connection, job: Job, *, names: Names) -> dict[str, Any] | None:
    if job.task_id is None:
        return None
    judged = reviews.list_for_task(connection, job.task_id)
    line = task_line(tasks.get(connection, job.task_id), names=names)
    return {**line, "reviews": [shown(review) for review in judged]}


def _plan(connection: Connection, job: Job) -> dict[str, Any] | None:
    if job.plan_id is None:
        return None
    plan = plans.get(connection, job.plan_id)
    return {"id": plan.id, "title": plan.title, "state": plan.state.value}


def _message(connection: Connection, job: Job) -> dict[str, Any] | None:
    """The message that started it, and why it was taken for work."""
    if job.message_id is None:
        return None
    message = messages.get(connection, job.message_id)
    triage = message.triage or {}
    return {
        "id": message.id,
        "conversation": message.conversation,
        "text": message.text,
        "received_at": message.received_at.isoformat(),
        "outcome": triage.get("decision", {}).get("outcome"),
        "reason": triage.get("reason"),
        "triaged_by": message.triaged_by,
    }


def _usage(connection: Connection, job_id: int) -> dict[str, Any]:
    total = usage.total_for_job(connection, job_id)
    return {
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "cache_read_tokens": total.cache_read_tokens,
        "cache_write_tokens": total.cache_write_tokens,
        "cost_usd": str(total.cost_usd),
    }
