"""The rows of people: who may talk to this system, and who has tried."""

from datetime import datetime
from enum import StrEnum, auto

from sqlalchemy import Column, UniqueConstraint
from sqlmodel import Field

from agentos.domain.columns import EnumText, UtcDateTime
from agentos.domain.row import Row


class Role(StrEnum):
    """What somebody may do here."""

    owner = auto()
    guest = auto()  # may talk; sees nothing of the owner's, and starts no work
    stranger = auto()  # knocked, and got one hint
    ignored = auto()  # gets nothing, and is not asked about again


class Audience(StrEnum):
    """Who hears what is answered to a message, and so what may be said in it."""

    owner = auto()
    shared = auto()  # the owner spoke where others read along
    guest = auto()  # a guest spoke


class Person(Row, table=True):
    """Somebody on a channel."""

    __tablename__ = "person"
    __table_args__ = (UniqueConstraint("channel", "external_id", name="uq_person_external"),)
    id: int | None = Field(default=None, primary_key=True)
    channel: str = Field(max_length=32)
    external_id: str = Field(max_length=100)
    name: str = Field(default="", max_length=200)
    # Without the "@"; empty when they have none.
    username: str = Field(default="", max_length=64)
    role: Role = Field(sa_column=Column(EnumText(Role), nullable=False))
    seen_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
