"""The end of a plan: when the last of its jobs has ended, one message says what came of it."""

from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.states import FINISHED_JOBS, JobState
from agentos.domain.work import Job
from agentos.frontdesk import words
from agentos.frontdesk.lines import cut
from agentos.log import redact
from agentos.store import artefacts, jobs, outbox, plans


def has_ended(connection: Connection, plan_id: int) -> bool:
    """Whether no job of a plan is left to do."""
    return all(job.state in FINISHED_JOBS for job in jobs.list_for_plan(connection, plan_id))


def close(connection: Connection, plan_id: int, *, at: datetime) -> None:
    """Say how a plan ended; again is the same as once."""
    plan = plans.get(connection, plan_id)
    made = jobs.list_for_plan(connection, plan_id)
    files = [
        artefact.name
        for job in made
        for artefact in artefacts.list_for_job(connection, job.id or 0)
    ]
    text = words.plan_done(
        plan.title,
        done=sum(job.state is JobState.done for job in made),
        files=files,
        troubles=[_trouble(job) for job in made if job.state is not JobState.done],
    )
    outbox.say(
        connection,
        key=f"plan-done:{plan_id}",
        conversation=plan.conversation,
        text=text,
        at=at,
        message_id=plan.message_id,
    )


def _trouble(job: Job) -> str:
    why = f": {cut(redact(job.error), 160)}" if job.error else ""
    how = "was stopped" if job.state is JobState.cancelled else "failed"
    return f"{job.title} (#{job.id}) {how}{why}"
