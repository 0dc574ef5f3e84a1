"""What a message is: one of six, each with what is needed to act on it.

What a model should write into each field stands in its prompt (`triage.md.j2`), once: the schema is
sent with every message, and each word in it is paid for every time.
"""

from datetime import datetime
from enum import StrEnum, auto
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic.json_schema import SkipJsonSchema

from agentos.domain.work import TaskKind

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000)]


class _Outcome(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Respond(_Outcome):
    """Chat, an opinion, a quick question: the chat session answers."""

    outcome: Literal["respond"]


class QuickWork(_Outcome):
    """Needs tools, under five minutes: one task, one job, at once."""

    outcome: Literal["quick_work"]
    title: Line
    kind: TaskKind
    prompt: Prose
    # The job that it goes on from, in its session, with its result and files; 0 for none. Not asked
    # of a model: that says `steer`, for a job that has ended, too.
    continues: SkipJsonSchema[int] = 0


class How(StrEnum):
    """What a word about a job wants of it."""

    add = auto()  # its session hears it while it works
    after = auto()  # it is done when the job has ended
    instead = auto()  # the job is stopped, and this takes its place
    stop = auto()


class Steer(_Outcome):
    """About a job that is under way, or one that was."""

    outcome: Literal["steer"]
    job: int
    how: How
    text: str = Field(default="", max_length=8000)


class BigWork(_Outcome):
    """Several steps or much research: a plan first, and nothing before the owner's Go."""

    outcome: Literal["big_work"]
    title: Line
    request: Prose


class Clarify(_Outcome):
    """The scope is not clear: one sharp question, with options to tap."""

    outcome: Literal["clarify"]
    question: Line
    options: list[Line] = Field(min_length=2, max_length=4)


class Defer(_Outcome):
    """For later: a reminder that arrives at a time."""

    outcome: Literal["defer"]
    reminder: Line
    at: datetime

    @field_validator("at")
    @classmethod
    def _aware(cls, at: datetime) -> datetime:
        if at.tzinfo is None:
            raise ValueError("the time needs a UTC offset")
        return at


Outcome = Annotated[
    Respond | QuickWork | BigWork | Clarify | Defer | Steer, Field(discriminator="outcome")
]


class Triage(BaseModel):
    """The decision, and in a few words why it was made."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    reason: str = Field(max_length=300)
    decision: Outcome
