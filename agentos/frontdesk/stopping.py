"""Stopping, by the owner's word: jobs, plans, reminders, and answers under way."""

from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.states import (
    FINISHED_JOBS,
    JOBS,
    PLANS,
    Actor,
    JobState,
    MessageState,
    PlanState,
    allowed,
)
from agentos.domain.talk import Message
from agentos.domain.work import Job, Plan
from agentos.frontdesk import effects
from agentos.frontdesk.lines import cut
from agentos.store import cards, jobs, messages, steers
from agentos.store import plans as plan_rows

STOPPED = "⏹ Stopped."


def may_stop(job: Job) -> bool:
    """Whether there is still something to stop of a job."""
    return allowed(JOBS, job.state, JobState.cancelled, by=Actor.owner)


def stop_job(connection: Connection, job: Job, *, at: datetime) -> None:
    """Cancel in the rows; the engine sees it and ends the worker. Its questions are withdrawn."""
    assert job.id is not None
    jobs.move(connection, job.id, JobState.cancelled, by=Actor.owner, at=at)
    steers.drop_all(connection, job.id, at=at)
    for card in cards.list_open(connection):
        if card.job_id == job.id:
            cards.cancel(connection, card.id or 0, at=at)


def stop_plan(connection: Connection, plan: Plan, *, at: datetime) -> list[Job] | None:
    """Drop a plan that has not begun, or stop what is left of it; None when nothing was."""
    assert plan.id is not None
    if allowed(PLANS, plan.state, PlanState.dropped, by=Actor.owner):
        plan_rows.move(connection, plan.id, PlanState.dropped, by=Actor.owner, at=at)
        for card in cards.list_open(connection):
            if card.plan_id == plan.id:
                cards.cancel(connection, card.id or 0, at=at)
        return []
    left = [job for job in jobs.list_for_plan(connection, plan.id) if may_stop(job)]
    for job in left:
        stop_job(connection, job, at=at)
    return left or None


def stop_answers(
    connection: Connection, message: Message, *, everywhere: bool, at: datetime
) -> list[int]:
    """End what is being answered or planned, and what waits for that; the ids of the messages.

    The rows decide: an answer that comes after this finds its message handled and is not said.
    """
    conversation = None if everywhere else message.conversation
    stopped = []
    for one in messages.list_open(connection, conversation=conversation):
        if one.id is None or one.id >= (message.id or 0):
            continue
        messages.move(connection, one.id, MessageState.handled, at=at)
        # Under the key of the answer: what is half written on the screen is finished by it.
        effects.say(connection, one, STOPPED, key="answer", at=at)
        stopped.append(one.id)
    return stopped


def named(job: Job) -> str:
    """A job in a line."""
    return f"#{job.id} {cut(job.title, 80)}"


def newest_work(agents: list[Job]) -> list[Job]:
    """The jobs of the newest message or plan among these, which are the newest first."""
    if not agents:
        return []
    newest = agents[0]
    if newest.message_id is None:
        return [newest]
    return [job for job in agents if job.message_id == newest.message_id]


def is_over(job: Job) -> bool:
    """Whether it has ended."""
    return job.state in FINISHED_JOBS
