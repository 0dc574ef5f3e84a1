"""The rows of conversation: messages in, the outbox, cards."""

from datetime import datetime
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import Column, Index, Text, UniqueConstraint, text
from sqlmodel import Field

from agentos.domain.columns import EnumText, Json, UtcDateTime
from agentos.domain.people import Audience
from agentos.domain.row import Row
from agentos.domain.states import CardState, MessageState, OutboxState


class OutboxKind(StrEnum):
    """What a channel does with an outbox row: say text, or hand over a file."""

    text = auto()
    document = auto()
    photo = auto()


class CardKind(StrEnum):
    """What a card decides, and so who acts on the answer."""

    plan = auto()
    clarify = auto()
    ask = auto()
    forget = auto()  # which of some memories is meant; the keys are their ids
    approve = auto()  # whether a worker may use a tool in a way that its policy does not cover
    core = auto()  # whether a line comes into core memory
    knock = auto()  # whether somebody is let in; the keys end with their id


class Scope(StrEnum):
    """How far an answer about a tool reaches."""

    once = auto()
    job = auto()
    project = auto()


class Message(Row, table=True):
    """Something the owner said, stored before it is acknowledged."""

    __tablename__ = "message"
    __table_args__ = (UniqueConstraint("channel", "external_id", name="uq_message_external"),)
    id: int | None = Field(default=None, primary_key=True)
    channel: str = Field(max_length=32)
    # "<channel>:<chat>" or "<channel>:<chat>/<topic>", where an answer goes.
    conversation: str = Field(max_length=200, index=True)
    # The channel's own id of the update; the unique pair makes a redelivery change nothing.
    external_id: str = Field(max_length=200)
    # The channel's id of the message itself, for reactions and replies.
    external_message_id: str | None = Field(default=None, max_length=200)
    reply_to_external_id: str | None = Field(default=None, max_length=200)
    text: str = Field(sa_column=Column(Text, nullable=False))
    attachments: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=Column(Json, nullable=False)
    )
    # Who said it, where the channel knows several people; and who hears the answer.
    person_id: int | None = None
    audience: Audience = Field(
        default=Audience.owner, sa_column=Column(EnumText(Audience), nullable=False)
    )
    # The channel's id of the album whose parts are the attachments.
    album: str | None = Field(default=None, max_length=64)
    state: MessageState = Field(
        default=MessageState.received,
        sa_column=Column(EnumText(MessageState), nullable=False, index=True),
    )
    triage: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    triaged_by: str | None = Field(default=None, max_length=100)
    # The channel's id of a half-written answer on the screen; the final one edits it.
    preview_external_id: str | None = Field(default=None, max_length=200)
    # A quick message that is one with this later one, and is handled with it.
    merged_into: int | None = Field(default=None, index=True)
    received_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    handled_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))


class Binding(Row, table=True):
    """A conversation that belongs to a project: so does the work that is asked for in it."""

    __tablename__ = "binding"
    id: int | None = Field(default=None, primary_key=True)
    conversation: str = Field(unique=True, max_length=200)
    project_id: int = Field(foreign_key="project.id", index=True)
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class Outgoing(Row, table=True):
    """One thing to say. The unique key makes saying it twice the same as once."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_open",
            "channel",
            "conversation",
            "id",
            sqlite_where=text("state IN ('pending', 'sending')"),
            postgresql_where=text("state IN ('pending', 'sending')"),
        ),
        Index(
            "ix_outbox_held",
            "conversation",
            "id",
            sqlite_where=text("state = 'held'"),
            postgresql_where=text("state = 'held'"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True, max_length=200)
    channel: str = Field(max_length=32)
    conversation: str = Field(max_length=200, index=True)
    kind: OutboxKind = Field(
        default=OutboxKind.text, sa_column=Column(EnumText(OutboxKind), nullable=False)
    )
    # Markdown. For a file: its caption.
    text: str = Field(default="", sa_column=Column(Text, nullable=False))
    file_path: str | None = Field(default=None, sa_column=Column(Text))
    # [[{"label", "data"}]]: rows of buttons; data is what a tap sends back.
    buttons: list[list[dict[str, str]]] = Field(
        default_factory=list, sa_column=Column(Json, nullable=False)
    )
    # The message this answers: a channel may quote it, or finish its preview in place.
    message_id: int | None = Field(default=None, foreign_key="message.id", index=True)
    job_id: int | None = Field(default=None, foreign_key="job.id", index=True)
    card_id: int | None = Field(default=None, foreign_key="card.id", index=True)
    # When set, this replaces what that earlier outbox row shows, instead of saying something new.
    edits_id: int | None = Field(default=None, foreign_key="outbox.id")
    silent: bool = False
    state: OutboxState = Field(
        default=OutboxState.pending, sa_column=Column(EnumText(OutboxState), nullable=False)
    )
    attempts: int = 0
    next_attempt_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    # A send was under way when the process died: whether it arrived is not known.
    uncertain: bool = False
    external_id: str | None = Field(default=None, max_length=200, index=True)
    error: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    sent_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))


class Shown(Row, table=True):
    """An id under which a channel shows an outbox row: a long answer has several.

    One message may show several rows one after the other; the newest is what it shows now.
    """

    __tablename__ = "shown"
    __table_args__ = (
        UniqueConstraint("conversation", "external_id", "outbox_id", name="uq_shown"),
    )
    id: int | None = Field(default=None, primary_key=True)
    conversation: str = Field(max_length=200)
    external_id: str = Field(max_length=200)
    outbox_id: int = Field(foreign_key="outbox.id", index=True)


class Card(Row, table=True):
    """A question with tappable options. Silence is never "yes"."""

    __tablename__ = "card"
    id: int | None = Field(default=None, primary_key=True)
    kind: CardKind = Field(sa_column=Column(EnumText(CardKind), nullable=False))
    channel: str = Field(max_length=32)
    conversation: str = Field(max_length=200, index=True)
    question: str = Field(sa_column=Column(Text, nullable=False))
    # [{"key", "label", "consequence"}]
    options: list[dict[str, str]] = Field(sa_column=Column(Json, nullable=False))
    state: CardState = Field(
        default=CardState.open, sa_column=Column(EnumText(CardState), nullable=False, index=True)
    )
    answer: str | None = Field(default=None, sa_column=Column(Text))
    # The answer in the owner's own words, when `answer` is "other".
    words: str | None = Field(default=None, sa_column=Column(Text))
    answered_via: str | None = Field(default=None, max_length=32)
    # Whether it can be answered in words, and since when they are waited for.
    other: bool = False
    words_wanted_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    # The whole of what is asked about, where a message shows a part; and what is to be allowed.
    detail: str | None = Field(default=None, sa_column=Column(Text))
    request: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    # The last run of the job that was told how it ended.
    told_run_id: int | None = None
    plan_id: int | None = Field(default=None, foreign_key="plan.id")
    task_id: int | None = Field(default=None, foreign_key="task.id")
    job_id: int | None = Field(default=None, foreign_key="job.id", index=True)
    message_id: int | None = Field(default=None, foreign_key="message.id")
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    answered_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    expires_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))


class Grant(Row, table=True):
    """What the owner has allowed, or refused, a worker to do: exactly that and nothing like it."""

    # GRANT is a word of SQL's own.
    __tablename__ = "granted"
    id: int | None = Field(default=None, primary_key=True)
    tool: str = Field(max_length=100)
    # The command, the path or the address, whole; with a digest when also the content is meant.
    pattern: str = Field(sa_column=Column(Text, nullable=False))
    digest: str = Field(default="", max_length=64)
    scope: Scope = Field(sa_column=Column(EnumText(Scope), nullable=False))
    allowed: bool = True
    job_id: int | None = Field(default=None, foreign_key="job.id", index=True)
    project_id: int | None = Field(default=None, foreign_key="project.id", index=True)
    card_id: int | None = Field(default=None, foreign_key="card.id", index=True)
    via: str = Field(default="", max_length=32)
    decided_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    used_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    revoked_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
