"""Reading a time out of plain words, for when no model can: "in 20 minutes", "tomorrow at 9"."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_UNITS = {"m": 1, "min": 1, "h": 60, "d": 1440, "w": 10080}
_IN = re.compile(
    r"\bin (?P<n>\d{1,4}|an?|half an?) ?"
    r"(?P<unit>minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w)\b",
    re.IGNORECASE,
)
_CLOCK = r"(?:at |@ ?)?(?P<h>\d{1,2})(?::(?P<m>\d{2}))? ?(?P<half>am|pm)?"
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = re.compile(
    r"\b(?P<day>today|tonight|tomorrow|this evening|(?:next |on )?(?:" + "|".join(_DAYS) + r"))\b"
    r"(?:,? (?P<clock>" + _CLOCK + r")\b)?",
    re.IGNORECASE,
)
_AT = re.compile(r"\b(?:at|@) ?(?P<h>\d{1,2})(?::(?P<m>\d{2}))? ?(?P<half>am|pm)?\b", re.IGNORECASE)
_NAMED_HOURS = {"tonight": 20, "this evening": 18}


@dataclass(frozen=True)
class FoundTime:
    """A moment, and the words of the text that named it."""

    at: datetime
    words: str


def find_time(text: str, *, now: datetime) -> FoundTime | None:
    """The first time the words name, in the zone of `now` and after it; None when there is none."""
    if match := _IN.search(text):
        return FoundTime(at=now + _span(match), words=match.group(0))
    if match := _DAY.search(text):
        at = _on_day(match, now=now)
        if at is None or match.group("clock") is not None:
            return None if at is None else FoundTime(at=at, words=match.group(0))
        rest = text[match.end() :]
        clock = _AT.search(rest) or _AT.search(text)
        if clock and (hour := _hour(clock)) is not None:
            at = at.replace(hour=hour, minute=int(clock.group("m") or 0))
            return FoundTime(
                at=at, words=match.group(0) if clock.string is rest else clock.group(0)
            )
        return FoundTime(at=at, words=match.group(0))
    if match := _AT.search(text):
        hour = _hour(match)
        if hour is None:
            return None
        at = now.replace(hour=hour, minute=int(match.group("m") or 0), second=0, microsecond=0)
        return FoundTime(at=at if at > now else at + timedelta(days=1), words=match.group(0))
    return None


def _span(match: re.Match[str]) -> timedelta:
    words = match.group("n").lower()
    unit = match.group("unit").lower()
    minutes = _UNITS["min"] if unit.startswith("m") else _UNITS[unit[0]]
    if words.startswith("half"):
        return timedelta(minutes=minutes / 2)
    return timedelta(minutes=minutes * (int(words) if words.isdigit() else 1))


def _hour(match: re.Match[str]) -> int | None:
    hour, half = int(match.group("h")), (match.group("half") or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    if hour > 23 or int(match.group("m") or 0) > 59:
        return None
    return hour


def _on_day(match: re.Match[str], *, now: datetime) -> datetime | None:
    day = match.group("day").lower().removeprefix("next ").removeprefix("on ")
    hour, minute = _NAMED_HOURS.get(day, 9), 0
    if match.group("clock"):
        found = _hour(match)
        if found is None:
            return None
        hour, minute = found, int(match.group("m") or 0)
    start = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if day == "tomorrow":
        return start + timedelta(days=1)
    if day in _DAYS:
        ahead = (_DAYS.index(day) - now.weekday()) % 7 or 7
        return start + timedelta(days=ahead)
    return start if start > now else now + timedelta(hours=1)
