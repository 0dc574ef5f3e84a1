"""/stop: what was replied to, else the newest of this talk; all of it; or one job."""

from collections import Counter

from sqlalchemy import Connection

from agentos.domain.states import PLANS, Actor, JobState, PlanState, allowed
from agentos.domain.work import Job, JobKind
from agentos.errors import NotFound
from agentos.frontdesk import shortcuts, stopping, words
from agentos.frontdesk.commands import work
from agentos.frontdesk.commands.catalogue import Asked
from agentos.frontdesk.replies import find_quoted
from agentos.store import jobs, plans

_MOST = 10_000


def stop(connection: Connection, asked: Asked) -> str:
    """Stop, and say what was stopped."""
    rest = asked.rest.lower()
    if rest == "all":
        return _all(connection, asked)
    if rest:
        return _one(connection, asked)
    quoted = find_quoted(connection, asked.message)
    if quoted is not None:
        said = shortcuts.stop(connection, asked.message, quoted, at=asked.at)
        if said is not None:
            return said
    return _newest(connection, asked)


def _newest(connection: Connection, asked: Asked) -> str:
    """An answer under way is newer than any job: it was asked for last."""
    conversation = asked.message.conversation
    answers = stopping.stop_answers(connection, asked.message, everywhere=False, at=asked.at)
    agents = _agents(connection, conversation)
    if answers:
        running = [job for job in agents if job.state is JobState.running]
        if not running:
            return "Stopped answering."
        newest = running[0]
        return f"Stopped answering. Still running: {stopping.named(newest)} (/stop {newest.id})"
    plan = plans.find_open(connection, conversation)
    if plan is not None and (not agents or plan.updated_at > agents[0].created_at):
        stopping.stop_plan(connection, plan, at=asked.at)
        return f"Dropped the plan: {plan.title}"
    return _stop_jobs(connection, stopping.newest_work(agents), asked)


def _all(connection: Connection, asked: Asked) -> str:
    answers = stopping.stop_answers(connection, asked.message, everywhere=True, at=asked.at)
    chosen = _agents(connection, None)
    dropped = 0
    for plan in plans.list_open(connection):
        if allowed(PLANS, plan.state, PlanState.dropped, by=Actor.owner):
            stopping.stop_plan(connection, plan, at=asked.at)
            dropped += 1
    said = [_stop_jobs(connection, chosen, asked)] if chosen else []
    if dropped:
        said.append(f"Dropped {words.counted(dropped, 'plan')}.")
    if answers:
        said.append("Stopped answering.")
    return "\n".join(said) or "Nothing is running."


def _one(connection: Connection, asked: Asked) -> str:
    number = work.number_of(asked.rest)
    if number is None:
        return "Say /stop, /stop all, or /stop with the number of a job, such as /stop 12."
    try:
        job = jobs.get(connection, number)
    except NotFound:
        return f"There is no job #{number}. /jobs shows the last ones."
    if not stopping.may_stop(job):
        return f"#{number} is not running: it is {job.state.value}."
    return _stop_jobs(connection, [job], asked)


def _agents(connection: Connection, conversation: str | None) -> list[Job]:
    """Jobs of workers that have not ended, the newest first."""
    unfinished = jobs.list_unfinished(connection, conversation=conversation, limit=_MOST)
    return [job for job in unfinished if job.kind is JobKind.agent]


def _stop_jobs(connection: Connection, chosen: list[Job], asked: Asked) -> str:
    for job in chosen:
        stopping.stop_job(connection, job, at=asked.at)
    if not chosen:
        return "Nothing is running."
    if len(chosen) == 1:
        return f"Stopped: {stopping.named(chosen[0])}"
    states = Counter("was running" if job.state is JobState.running else "waited" for job in chosen)
    told = ", ".join(f"{number} {state}" for state, number in states.items())
    return f"Stopped {words.counted(len(chosen), 'job')} ({told})."
