"""The rows of what may be used: the pools of each backend, and what jobs are expected to use."""

from datetime import datetime, timedelta
from enum import StrEnum, auto

from sqlalchemy import BigInteger, Column
from sqlmodel import Field

from agentos.domain.columns import EnumText, UtcDateTime
from agentos.domain.row import Row


class Span(StrEnum):
    """For how long a pool lasts, from its first use on."""

    five_hours = auto()
    week = auto()

    @property
    def length(self) -> timedelta:
        """The time from its first use to its reset."""
        return timedelta(hours=5) if self is Span.five_hours else timedelta(days=7)

    @property
    def words(self) -> str:
        """As people are told."""
        return "5-hour" if self is Span.five_hours else "weekly"


class Pool(Row, table=True):
    """What was used of a backend since the pool began; it begins anew with the first use after."""

    __tablename__ = "pool"
    backend: str = Field(primary_key=True, max_length=32)
    span: Span = Field(sa_column=Column(EnumText(Span), primary_key=True))
    began_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    tokens: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    # Turns, for backends that do not tell their tokens.
    turns: int = 0
    # The backend itself said, and when, that there is nothing left until then.
    rests_from: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    rests_until: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))

    @property
    def resets_at(self) -> datetime:
        """When it begins anew."""
        return self.began_at + self.span.length


class Pause(Row, table=True):
    """A time in which no new work starts; what runs goes on. Without `until`, until it is ended."""

    __tablename__ = "pause"
    id: int | None = Field(default=None, primary_key=True)
    began_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    until: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    ended_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))


class Expectation(Row, table=True):
    """What jobs of a sort have used beyond their prompt, and how long they took: moving averages.

    The sort is a template's name ("template:inbox"), a task's kind ("kind:code"), or "job".
    """

    __tablename__ = "expectation"
    sort: str = Field(primary_key=True, max_length=120)
    tokens: float
    seconds: float
    samples: int
