"""The rows of work: projects, tasks, plans, jobs, runs, workers, artefacts, reviews."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum, auto
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, Text, UniqueConstraint, text
from sqlmodel import Field

from agentos.domain.columns import EnumText, Json, UtcDateTime
from agentos.domain.frames import Failure
from agentos.domain.row import Row
from agentos.domain.states import (
    JobState,
    PlanState,
    ProjectState,
    RunState,
    SteerState,
    TaskState,
    WorkerState,
)


class TaskKind(StrEnum):
    """What sort of outcome a task is; it picks model, tools and rubric."""

    code = auto()
    writing = auto()
    research = auto()
    extraction = auto()
    ops = auto()


class JobKind(StrEnum):
    """What running a job means: an agent's turn in a forked child, or words said at a time."""

    agent = auto()
    reminder = auto()


class Lane(IntEnum):
    """The three lanes of the queue; a smaller number is served first."""

    urgent = 0
    normal = 1
    background = 2


class NeedPolicy(StrEnum):
    """What becomes of a job when one that it needs ends without being done."""

    skip = auto()  # it is cancelled, and so is what needs it
    block = auto()  # it waits until that one is tried again
    go_on = auto()  # it starts all the same, and is told what is missing


class WorkerRole(StrEnum):
    """Whether a worker takes jobs from the queue or speaks for the front desk."""

    work = auto()
    front_desk = auto()


def lane_of(priority: int) -> Lane:
    """P0-P1 are urgent, P2 is normal, P3-P5 are background."""
    if priority <= 1:
        return Lane.urgent
    return Lane.normal if priority == 2 else Lane.background


# How long a job of each priority lets newer ones of higher priority go first.
PATIENCE = (
    timedelta(),
    timedelta(minutes=1),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
)


def turn_of(priority: int, *, since: datetime) -> datetime:
    """A job's turn: the queue is served by it, the earliest first.

    Of jobs that came together the one of higher priority goes first, and of one priority the older.
    A job is overtaken only by what was queued within the difference of their patience, so each of
    them starts in the end (aging by virtual deadlines, as in earliest-deadline-first scheduling;
    Liu and Layland, 1973).
    """
    return since + PATIENCE[priority]


def _when(*, nullable: bool = True, index: bool = False) -> Any:
    return Column(UtcDateTime, nullable=nullable, index=index)


class Project(Row, table=True):
    """An area of work. It ends by the owner's tap alone."""

    __tablename__ = "project"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, max_length=200)
    description: str = Field(default="", sa_column=Column(Text, nullable=False))
    state: ProjectState = Field(
        default=ProjectState.active, sa_column=Column(EnumText(ProjectState), nullable=False)
    )
    created_at: datetime = Field(sa_column=_when(nullable=False))
    updated_at: datetime = Field(sa_column=_when(nullable=False))


class Task(Row, table=True):
    """An outcome somebody wants. `done` needs a passing review by another model."""

    __tablename__ = "task"
    id: int | None = Field(default=None, primary_key=True)
    project_id: int | None = Field(default=None, foreign_key="project.id", index=True)
    plan_id: int | None = Field(default=None, foreign_key="plan.id", index=True)
    title: str = Field(max_length=300)
    kind: TaskKind = Field(sa_column=Column(EnumText(TaskKind), nullable=False))
    brief: str = Field(default="", sa_column=Column(Text, nullable=False))
    state: TaskState = Field(
        default=TaskState.pending, sa_column=Column(EnumText(TaskState), nullable=False, index=True)
    )
    attempts: int = 0
    verify_command: str | None = None
    created_at: datetime = Field(sa_column=_when(nullable=False))
    updated_at: datetime = Field(sa_column=_when(nullable=False))


class Plan(Row, table=True):
    """The steps of a big piece of work; nothing of it runs before the owner's Go."""

    __tablename__ = "plan"
    id: int | None = Field(default=None, primary_key=True)
    message_id: int | None = Field(default=None, foreign_key="message.id")
    conversation: str = Field(max_length=200)
    title: str = Field(max_length=300)
    request: str = Field(sa_column=Column(Text, nullable=False))
    goal: str = Field(sa_column=Column(Text, nullable=False))
    steps: list[dict[str, Any]] = Field(sa_column=Column(Json, nullable=False))
    risks: list[str] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    version: int = 1
    state: PlanState = Field(
        default=PlanState.proposed, sa_column=Column(EnumText(PlanState), nullable=False)
    )
    created_at: datetime = Field(sa_column=_when(nullable=False))
    updated_at: datetime = Field(sa_column=_when(nullable=False))


_IDLE = text("state = 'idle' AND persistent AND role = 'work'")


class Worker(Row, table=True):
    """An agent identity with a session. A persistent one keeps its session from job to job."""

    __tablename__ = "worker"
    __table_args__ = (
        # The dispatcher reads only this; a job's own worker would be a row of it forever.
        Index("ix_worker_idle", "last_used_at", sqlite_where=_IDLE, postgresql_where=_IDLE),
    )
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, max_length=200)
    role: WorkerRole = Field(
        default=WorkerRole.work, sa_column=Column(EnumText(WorkerRole), nullable=False)
    )
    backend: str = Field(default="claude", max_length=32)
    model: str = Field(max_length=100)
    persona: str | None = Field(default=None, max_length=100)
    skills: list[str] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    persistent: bool = False
    project_id: int | None = Field(default=None, foreign_key="project.id")
    state: WorkerState = Field(
        default=WorkerState.idle, sa_column=Column(EnumText(WorkerState), nullable=False)
    )
    session_id: str | None = Field(default=None, max_length=64)
    session_job_count: int = 0
    # How much of a context the session fills, as its last turn told.
    session_tokens: int = 0
    # What the session before this one left for it to know.
    summary: str = Field(default="", sa_column=Column(Text, nullable=False))
    # Of one that talks: the last of our words, and of the owner's, that its session was told.
    knows_outbox_id: int = 0
    knows_message_id: int = 0
    created_at: datetime = Field(sa_column=_when(nullable=False))
    last_used_at: datetime | None = Field(default=None, sa_column=_when())


class Job(Row, table=True):
    """One unit in the queue. `key` makes adding it twice the same as adding it once."""

    __tablename__ = "job"
    __table_args__ = (
        # The dispatcher reads only this: what is queued, in the order it is served.
        Index(
            "ix_job_queue",
            "turn_at",
            "id",
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        # What waits for a time, for the question when the next one comes.
        Index(
            "ix_job_due",
            "run_at",
            sqlite_where=text("state = 'queued' AND run_at IS NOT NULL"),
            postgresql_where=text("state = 'queued' AND run_at IS NOT NULL"),
        ),
        # Who removes a worker has to know that no job names it.
        Index(
            "ix_job_wants_worker_id",
            "wants_worker_id",
            sqlite_where=text("wants_worker_id IS NOT NULL"),
            postgresql_where=text("wants_worker_id IS NOT NULL"),
        ),
        CheckConstraint("priority BETWEEN 0 AND 5", name="ck_job_priority"),
    )
    id: int | None = Field(default=None, primary_key=True)
    key: str | None = Field(default=None, unique=True, max_length=200)
    kind: JobKind = Field(
        default=JobKind.agent, sa_column=Column(EnumText(JobKind), nullable=False)
    )
    title: str = Field(max_length=300)
    prompt: str = Field(sa_column=Column(Text, nullable=False))
    state: JobState = Field(
        default=JobState.queued, sa_column=Column(EnumText(JobState), nullable=False)
    )
    priority: int = 2
    lane: int = int(Lane.normal)
    # Set by the queue: see `turn_of`.
    turn_at: datetime | None = Field(default=None, sa_column=_when())
    # What it is expected to use, held against the limits until it is known.
    tokens: int = 0
    if_needs_fail: NeedPolicy = Field(
        default=NeedPolicy.skip, sa_column=Column(EnumText(NeedPolicy), nullable=False)
    )
    project_id: int | None = Field(default=None, foreign_key="project.id", index=True)
    task_id: int | None = Field(default=None, foreign_key="task.id", index=True)
    plan_id: int | None = Field(default=None, foreign_key="plan.id", index=True)
    message_id: int | None = Field(default=None, foreign_key="message.id", index=True)
    conversation: str | None = Field(default=None, max_length=200)
    template: str | None = Field(default=None, max_length=100)
    backend: str = Field(default="claude", max_length=32)
    model: str | None = Field(default=None, max_length=100)
    persona: str | None = Field(default=None, max_length=100)
    skills: list[str] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    wants_worker_id: int | None = Field(default=None, foreign_key="worker.id")
    # The job whose session it goes on in; it needs that job, too.
    continues_id: int | None = None
    run_at: datetime | None = Field(default=None, sa_column=_when())
    timeout_seconds: int = 1800
    attempts: int = 0
    result: str | None = Field(default=None, sa_column=Column(Text))
    error: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(sa_column=_when(nullable=False))
    finished_at: datetime | None = Field(default=None, sa_column=_when())


_OPEN_STEER = text("state IN ('waiting', 'told')")


class Steer(Row, table=True):
    """What the owner says to a job that is under way. It reaches a session, or leads to a job."""

    __tablename__ = "steer"
    __table_args__ = (
        UniqueConstraint("key", name="uq_steer_key"),
        Index(
            "ix_steer_open",
            "job_id",
            "id",
            sqlite_where=_OPEN_STEER,
            postgresql_where=_OPEN_STEER,
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(max_length=200)
    job_id: int
    message_id: int | None = Field(default=None, foreign_key="message.id")
    text: str = Field(sa_column=Column(Text, nullable=False))
    # Stands in what the session is told, so that its file shows whether it took it in.
    mark: str = Field(max_length=32)
    state: SteerState = Field(
        default=SteerState.waiting, sa_column=Column(EnumText(SteerState), nullable=False)
    )
    # The run that was given it last.
    run_id: int | None = None
    created_at: datetime = Field(sa_column=_when(nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=_when())


class JobNeed(Row, table=True):
    """`job_id` starts only when `needs_id` is done; see `NeedPolicy` for when that never is."""

    __tablename__ = "job_need"
    job_id: int = Field(foreign_key="job.id", primary_key=True)
    needs_id: int = Field(foreign_key="job.id", primary_key=True, index=True)


_LIVE = text("state IN ('starting', 'running')")


class Run(Row, table=True):
    """One attempt at a job. `token` fences it: a settle with another token changes nothing."""

    __tablename__ = "run"
    __table_args__ = (
        Index("uq_run_live_job", "job_id", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
        Index(
            "uq_run_live_worker",
            "worker_id",
            unique=True,
            sqlite_where=_LIVE,
            postgresql_where=_LIVE,
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="job.id", index=True)
    worker_id: int = Field(foreign_key="worker.id", index=True)
    number: int
    token: str = Field(max_length=64)
    node: str = Field(default="", max_length=200)
    state: RunState = Field(
        default=RunState.starting, sa_column=Column(EnumText(RunState), nullable=False)
    )
    pid: int | None = None
    session_id: str | None = Field(default=None, max_length=64)
    model: str | None = Field(default=None, max_length=100)
    started_at: datetime = Field(sa_column=_when(nullable=False))
    heartbeat_at: datetime = Field(sa_column=_when(nullable=False))
    lease_until: datetime = Field(sa_column=_when(nullable=False))
    finished_at: datetime | None = Field(default=None, sa_column=_when())
    failure: Failure | None = Field(default=None, sa_column=Column(EnumText(Failure)))
    detail: str | None = Field(default=None, sa_column=Column(Text))


class Artefact(Row, table=True):
    """A file a run left in its artefacts folder: the thing to open."""

    __tablename__ = "artefact"
    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="job.id", index=True)
    run_id: int = Field(foreign_key="run.id", index=True)
    name: str = Field(max_length=300)
    path: str = Field(sa_column=Column(Text, nullable=False))
    media_type: str = Field(max_length=100)
    size: int
    created_at: datetime = Field(sa_column=_when(nullable=False))


class Review(Row, table=True):
    """The judgement of a different model, with a score from 0 to 1 against a rubric."""

    __tablename__ = "review"
    id: int | None = Field(default=None, primary_key=True)
    task_id: int = Field(foreign_key="task.id", index=True)
    run_id: int = Field(foreign_key="run.id", index=True)
    backend: str = Field(max_length=32)
    model: str = Field(max_length=100)
    passed: bool
    score: Decimal = Field(max_digits=4, decimal_places=3)
    criteria: dict[str, Any] = Field(default_factory=dict, sa_column=Column(Json, nullable=False))
    fixes: list[str] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    created_at: datetime = Field(sa_column=_when(nullable=False))
