"""What the engine and a child say to each other: one JSON object a line, over a socket pair.

This module is all that the two sides of the process boundary share. Down go `Assignment`, `Turn`,
`Nudge`, `Answered`, `Stop`; up come the rest. A child that says anything else is broken and is
ended.
"""

from decimal import Decimal
from enum import StrEnum, auto
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from agentos.domain.rules import Granted, Rules

# In the environment of a child and so of all that it starts: "<home>:<number of the child>".
MARK = "AGENTOS_CHILD"
# What a child asks by itself, beside the tools of its session: whether the owner allows the use of
# a tool, and that what he allowed once is used up by the use that follows.
APPROVE, USE_GRANT = "approve", "use_grant"
# The name of the file, in a job's folder, in which the end of its turn lies.
LAST_FRAME = "ended.json"


def storable(value: Any) -> Any:
    """A value without zero characters and halves of surrogate pairs, however deep in it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\x00", "")
    if isinstance(value, list):
        return [storable(each) for each in value]
    if isinstance(value, dict):
        return {storable(key): storable(each) for key, each in value.items()}
    return value


class _Frame(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, data: Any) -> Any:
        """What a model or a tool says may hold what no database takes."""
        return storable(data)


class Access(StrEnum):
    """What a session may touch."""

    none = auto()  # no tools at all: triage, chat, plans
    work = auto()  # tools, in its own working folder


class Tool(BaseModel):
    """A tool of ours that a session has beside its own; the engine answers what it asks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str
    # A JSON schema.
    parameters: dict[str, Any]


class Assignment(_Frame):
    """Who the child is: sent once, before its first turn."""

    frame: Literal["assignment"] = "assignment"
    backend: str
    model: str
    system_prompt: str
    access: Access
    working_folder: str
    # The session to go on with; None for a new one.
    session_id: str | None = None
    # JSON schema of the answer, for a session whose every turn is structured.
    output_schema: dict[str, Any] | None = None
    stream_text: bool = False
    # Start each turn from nothing: the session is warm, its memory is not.
    forget_between_turns: bool = False
    heartbeat_seconds: float = 30.0
    # For backends that can have any.
    tools: list[Tool] = Field(default_factory=list)


class Turn(_Frame):
    """One thing to do or to answer."""

    frame: Literal["turn"] = "turn"
    turn_id: str
    prompt: str
    # What is said before the prompt when the session that was to be resumed is gone: what a new one
    # has to know.
    if_lost: str = ""
    # For the turn of a job: its run, its transcript, and the folders it may write to.
    run_id: int | None = None
    transcript: str | None = None
    folders: list[str] = Field(default_factory=list)
    # What it may do unasked, and what the owner has decided for it.
    rules: Rules = Field(default_factory=Rules)
    granted: list[Granted] = Field(default_factory=list)


class Nudge(_Frame):
    """Something the session is told while its turn runs; a backend that cannot lets it be."""

    frame: Literal["nudge"] = "nudge"
    text: str


class Answered(_Frame):
    """What comes of an `Asked`."""

    frame: Literal["answered"] = "answered"
    ask_id: str
    text: str
    failed: bool = False


class Stop(_Frame):
    """End the session in good order."""

    frame: Literal["stop"] = "stop"


class Ready(_Frame):
    """The session is open and waits for a turn."""

    frame: Literal["ready"] = "ready"
    pid: int


class SessionOpened(_Frame):
    """The session that a turn is done in; with this id it can be resumed, even after a crash."""

    frame: Literal["session_opened"] = "session_opened"
    session_id: str
    # The session that was to be resumed could not be; this is a fresh one.
    lost: bool = False


class TextDelta(_Frame):
    """A piece of the answer as it is written; or, when `whole`, a finished passage again."""

    frame: Literal["text_delta"] = "text_delta"
    turn_id: str
    text: str
    whole: bool = False


class ToolStarted(_Frame):
    """The agent uses a tool; `summary` says it in plain words, in one line."""

    frame: Literal["tool_started"] = "tool_started"
    turn_id: str
    tool: str
    summary: str
    # What it was called with, in full as far as it is short, for who has to know what happened.
    detail: str = ""
    # Names this use of it, so that its end is known for its own; empty where a backend does not.
    call_id: str = ""


class ToolEnded(_Frame):
    """The tool is back."""

    frame: Literal["tool_ended"] = "tool_ended"
    turn_id: str
    tool: str
    failed: bool
    output: str = ""
    call_id: str = ""


class Asked(_Frame):
    """The agent uses one of the tools of its assignment, and waits for the answer."""

    frame: Literal["asked"] = "asked"
    # Names the answer.
    ask_id: str
    tool: str
    arguments: dict[str, Any]


class Heartbeat(_Frame):
    """The sign of life that renews the lease."""

    frame: Literal["heartbeat"] = "heartbeat"


class Failure(StrEnum):
    """Why a turn brought no result, in the terms that decide what to do about it."""

    transient = auto()  # the far end was overloaded, or the connection broke
    rate_limited = auto()
    authentication = auto()
    refused = auto()  # a request the far end will never take
    budget = auto()
    crashed = auto()  # the CLI or the child ended
    nonsense = auto()  # an answer that is not what was asked for


class TurnUsage(_Frame):
    """Tokens of one turn and what the backend says it cost."""

    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    @property
    def tokens(self) -> int:
        """What counts against limits: all but what was read from a cache."""
        return self.input_tokens + self.output_tokens + self.cache_write_tokens


class Spent(_Frame):
    """What the turn has used so far, all of it, where a backend tells before its end."""

    frame: Literal["spent"] = "spent"
    turn_id: str
    usage: TurnUsage


class TurnEnded(_Frame):
    """The turn is over: with a result, or with a failure and its cause."""

    frame: Literal["turn_ended"] = "turn_ended"
    turn_id: str
    text: str = ""
    structured: dict[str, Any] | None = None
    usage: TurnUsage = Field(default_factory=TurnUsage)
    # How much of its context the session fills now; None where a backend does not tell.
    session_tokens: int | None = None
    failure: Failure | None = None
    problem: str = ""
    # For rate_limited, when the far end told it: seconds until it can be tried again.
    retry_after_seconds: float | None = None


class ChildFailed(_Frame):
    """The child cannot go on; its last words."""

    frame: Literal["child_failed"] = "child_failed"
    problem: str
    # Whether another try may help: a worker that crashed may not crash again, a backend that is not
    # there will be missing again.
    failure: Failure = Failure.crashed


Down = Annotated[Assignment | Turn | Nudge | Answered | Stop, Field(discriminator="frame")]
Up = Annotated[
    Ready
    | SessionOpened
    | TextDelta
    | ToolStarted
    | ToolEnded
    | Asked
    | Heartbeat
    | Spent
    | TurnEnded
    | ChildFailed,
    Field(discriminator="frame"),
]
DOWN: TypeAdapter[Assignment | Turn | Nudge | Answered | Stop] = TypeAdapter(Down)
UP: TypeAdapter[
    Ready
    | SessionOpened
    | TextDelta
    | ToolStarted
    | ToolEnded
    | Asked
    | Heartbeat
    | Spent
    | TurnEnded
    | ChildFailed
] = TypeAdapter(Up)


def encode(frame: _Frame) -> bytes:
    """One frame as one line."""
    return frame.model_dump_json().encode() + b"\n"
