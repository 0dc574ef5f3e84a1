"""Replies in plain words that need no model: "stop", "cancel that", "why?"."""

import re
from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.states import JobState
from agentos.domain.talk import Message
from agentos.domain.triage import How, Steer
from agentos.domain.work import Job, JobKind
from agentos.frontdesk import effects, stopping, words
from agentos.frontdesk.lines import cut
from agentos.frontdesk.replies import Quoted
from agentos.log import redact
from agentos.store import cards, memories, memory_given, messages, runs, steers, usage

_OFF = re.compile(
    r"(please )?(/stop|stop|cancel|abort|drop|kill|stopp?e?|abbrechen|storniere)"
    r"( (it|that|this|das|es|the (job|plan|reminder|task|work)))?( please| bitte)?[.! ]*"
    r"|never ?mind[.! ]*",
    re.IGNORECASE,
)
_WHY = re.compile(r"(/why|(but )?why( (that|this|so|not))?|how come|warum( das)?)[?.! ]*", re.I)


def is_stop(text: str) -> bool:
    """Whether a reply says in plain words that what it replies to is not wanted any more."""
    return _OFF.fullmatch(text.strip()) is not None


def is_why(text: str) -> bool:
    """Whether a reply asks why, and nothing else."""
    return _WHY.fullmatch(text.strip()) is not None


def word_to(message: Message, quoted: Quoted | None) -> Steer | None:
    """A reply to a word about work under way is for that work, unless it is a question."""
    if quoted is None or not quoted.is_under_way or quoted.job is None or quoted.job.id is None:
        return None
    text = message.text.strip()
    if not text or text.endswith(("?", "？")) or quoted.card is not None:
        return None
    if message.triage is not None:
        return None
    return Steer(outcome="steer", job=quoted.job.id, how=How.add, text=text[:8000])


def stop(connection: Connection, message: Message, quoted: Quoted, *, at: datetime) -> str | None:
    """Stop what a message replies to; what to say, or None when there is nothing of that sort."""
    job, plan, card = quoted.job, quoted.plan, quoted.card
    if job is not None:
        if not stopping.may_stop(job):
            return f"#{job.id} is not running: it is {job.state.value}."
        stopping.stop_job(connection, job, at=at)
        what = "Cancelled" if job.kind is JobKind.reminder else "Stopped"
        return f"{what}: {stopping.named(job)}"
    if plan is not None:
        left = stopping.stop_plan(connection, plan, at=at)
        if left is None:
            return f"Nothing of **{plan.title}** is running."
        if not left:
            return f"Dropped: {cut(plan.title, 80)}"
        return f"Stopped {words.counted(len(left), 'step')} of {cut(plan.title, 80)}."
    if card is not None:
        if card.state.value != "open":
            return "That is decided already."
        cards.cancel(connection, card.id or 0, at=at)
        return "Withdrawn; nothing happens."
    return None


def why(connection: Connection, quoted: Quoted) -> str | None:
    """Why what a message replies to is as it is, from the rows; None when they do not tell."""
    job = quoted.job
    if job is None or job.id is None:
        return None
    lines = [f"**{stopping.named(job)}**: {_how_it_ended(job)}"]
    asked = messages.get(connection, job.message_id) if job.message_id is not None else None
    if asked is not None and (reason := (asked.triage or {}).get("reason")):
        lines.append(f"I took “{cut(asked.text, 120)}” for work: {cut(str(reason), 200)}")
    if job.template:
        lines.append(f"It is scheduled: {job.template}")
    attempts = runs.list_for_job(connection, job.id)
    lines += [
        f"Try {run.number}: {run.state.value.replace('_', ' ')}"
        + f", {cut(redact(run.detail), 160)}"
        for run in attempts[-3:]
        if run.detail
    ]
    for steer in steers.list_for_job(connection, job.id)[-3:]:
        lines.append(f"You said meanwhile: “{cut(steer.text, 120)}” ({steer.state.value})")
    given = memory_given.list_ids(connection, job_id=job.id)[:5]
    recalled = [memories.get(connection, memory_id) for memory_id in given]
    if told := [one for one in recalled if one.forgotten_at is None]:
        lines.append("It had in mind:")
        lines += [f"- {cut(one.text, 140)} (#{one.id})" for one in told]
    cost = usage.total_for_job(connection, job.id).cost_usd
    if cost:
        lines.append(f"It cost ${cost:.2f}.")
    return "\n".join(lines)


def _how_it_ended(job: Job) -> str:
    if job.error:
        return f"{job.state.value}, because {cut(redact(job.error), 300)}"
    if job.state is JobState.cancelled:
        return "cancelled by you"
    return job.state.value


def answer(connection: Connection, message: Message, quoted: Quoted, *, at: datetime) -> bool:
    """Do what a reply in plain words asks and be done with it; False when a model has to look."""
    said = None
    if is_stop(message.text):
        said = stop(connection, message, quoted, at=at)
    elif is_why(message.text):
        said = why(connection, quoted)
    if said is None:
        return False
    effects.reply(connection, message, said, key="answer", at=at)
    return True
