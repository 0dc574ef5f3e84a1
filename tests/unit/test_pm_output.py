"""Tables, times and sizes as `pm` prints them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agentos.home import Home
from pm import zone
from pm.output import Column, size, spoken, table, when

COLUMNS = (
    Column("ID", lambda row: str(row["id"])),
    Column("TITLE", lambda row: row["title"], stretch=True),
    Column("PROJECT", lambda row: row["project"], wide=True),
)
ROWS: list[dict[str, Any]] = [
    {"id": 1, "title": "A title that goes on and on " * 4, "project": "house"},
    {"id": 22, "title": "你好" * 30, "project": "garden"},
    {"id": 3, "title": "\x1b[2Jshort\nline", "project": ""},
]


@pytest.fixture(autouse=True)
def fresh_zone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOS_HOME", str(home.root))
    zone.owner_zone.cache_clear()


def cells(line: str) -> int:
    return sum(2 if ord(letter) > 0x2E80 else 1 for letter in line)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_table_is_never_wider_than_the_screen(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    table(ROWS, COLUMNS, empty="none")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert max(map(cells, lines)) <= width
    assert ("PROJECT" in lines[0]) == (width >= 60)


def test_a_pipe_gets_the_whole_titles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table(ROWS, COLUMNS, empty="none")
    out = capsys.readouterr().out
    assert ROWS[0]["title"].strip() in out
    assert "\x1b" not in out


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    table([], COLUMNS, empty="nothing yet")
    assert capsys.readouterr().out == "nothing yet\n"


def test_times_are_the_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOS_OWNER__TIMEZONE", "Asia/Kolkata")
    # Today, where the owner is: at night that is another day than it is in UTC.
    today = datetime.now(ZoneInfo("Asia/Kolkata")).replace(hour=17, minute=30)
    assert when(today.astimezone(UTC).isoformat()) == "17:30"
    assert when("2001-02-03T20:00:00Z") == "2001-02-04"
    assert when(None) == ""


@pytest.mark.parametrize("place", ["config.toml", ".env"])
def test_the_zone_is_read_from_home(home: Home, place: str) -> None:
    text = '[owner]\ntimezone = "Asia/Tokyo"\n'
    if place == ".env":
        text = "AGENTOS_OWNER__TIMEZONE='Asia/Tokyo'\n"
    (home.root / place).write_text(text)
    assert str(zone.owner_zone()) == "Asia/Tokyo"


@pytest.mark.parametrize("text", ["[owner", "owner = 3", '[owner]\ntimezone = "Mars/Base"', "\xff"])
def test_broken_settings_leave_the_machines_zone(home: Home, text: str) -> None:
    home.config_file.write_text(text, encoding="latin-1")
    assert zone.owner_zone() is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (59, "59 s"), (300, "5 min"), (7500, "2 h 5 min")]
)
def test_spans_are_short(seconds: float, words: str) -> None:
    assert spoken(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(("count", "words"), [(7, "7 B"), (1500, "1.5 KB"), (2_500_000, "2.5 MB")])
def test_sizes_are_short(count: int, words: str) -> None:
    assert size(count) == words
