"""What is remembered, as rows: the truth that the search index is made from."""

from datetime import datetime
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, Text, text
from sqlmodel import Field

from agentos.domain.columns import EnumText, Json, UtcDateTime
from agentos.domain.row import Row


class Category(StrEnum):
    """What sort of thing a memory is."""

    preference = auto()
    decision = auto()
    lesson = auto()
    fact = auto()
    person = auto()
    event = auto()
    context = auto()
    procedure = auto()  # what worked, and how


class Trust(StrEnum):
    """Whose word a memory is. What came from outside stays data for ever."""

    owner = auto()  # the owner said it
    self = auto()  # concluded here, from what the owner said or from work
    outside = auto()  # mail, web, documents, forwarded messages


class Origin(StrEnum):
    """Where a memory was found; `Memory.source_ref` says which one."""

    owner = auto()  # told to be remembered, by hand
    message = auto()
    job = auto()
    document = auto()
    episode = auto()
    imported = auto()


def _when(*, nullable: bool = True) -> Any:
    return Column(UtcDateTime, nullable=nullable)


class Memory(Row, table=True):
    """One recalled fact. It is never rewritten: what replaces it closes it, and is named by it.

    A forgotten memory waits until `erase_at`, when its text goes for good; the empty row stays, so
    that the index and other copies of the rows learn that it is gone.
    """

    __tablename__ = "memory"
    __table_args__ = (
        CheckConstraint("importance >= 0 AND importance <= 1", name="ck_memory_importance"),
        Index("ix_memory_thread", "thread", "valid_from", "id"),
        Index(
            "ix_memory_erase",
            "erase_at",
            sqlite_where=text("erase_at IS NOT NULL"),
            postgresql_where=text("erase_at IS NOT NULL"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    # Adding the same key twice is adding it once: a capture that is repeated doubles nothing.
    key: str | None = Field(default=None, unique=True, max_length=200)
    text: str = Field(sa_column=Column(Text, nullable=False))
    category: Category = Field(
        default=Category.fact, sa_column=Column(EnumText(Category), nullable=False)
    )
    importance: float = 0.5
    trust: Trust = Field(default=Trust.owner, sa_column=Column(EnumText(Trust), nullable=False))
    origin: Origin = Field(default=Origin.owner, sa_column=Column(EnumText(Origin), nullable=False))
    source_ref: str | None = Field(default=None, max_length=500)
    # What it is a part of (a conversation, a document): those beside it in there are its context.
    thread: str | None = Field(default=None, max_length=200)
    project_id: int | None = Field(default=None, foreign_key="project.id", index=True)
    # Since when, and until when, it holds in the world; not when it was written down.
    valid_from: datetime = Field(sa_column=_when(nullable=False))
    valid_to: datetime | None = Field(default=None, sa_column=_when())
    superseded_by: int | None = Field(default=None, foreign_key="memory.id", index=True)
    created_at: datetime = Field(sa_column=_when(nullable=False))
    forgotten_at: datetime | None = Field(default=None, sa_column=_when())
    # When a forgotten one loses its text; None again once it has.
    erase_at: datetime | None = Field(default=None, sa_column=_when())
    # Counts up over all memories with each change, so that the index can ask what is new.
    revision: int = Field(default=0, index=True)

    @property
    def current(self) -> bool:
        """Whether it is neither forgotten nor replaced; it may have run out all the same."""
        return self.forgotten_at is None and self.superseded_by is None

    def holds(self, at: datetime) -> bool:
        """Whether it may be recalled as true at a moment."""
        return self.current and (self.valid_to is None or self.valid_to > at)


class MemoryUse(Row, table=True):
    """How often a memory was recalled. Apart from it, so that a recall rewrites no text."""

    __tablename__ = "memory_use"
    memory_id: int = Field(foreign_key="memory.id", primary_key=True)
    times: int = 0
    last_at: datetime = Field(sa_column=_when(nullable=False))


class MemoryGiven(Row, table=True):
    """A memory that was put into the prompt of a job, or of what was asked about a message."""

    __tablename__ = "memory_given"
    id: int | None = Field(default=None, primary_key=True)
    memory_id: int = Field(foreign_key="memory.id", index=True)
    # Not foreign keys: as with events, what is told of may be tidied away.
    job_id: int | None = Field(default=None, index=True)
    message_id: int | None = Field(default=None, index=True)
    at: datetime = Field(sa_column=_when(nullable=False))


class CoreState(StrEnum):
    """What a text of the core file is: one that stood in it, or a wish and what became of that."""

    kept = auto()  # it is or was in the file
    proposed = auto()  # waits for the owner's tap
    agreed = auto()
    refused = auto()


class CoreVersion(Row, table=True):
    """One whole version of the core file: what it was, who changed it and why."""

    __tablename__ = "core_version"
    id: int | None = Field(default=None, primary_key=True)
    state: CoreState = Field(sa_column=Column(EnumText(CoreState), nullable=False))
    text: str = Field(sa_column=Column(Text, nullable=False))
    # "owner" for changes by hand or by `pm`; else the job or the part that proposed it.
    by: str = Field(max_length=100)
    reason: str = Field(default="", sa_column=Column(Text, nullable=False))
    at: datetime = Field(sa_column=_when(nullable=False))
    answered_at: datetime | None = Field(default=None, sa_column=_when())


class CaptureKind(StrEnum):
    """What was looked through for memories."""

    begin = auto()  # nothing: what came before it is left alone
    talk = auto()
    job = auto()
    episodes = auto()


class CaptureState(StrEnum):
    """How far it is with a piece of it."""

    waiting = auto()
    done = auto()
    failed = auto()  # given up: twice the answer was nonsense


class Capture(Row, table=True):
    """One piece of what was said or done, and what was made of it. Its text is not kept here.

    A piece is written down before a model reads it, and settled in the transaction that adds its
    memories: a kill costs the reading, and never a memory or a second one.
    """

    __tablename__ = "capture"
    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True, max_length=300)
    kind: CaptureKind = Field(sa_column=Column(EnumText(CaptureKind), nullable=False))
    # The conversation, "job:12", or the day of the episodes.
    source: str = Field(max_length=200, index=True)
    # What of it: ids of messages, the id of a run, or numbers of episodes.
    after: int = 0
    upto: int = 0
    # In a conversation, the ids of what was said to the owner.
    after_said: int = 0
    upto_said: int = 0
    state: CaptureState = Field(
        default=CaptureState.waiting,
        sa_column=Column(EnumText(CaptureState), nullable=False, index=True),
    )
    captured: int = 0
    superseded: int = 0
    ignored: int = 0
    duplicate: int = 0
    # Of what a judge proposed: what it had no right to, or invented.
    refused: int = 0
    # Answers that were nonsense, and questions that nobody answered.
    failed: int = 0
    unanswered: int = 0
    problem: str = Field(default="", sa_column=Column(Text, nullable=False))
    retry_at: datetime | None = Field(default=None, sa_column=_when())
    created_at: datetime = Field(sa_column=_when(nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=_when())


class Night(Row, table=True):
    """One consolidation: how far it came, so that the next start goes on there, and what it did."""

    __tablename__ = "night"
    id: int | None = Field(default=None, primary_key=True)
    # The owner's date it was due on; one that was asked for by hand has its moment behind it.
    key: str = Field(unique=True, max_length=100)
    # The steps that are done.
    steps: list[str] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    # What they counted; no words of anybody's.
    counts: dict[str, int] = Field(default_factory=dict, sa_column=Column(Json, nullable=False))
    started_at: datetime = Field(sa_column=_when(nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=_when())
