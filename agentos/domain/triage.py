"""What a message is: one of five, each with what is needed to act on it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

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
    title: Line = Field(description="The outcome in a few words, as a task title.")
    kind: TaskKind = Field(description="What sort of outcome it is.")
    prompt: Prose = Field(description="The task for a worker that has not seen this conversation.")


class BigWork(_Outcome):
    """Several steps or much research: a plan first, and nothing before the owner's Go."""

    outcome: Literal["big_work"]
    title: Line = Field(description="The whole piece of work in a few words.")
    request: Prose = Field(description="The request for a planner that has not seen this talk.")


class Clarify(_Outcome):
    """The scope is not clear: one sharp question, with options to tap."""

    outcome: Literal["clarify"]
    question: Line
    options: list[Line] = Field(min_length=2, max_length=4)


class Defer(_Outcome):
    """For later: a reminder that arrives at a time."""

    outcome: Literal["defer"]
    reminder: Line = Field(description="What to say when the time has come.")
    at: datetime = Field(description="ISO 8601 with the owner's UTC offset.")

    @field_validator("at")
    @classmethod
    def _aware(cls, at: datetime) -> datetime:
        if at.tzinfo is None:
            raise ValueError("the time needs a UTC offset")
        return at


Outcome = Annotated[Respond | QuickWork | BigWork | Clarify | Defer, Field(discriminator="outcome")]


class Triage(BaseModel):
    """The decision, and in a few words why it was made."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    reason: str = Field(max_length=300, description="Why, in at most 15 words.")
    decision: Outcome
