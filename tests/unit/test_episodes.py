"""Episodes: a line a thing, on the disk at once; shortened later without losing what is cited."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agentos.home import Home
from agentos.memory.episodes import COMPACT_AFTER, Episodes

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
DAY = date(2026, 11, 21)


@pytest.fixture
def episodes(home: Home) -> Episodes:
    return Episodes(home, zone=ZoneInfo("Europe/Berlin"))


def fill(episodes: Episodes, count: int) -> list[str]:
    return [
        episodes.append("message", f"line {number} about harbour{number}", at=NOW).ref
        for number in range(count)
    ]


def test_what_is_appended_is_read_in_order(episodes: Episodes) -> None:
    refs = fill(episodes, 3)
    assert [one.ref for one in episodes.read(DAY)] == refs == [f"2026-11-21:{n}" for n in (1, 2, 3)]
    assert episodes.find(refs[1]) == episodes.read(DAY)[1]
    assert episodes.find("2026-11-21:9") is None
    assert episodes.find("nonsense") is None


def test_a_line_of_late_evening_is_of_the_owners_day(episodes: Episodes) -> None:
    made = episodes.append("message", "good night", at=datetime(2026, 11, 21, 23, 30, tzinfo=UTC))
    assert made.ref == "2026-11-22:1"


@pytest.mark.parametrize("torn", [b'{"ref": "2026-11-21:3", "at"', b"\xff\xfe", b'["no episode"]'])
def test_a_torn_last_line_costs_itself_alone(episodes: Episodes, home: Home, torn: bytes) -> None:
    fill(episodes, 2)
    file = home.episodes / "2026-11-21.jsonl"
    file.write_bytes(file.read_bytes() + torn)
    assert len(episodes.read(DAY)) == 2
    episodes.append("message", "after the crash", at=NOW)
    assert [one.text for one in episodes.read(DAY)][-1] == "after the crash"
    assert len(episodes.read(DAY)) == 3


def test_texts_of_any_kind_come_back(episodes: Episodes) -> None:
    odd = "two\nlines, a \u2028 mark, “quotes”, 🙂"
    episodes.append("message", odd, at=NOW)
    assert episodes.read(DAY)[0].text == odd
    assert episodes.append("message", "half \ud800 a pair", at=NOW).ref == "2026-11-21:2"
    assert len(episodes.read(DAY)) == 2


def test_a_long_day_is_shortened_and_what_is_cited_stays(episodes: Episodes) -> None:
    refs = fill(episodes, COMPACT_AFTER + 50)
    cited = {refs[3], refs[40]}
    assert episodes.compact(DAY, cited=cited)
    after = episodes.read(DAY)
    assert len(after) < COMPACT_AFTER
    for ref in cited:
        assert episodes.find(ref) is not None
        assert episodes.find(ref).text.startswith("line ")  # type: ignore[union-attr]
        assert not episodes.find(ref).folded  # type: ignore[union-attr]
    assert [one.ref for one in after][-1] == refs[-1]
    assert all(any(f"harbour{n}" in one.text for one in after) for n in range(150))
    assert not episodes.compact(DAY, cited=cited)
    assert episodes.append("message", "one more", at=NOW).ref == f"2026-11-21:{len(refs) + 1}"


def test_a_short_day_is_left_alone(episodes: Episodes) -> None:
    fill(episodes, COMPACT_AFTER)
    assert not episodes.compact(DAY, cited=set())


def test_old_days_go_but_for_what_is_cited(episodes: Episodes) -> None:
    old = NOW - timedelta(days=40)
    kept = episodes.append("message", "cited", at=old)
    episodes.append("message", "not cited", at=old)
    episodes.append("message", "older still", at=old - timedelta(days=1))
    episodes.append("message", "of today", at=NOW)
    gone = episodes.expire(today=DAY, window=timedelta(days=30), cited={kept.ref})
    assert len(gone) == 2
    assert [one.text for day in episodes.days() for one in episodes.read(day)] == [
        "cited",
        "of today",
    ]
    assert episodes.expire(today=DAY, window=timedelta(days=30), cited={kept.ref}) == []


def test_a_search_finds_the_line_in_any_day(episodes: Episodes) -> None:
    episodes.append("message", "the violin is at the repair shop", at=NOW - timedelta(days=3))
    fill(episodes, 5)
    found = episodes.search("who repairs the violin?")
    assert [one.text for one, _ in found] == ["the violin is at the repair shop"]
    assert episodes.search("quantum") == []


def test_what_is_erased_is_in_no_file(episodes: Episodes, home: Home) -> None:
    episodes.append("message", "my secret is xylograph", at=NOW)
    fill(episodes, 2)
    assert episodes.erase(["xylograph"]) == 1
    assert not any(b"xylograph" in file.read_bytes() for file in home.episodes.iterdir())
    assert len(episodes.read(DAY)) == 2
