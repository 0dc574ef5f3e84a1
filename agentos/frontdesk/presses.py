"""Buttons beside cards, at the message of a job: pressed twice or late, they are answered kindly.

Their data is "job:<id>:<verb>".
"""

from datetime import datetime
from enum import StrEnum, auto

from sqlalchemy import Connection

from agentos.domain.states import FINISHED_JOBS, JOBS, Actor, JobState, allowed
from agentos.domain.work import Job
from agentos.errors import NotFound
from agentos.store import cards, jobs


class Verb(StrEnum):
    """What can be done with a press."""

    stop = auto()
    stop_plan = auto()  # the job is one of a plan's, and all of that is meant


def buttons_of(job: Job) -> list[list[dict[str, str]]]:
    """What is beneath the message that tells of a job; of a plan when the job belongs to one."""
    verb = Verb.stop if job.plan_id is None else Verb.stop_plan
    return [[{"label": "Stop", "data": f"job:{job.id}:{verb.value}"}]]


def press(connection: Connection, job_id: int, verb: str, *, at: datetime) -> str:
    """Do it; returns a few words for the button."""
    try:
        job = jobs.get(connection, job_id)
        meant = Verb(verb)
    except NotFound:
        return "That job is not here any more."
    except ValueError:
        return "I don't know this button any more."
    chosen = [job]
    if meant is Verb.stop_plan and job.plan_id is not None:
        chosen = jobs.list_for_plan(connection, job.plan_id)
    live = [one for one in chosen if allowed(JOBS, one.state, JobState.cancelled, by=Actor.owner)]
    stopped = {one.id for one in live}
    for one in live:
        jobs.move(connection, one.id or 0, JobState.cancelled, by=Actor.owner, at=at)
    for card in cards.list_open(connection) if live else []:
        if card.job_id in stopped:
            cards.cancel(connection, card.id or 0, at=at)
    if live:
        return "✕ Stopped"
    return _too_late(chosen)


def _too_late(chosen: list[Job]) -> str:
    """Why there is nothing to stop."""
    assert all(one.state in FINISHED_JOBS for one in chosen)
    if any(one.state is JobState.cancelled for one in chosen):
        return "It is stopped already."
    if any(one.state is JobState.failed for one in chosen):
        return "It has ended already: it did not work out."
    return "It is done already."
