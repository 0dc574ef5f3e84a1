"""/jobs and /job: the last jobs, and one of them with all there is to know."""

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.states import FINISHED_JOBS, JobState
from agentos.domain.work import Job
from agentos.errors import NotFound
from agentos.frontdesk import stopping, words
from agentos.frontdesk.commands.catalogue import Asked
from agentos.frontdesk.lines import cut
from agentos.log import redact
from agentos.store import artefacts, jobs, runs, steers, usage

MARKS = {
    JobState.queued: "⏳",
    JobState.running: "⚙",
    JobState.parked: "⏸",
    JobState.done: "✅",
    JobState.failed: "⚠",
    JobState.cancelled: "✕",
}
_LONGEST_RESULT = 1_500


def number_of(text: str) -> int | None:
    """The number of a job, however it is written; None when it is none."""
    number = text.strip().lstrip("#")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 12 else None


def due(job: Job, *, now: datetime, zone: ZoneInfo) -> str:
    """When a job is due, as people say it."""
    assert job.run_at is not None
    return words.moment(job.run_at.astimezone(zone), now=now.astimezone(zone))


def jobs_(connection: Connection, asked: Asked) -> str:
    """The last ten jobs."""
    newest = jobs.list_all(connection, limit=10)
    if not newest:
        return "No jobs yet. Ask me for something!"
    lines = []
    for job in newest:
        later = job.run_at and job.state is JobState.queued
        when = f", {due(job, now=asked.at, zone=asked.zone)}" if later else ""
        lines.append(f"{MARKS[job.state]} {stopping.named(job)}{when}")
    return "\n".join(lines)


def job_(connection: Connection, asked: Asked) -> str:
    """One job: how it stands, for how long, what it cost, what came of it."""
    number = number_of(asked.rest)
    if number is None:
        return "Which one? Say /job 12. /jobs shows the last ones."
    try:
        job = jobs.get(connection, number)
    except NotFound:
        return f"There is no job #{number}. /jobs shows the last ones."
    lines = [f"{MARKS[job.state]} **{stopping.named(job)}**", _stands(connection, job, asked)]
    if job.error:
        lines.append(cut(redact(job.error), 400))
    for steer in steers.list_for_job(connection, number)[-3:]:
        lines.append(f"You said: “{cut(steer.text, 100)}” ({steer.state.value})")
    total = usage.total_for_job(connection, number)
    if total.tokens:
        lines.append(f"{total.tokens:,} tokens, ${total.cost_usd:.2f}")
    if files := artefacts.list_for_job(connection, number):
        lines.append("Files: " + ", ".join(file.name for file in files[:8]))
    if job.result:
        lines += ["", job.result[:_LONGEST_RESULT]]
    if stopping.may_stop(job):
        lines.append(f"/stop {number} stops it.")
    return "\n".join(lines)


def _stands(connection: Connection, job: Job, asked: Asked) -> str:
    attempts = runs.list_for_job(connection, job.id or 0)
    tries = f", try {len(attempts)}" if len(attempts) > 1 else ""
    if job.state is JobState.queued and job.run_at is not None and job.run_at > asked.at:
        return f"It is due {due(job, now=asked.at, zone=asked.zone)}{tries}."
    if not attempts:
        return f"{job.state.value.capitalize()} for {words.span(asked.at - job.created_at)}."
    over = job.state in FINISHED_JOBS
    until = job.finished_at if over and job.finished_at is not None else asked.at
    took = words.span(until - attempts[0].started_at)
    return f"{job.state.value.capitalize()} {'after' if over else 'for'} {took}{tries}."
