"""Quiet hours: when they are, and what of what is said can wait for their end."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Column
from sqlmodel import Field

from agentos.domain.columns import UtcDateTime
from agentos.domain.row import Row
from agentos.domain.work import Job, JobKind

_HOURS = re.compile(
    r"(?P<h1>\d{1,2})(?::(?P<m1>\d{2}))?\s*(?:-|–|to|until)\s*(?P<h2>\d{1,2})(?::(?P<m2>\d{2}))?"
)
# Jobs of a higher number are nobody's business at night.
_URGENT = 1


class Quiet(Row, table=True):
    """The quiet hours there are; one row at most."""

    __tablename__ = "quiet"
    id: int | None = Field(default=None, primary_key=True)
    # "22:00-07:00" on every day, or empty.
    daily: str = Field(default="", max_length=20)
    # What the settings said when the daemon last started: who spoke last is right.
    configured: str = Field(default="", max_length=20)
    zone: str = Field(default="UTC", max_length=100)
    # Besides, once, until then.
    until: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))


@dataclass(frozen=True)
class Hours:
    """From one time of day to another, over midnight when the second is the earlier one."""

    begin: time
    end: time

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"


def read_hours(words: str) -> Hours:
    """Hours out of words such as "22:00-7:00" or "22-7". Raises ValueError."""
    match = _HOURS.fullmatch(words.strip().lower())
    if match is None:
        raise ValueError("write them like 22:00-7:00")
    begin = time(int(match["h1"]) % 24, int(match["m1"] or 0))
    end = time(int(match["h2"]) % 24, int(match["m2"] or 0))
    if begin == end or int(match["h1"]) > 24 or int(match["h2"]) > 24:
        raise ValueError("they need a begin and another end, like 22:00-7:00")
    return Hours(begin, end)


def quiet_until(
    hours: Hours | None, *, once: datetime | None = None, zone: ZoneInfo, now: datetime
) -> datetime | None:
    """When the quiet ends that is now, in UTC; None when it is not quiet."""
    ends = [once] if once is not None and once > now else []
    if hours is not None:
        today = now.astimezone(zone).date()
        for day in (today - timedelta(days=1), today):
            over_midnight = timedelta(days=1 if hours.end <= hours.begin else 0)
            begin = _moment(day, hours.begin, zone)
            end = _moment(day + over_midnight, hours.end, zone)
            if begin <= now < end:
                ends.append(end)
    return max(ends, default=None)


def _moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """A time of day as a moment: of two the first, and of none the one just after the gap."""
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


def can_wait(
    *, job: Job | None, answers_owner: bool, silent: bool, edits_held: bool | None
) -> bool:
    """Whether something we want to say can wait until it is not quiet any more.

    Background work can, and so can notices that were meant to be silent anyway. What answers the
    owner, a reminder and urgent work cannot. `edits_held` is about what it changes: that decides,
    None is for something new.
    """
    if edits_held is not None:
        return edits_held
    if job is not None:
        return job.kind is not JobKind.reminder and job.priority > _URGENT
    return silent and not answers_owner
