"""How far work is, as the owner is shown it: one message a job or plan, edited in place."""

from datetime import datetime
from enum import StrEnum, auto

from sqlalchemy import Column, Index, text
from sqlmodel import Field

from agentos.domain.columns import UtcDateTime
from agentos.domain.row import Row

_IS_OPEN = text("ended_at IS NULL")


class Mark(StrEnum):
    """What is shown at the owner's message; a channel has its own signs for these."""

    seen = auto()
    working = auto()
    asking = auto()
    done = auto()
    failed = auto()
    stopped = auto()


class Progress(Row, table=True):
    """The one message that tells how a job is getting on, or a plan with all its jobs."""

    __tablename__ = "progress"
    __table_args__ = (
        Index("ix_progress_open", "id", sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN),
    )
    id: int | None = Field(default=None, primary_key=True)
    # What was said when the work was taken on; all that follows is shown in its place.
    outbox_id: int = Field(foreign_key="outbox.id", unique=True)
    job_id: int | None = Field(default=None, foreign_key="job.id", unique=True)
    plan_id: int | None = Field(default=None, foreign_key="plan.id", unique=True)
    # How often it has come to an end: a job that failed can be tried again.
    endings: int = 0
    ended_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
