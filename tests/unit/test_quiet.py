"""Quiet hours: when they are, and what can wait for their end."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.quiet import Hours, can_wait, quiet_until, read_hours
from agentos.domain.work import Job, JobKind

NIGHT = Hours(time(22), time(7))
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))


@pytest.mark.parametrize(
    ("words", "hours"),
    [
        ("22:00-7:00", NIGHT),
        ("22-7", NIGHT),
        (" 22:00 to 07:00 ", NIGHT),
        ("13:30-14", Hours(time(13, 30), time(14))),
        ("22-24", Hours(time(22), time(0))),
    ],
)
def test_hours_are_read(words: str, hours: Hours) -> None:
    assert read_hours(words) == read_hours(str(hours)) == hours


@pytest.mark.parametrize("words", ["", "22", "7:00-7:00", "25-7", "22:70-7:00", "night"])
def test_what_makes_no_hours_is_refused(words: str) -> None:
    with pytest.raises(ValueError):
        read_hours(words)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-20T21:59+01:00", None),
        ("2026-11-20T22:00+01:00", "2026-11-21T07:00+01:00"),
        ("2026-11-21T06:59+01:00", "2026-11-21T07:00+01:00"),
        ("2026-11-21T07:00+01:00", None),
        # The nights in which the clocks are changed: an hour shorter, an hour longer.
        ("2026-03-28T23:00+01:00", "2026-03-29T07:00+02:00"),
        ("2026-10-24T23:00+02:00", "2026-10-25T07:00+01:00"),
    ],
)
def test_a_night_in_berlin(now: str, end: str | None) -> None:
    found = quiet_until(NIGHT, zone=ZoneInfo("Europe/Berlin"), now=datetime.fromisoformat(now))
    assert found == (None if end is None else datetime.fromisoformat(end))


@given(begin=TIMES, end=TIMES, zone=st.sampled_from(ZONES), now=MOMENTS)
def test_quiet_ends_and_is_then_over(begin: time, end: time, zone: str, now: datetime) -> None:
    if begin == end:
        return
    hours, place = Hours(begin, end), ZoneInfo(zone)
    until = quiet_until(hours, zone=place, now=now)
    if until is None:
        return
    assert now < until <= now + timedelta(hours=25)
    assert quiet_until(hours, zone=place, now=until) is None
    half = now + (until - now) / 2
    assert quiet_until(hours, zone=place, now=half) == until


@given(now=MOMENTS, zone=st.sampled_from(ZONES), minutes=st.integers(1, 600))
def test_for_once_it_lasts_as_long_as_was_said(now: datetime, zone: str, minutes: int) -> None:
    once = now + timedelta(minutes=minutes)
    assert quiet_until(None, once=once, zone=ZoneInfo(zone), now=now) == once
    assert quiet_until(None, once=once, zone=ZoneInfo(zone), now=once) is None


def job(priority: int, kind: JobKind = JobKind.agent) -> Job:
    return Job(title="t", prompt="p", priority=priority, kind=kind)


@pytest.mark.parametrize(
    ("about", "answers", "silent", "edits_held", "waits"),
    [
        (job(2), False, False, None, True),
        (job(5), True, False, None, True),
        (job(1), True, False, None, False),
        (job(3, JobKind.reminder), False, False, None, False),
        (None, True, True, None, False),
        (None, False, True, None, True),
        (None, False, False, None, False),
        (job(5), False, True, False, False),
        (job(1), False, True, True, True),
    ],
)
def test_what_can_wait(
    about: Job | None, answers: bool, silent: bool, edits_held: bool | None, waits: bool
) -> None:
    found = can_wait(job=about, answers_owner=answers, silent=silent, edits_held=edits_held)
    assert found is waits
