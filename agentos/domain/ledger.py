"""The rows that only grow: what each model call cost, and what happened when."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import Column
from sqlmodel import Field

from agentos.domain.columns import EnumText, Json, UtcDateTime
from agentos.domain.row import Row


class Purpose(StrEnum):
    """What a model call was for."""

    triage = auto()
    chat = auto()
    plan = auto()
    work = auto()
    review = auto()
    handover = auto()
    capture = auto()  # what of a talk or a job is worth remembering
    maintenance = auto()  # the same of a day, by night


class Usage(Row, table=True):
    """What one turn of a backend used: tokens, and US dollars as the backend reports them."""

    __tablename__ = "usage"
    id: int | None = Field(default=None, primary_key=True)
    purpose: Purpose = Field(sa_column=Column(EnumText(Purpose), nullable=False))
    backend: str = Field(max_length=32)
    model: str = Field(max_length=100)
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal = Field(default=Decimal(0), max_digits=12, decimal_places=6)
    message_id: int | None = Field(default=None, foreign_key="message.id")
    job_id: int | None = Field(default=None, foreign_key="job.id", index=True)
    run_id: int | None = Field(default=None, foreign_key="run.id", index=True)
    task_id: int | None = Field(default=None, foreign_key="task.id")
    project_id: int | None = Field(default=None, foreign_key="project.id")
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))

    @property
    def tokens(self) -> int:
        """What counts against limits: all but what was read from a cache."""
        return self.input_tokens + self.output_tokens + self.cache_write_tokens


class Event(Row, table=True):
    """One thing that happened, under a stable key such as `job_settled`."""

    __tablename__ = "event"
    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(max_length=64)
    job_id: int | None = Field(default=None, index=True)
    run_id: int | None = None
    task_id: int | None = None
    message_id: int | None = None
    data: dict[str, Any] = Field(default_factory=dict, sa_column=Column(Json, nullable=False))
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
