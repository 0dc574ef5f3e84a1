"""Steering: a word to a job that is under way, and jobs that go on where another one was."""

from datetime import datetime
from typing import assert_never

from sqlalchemy import Connection

from agentos.domain.states import FINISHED_JOBS
from agentos.domain.talk import Message
from agentos.domain.triage import How, QuickWork, Steer
from agentos.domain.work import Job, JobKind, Task, TaskKind
from agentos.errors import NotFound
from agentos.frontdesk import effects, stopping, words
from agentos.frontdesk.intake import Intake
from agentos.frontdesk.lines import cut
from agentos.prompts import render
from agentos.store import continuing, jobs, outbox, rows, steers

_LONGEST_PROMPT = 4_000
_REMINDER = "That is a reminder, and no work. Say when to remind you instead, or cancel it."


def steer(
    connection: Connection,
    message: Message,
    decision: Steer,
    intake: Intake,
    *,
    at: datetime,
) -> None:
    """Do what a message wants of a job, say so in a few words, and be done with the message."""
    try:
        job = jobs.get(connection, decision.job)
    except NotFound:
        text = f"There is no job #{decision.job}. /jobs shows the last ones."
        effects.reply(connection, message, text, key="answer", at=at)
        return
    said, made = _do(connection, message, job, decision, intake, at=at)
    if made is not None:
        effects.tell_begun(connection, message, made, text=said, at=at)
    else:
        outbox.say(
            connection,
            key=f"ack:{message.id}",
            conversation=message.conversation,
            text=said,
            at=at,
            message_id=message.id,
            job_id=job.id,
        )
    effects.finish(connection, message, at=at)


def _do(
    connection: Connection,
    message: Message,
    job: Job,
    decision: Steer,
    intake: Intake,
    *,
    at: datetime,
) -> tuple[str, Job | None]:
    """What was done, in a few words, and the job that was begun by it."""
    over = job.state in FINISHED_JOBS
    if decision.how is How.stop:
        if over or not stopping.may_stop(job):
            return f"#{job.id} is not running: it is {job.state.value}.", None
        stopping.stop_job(connection, job, at=at)
        return f"Stopped: {stopping.named(job)}", None
    if job.kind is not JobKind.agent:
        return _REMINDER, None
    text = decision.text or intake.shown
    work = QuickWork(
        outcome="quick_work",
        title=cut(text, 120),
        kind=_kind_of(connection, job),
        prompt=text,
        continues=job.id or 0,
    )
    if over:
        made = go_on_from(connection, message, work, intake, at=at)
        return words.on_it(made.title, made.id), made
    match decision.how:
        case How.add:
            told = render("said.md.j2", text=text, files=intake.files)
            key = f"message:{message.id}"
            assert job.id is not None
            steers.add(connection, job.id, told, key=key, at=at, message_id=message.id)
            return f"Told #{job.id}.", None
        case How.after:
            made = go_on_from(connection, message, work, intake, at=at)
            return f"After #{job.id}: {made.title} (#{made.id})", made
        case How.instead:
            stopping.stop_job(connection, job, at=at)
            made = go_on_from(connection, message, work, intake, at=at)
            return f"Stopped #{job.id}, started #{made.id}: {made.title}", made
        case _:
            assert_never(decision.how)


def go_on(
    connection: Connection,
    message: Message,
    work: QuickWork,
    intake: Intake,
    *,
    at: datetime,
) -> None:
    """Begin a job that goes on from another, say so, and be done with the message."""
    made = go_on_from(connection, message, work, intake, at=at)
    effects.tell_begun(connection, message, made, at=at)
    effects.finish(connection, message, at=at)


def go_on_from(
    connection: Connection,
    message: Message,
    work: QuickWork,
    intake: Intake,
    *,
    at: datetime,
) -> Job:
    """A job that goes on where another was; what its session does not know, its prompt tells."""
    before = jobs.get(connection, work.continues)
    task = Task(title=work.title, kind=work.kind, brief=work.prompt, created_at=at, updated_at=at)
    return continuing.go_on(
        connection,
        before,
        key=f"message:{message.id}",
        title=work.title,
        prompt=render(
            "going_on.md.j2",
            title=before.title,
            asked=before.prompt[:_LONGEST_PROMPT],
            brief=effects.brief_of(work, intake),
        ),
        task=task,
        at=at,
        conversation=message.conversation,
        message_id=message.id,
    )


def _kind_of(connection: Connection, job: Job) -> TaskKind:
    task = rows.find(connection, Task, job.task_id) if job.task_id is not None else None
    return task.kind if task is not None else TaskKind.ops
