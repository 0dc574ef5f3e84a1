"""What was said to a job and not heard by it: another job goes on with that, in its session."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.states import FINISHED_JOBS, Actor, JobState, SteerState
from agentos.domain.work import Job, Steer, Task, TaskKind
from agentos.prompts import render
from agentos.store import continuing, jobs, outbox, rows, steers

_LONGEST_TITLE = 120
_LONGEST_PROMPT = 4_000


def end_steers(
    connection: Connection, job: Job, state: JobState, *, heard: Iterable[str], at: datetime
) -> None:
    """After a run: what it heard is heard; when the job has ended, what is left leads to another.

    While the job goes on, what is left stays for its next run.
    """
    assert job.id is not None
    open_ = steers.list_open(connection, job.id)
    if not open_:
        return
    marks = set(heard)
    taken = [steer for steer in open_ if steer.mark in marks]
    left = [steer for steer in open_ if steer.mark not in marks]
    steers.end(connection, taken, SteerState.heard, by=Actor.engine, at=at)
    if not left or state not in FINISHED_JOBS:
        return
    if state is JobState.cancelled:
        steers.end(connection, left, SteerState.dropped, by=Actor.engine, at=at)
        return
    _follow(connection, jobs.get(connection, job.id), left, at=at)


def _follow(connection: Connection, job: Job, left: list[Steer], *, at: datetime) -> None:
    words = "\n\n".join(steer.text for steer in left)
    title = " ".join(words.split())
    title = title if len(title) <= _LONGEST_TITLE else f"{title[: _LONGEST_TITLE - 1]}…"
    before = rows.find(connection, Task, job.task_id) if job.task_id is not None else None
    task = Task(
        title=title,
        kind=before.kind if before is not None else TaskKind.ops,
        brief=words,
        created_at=at,
        updated_at=at,
    )
    made = continuing.go_on(
        connection,
        job,
        key=f"steer:{left[0].id}",
        title=title,
        prompt=render(
            "going_on.md.j2", title=job.title, asked=job.prompt[:_LONGEST_PROMPT], brief=words
        ),
        task=task,
        at=at,
        conversation=job.conversation,
        message_id=left[-1].message_id,
        priority=min(job.priority, 1),
    )
    steers.end(connection, left, SteerState.moved, by=Actor.engine, at=at)
    if job.conversation is not None:
        outbox.say(
            connection,
            key=f"follows:{left[0].id}",
            conversation=job.conversation,
            text=f"After #{job.id}: {title} (#{made.id})",
            at=at,
            message_id=left[-1].message_id,
            job_id=made.id,
        )
