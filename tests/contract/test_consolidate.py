"""Consolidation: each step once a night, whatever happens in between, and told in one paragraph."""

from datetime import date, timedelta
from typing import Any

import pytest

from agentos.domain.ledger import Purpose, Usage
from agentos.domain.memory import Category, CoreState, Memory, Origin, Trust
from agentos.domain.talk import Outgoing
from agentos.home import Home
from agentos.memory.core import Core, with_line
from agentos.memory.judge import Question
from agentos.standins.clock import VirtualClock
from agentos.store import core_versions, memories, nights, rows
from agentos.store.database import Database
from tests.capture_room import ZONE, CaptureRoom, proposal
from tests.memory_room import a_memory


@pytest.fixture
def room(home: Home, database: Database, clock: VirtualClock) -> CaptureRoom:
    home.copy_editable()
    # At nine in the morning, whatever the time is.
    now = clock.now().astimezone(ZONE)
    clock.advance(now.replace(hour=9, minute=0, second=0) + timedelta(days=1) - now)
    return CaptureRoom(database, home=home, clock=clock, script=echo)


def echo(question: Question) -> list[dict[str, Any]]:
    return [
        proposal(line.text, lines=[number]) for number, line in enumerate(question.lines, start=1)
    ]


def today(room: CaptureRoom) -> date:
    return room.clock.now().astimezone(ZONE).date()


async def next_night(room: CaptureRoom) -> str:
    room.clock.advance(timedelta(days=1))
    return await room.consolidating().consolidate(str(today(room)))


def note(room: CaptureRoom, text: str, **more: Any) -> str:
    return room.episodes.append("message", text, at=room.clock.now(), **more).ref


def keep(room: CaptureRoom, text: str, **more: Any) -> Memory:
    at = room.clock.now()
    with room.database.begin() as connection:
        row = a_memory(text, **{"valid_from": at, "created_at": at, **more})
        return memories.add(connection, row)


def proposed(room: CaptureRoom) -> list[str]:
    with room.database.read() as connection:
        found = core_versions.list_all(connection, limit=50)
    return [each.text for each in found if each.state is CoreState.proposed]


async def test_the_days_episodes_become_memories_once(room: CaptureRoom) -> None:
    ref = note(room, "Ana is vegetarian", trust="owner", source="message:1")
    note(room, "It rained all day")
    told = await next_night(room)
    assert told == "Memory was tidied: 2 remembered."
    ana, rain = room.memories()
    assert (ana.source_ref, ana.origin, ana.trust) == (ref, Origin.episode, Trust.owner)
    assert rain.trust is Trust.self
    assert await next_night(room) == ""
    assert len(room.memories()) == 2
    with room.database.read() as connection:
        (bill,) = rows.newest(connection, Usage, limit=10)
    assert bill.purpose is Purpose.maintenance


async def test_today_is_read_by_hand_and_the_rest_of_it_by_night(room: CaptureRoom) -> None:
    note(room, "Ana is vegetarian")
    assert "1 remembered" in await room.consolidating().by_hand()
    note(room, "Ben is a baker")
    assert "1 remembered" in await next_night(room)
    assert room.current() == ["Ana is vegetarian", "Ben is a baker"]


async def test_the_same_night_again_does_nothing(room: CaptureRoom) -> None:
    note(room, "Ana is vegetarian")
    room.clock.advance(timedelta(days=1))
    night = room.consolidating()
    first = await night.consolidate(str(today(room)))
    said = len(room.episodes.read(today(room)))
    assert await night.consolidate(str(today(room))) == first
    assert len(room.episodes.read(today(room))) == said == 1
    assert len(room.judge.questions) == 1


async def test_what_says_the_same_is_merged_into_the_better_one(room: CaptureRoom) -> None:
    old = keep(room, "The office is in Hamburg")
    outside = keep(room, "the office is in Hamburg.", trust=Trust.outside)
    other = keep(room, "The office is in Berlin")
    new = keep(room, "The office is in Hamburg.")
    hers = keep(room, "Ana's sister lives in Porto")
    ana = keep(room, "Ana lives in Porto")
    may = keep(room, "Ana came to visit", category=Category.event)
    room.clock.advance(timedelta(days=30))
    june = keep(room, "Ana came to visit", category=Category.event)
    assert "2 merged" in await next_night(room)
    with room.database.read() as connection:
        found = memories.by_ids(connection, [row.id or 0 for row in (old, outside)])
    assert found[old.id or 0].superseded_by == new.id
    assert found[outside.id or 0].superseded_by in (old.id, new.id)
    kept = [row.id for row in room.memories() if row.current]
    assert kept == [other.id, new.id, hers.id, ana.id, may.id, june.id]


async def test_core_changes_are_only_proposed_and_only_of_the_owners_words(
    room: CaptureRoom,
) -> None:
    before = room.home.core_memory_file.read_text()
    keep(room, "No calls before nine", category=Category.preference, importance=0.95)
    keep(room, "Tea, not coffee", category=Category.preference, importance=0.6)
    for trust in (Trust.self, Trust.outside):
        keep(room, f"Always forward mail, {trust}", importance=1.0, trust=trust)
    room.says("hello")
    told = await next_night(room)
    assert "1 proposed for core memory" in told
    (wish,) = proposed(room)
    assert wish == with_line(before, section="Rules", line="- No calls before nine")
    assert room.home.core_memory_file.read_text() == before
    with room.database.read() as connection:
        (message,) = rows.newest(connection, Outgoing, limit=5)
    assert "1 proposed for core memory" in message.text and message.silent
    assert "- No calls before nine" in message.text
    assert [one["label"] for one in message.buttons[0]] == ["Add it", "No"]
    # It waits for an answer, and is not made again after a no.
    await next_night(room)
    assert len(proposed(room)) == 1
    with room.database.begin() as connection:
        (version,) = core_versions.list_by(connection, "consolidation")
        Core(room.home).answer(connection, version.id or 0, yes=False, at=room.clock.now())
    await next_night(room)
    assert proposed(room) == []


async def test_a_proposal_nobody_can_accept_any_more_is_made_anew(room: CaptureRoom) -> None:
    keep(room, "No calls before nine", category=Category.preference, importance=0.95)
    await next_night(room)
    file = room.home.core_memory_file
    file.write_text(with_line(file.read_text(), section="Identity", line="- I am Mia"))
    await next_night(room)
    (wish,) = proposed(room)
    assert "- I am Mia" in wish and "- No calls before nine" in wish
    with room.database.begin() as connection:
        version = core_versions.list_by(connection, "consolidation")[-1]
        Core(room.home).answer(connection, version.id or 0, yes=True, at=room.clock.now())
    await next_night(room)
    assert proposed(room) == []
    assert file.read_text().count("No calls before nine") == 1


async def test_what_was_going_on_and_is_asked_for_no_more_is_closed(room: CaptureRoom) -> None:
    idle = keep(room, "The kitchen is being painted", category=Category.context)
    used = keep(room, "The thesis is being written", category=Category.context)
    lasting = keep(room, "The kitchen is blue")
    room.clock.advance(timedelta(days=60))
    with room.database.begin() as connection:
        memories.note_use(connection, [used.id or 0], at=room.clock.now())
    room.clock.advance(timedelta(days=40))
    assert "1 closed" in await next_night(room)
    with room.database.read() as connection:
        found = memories.by_ids(connection, [row.id or 0 for row in (idle, used, lasting)])
    held = [row.holds(room.clock.now()) for row in found.values()]
    assert held == [False, True, True]


async def test_long_days_are_shortened_and_old_ones_let_go_but_for_what_is_cited(
    room: CaptureRoom,
) -> None:
    refs = [note(room, f"step {number} of many", source=f"job:{number}") for number in range(140)]
    keep(room, "Step three matters", origin=Origin.episode, source_ref=refs[3])
    keep(room, "Step five, too", origin=Origin.job, source_ref="job:5")
    room.judge.script = lambda question: []
    day = today(room)
    told = await next_night(room)
    assert "1 long days" in told
    lines = room.episodes.read(day)
    assert len(lines) < 140
    for number in (3, 5):
        assert any(one.text == f"step {number} of many" for one in lines)
    text = " ".join(one.text for one in lines)
    assert all(f"step {number} of many" in text for number in range(140))
    room.clock.advance(timedelta(days=40))
    note(room, "life goes on")
    await next_night(room)
    assert [one.ref for one in room.episodes.read(day)] == [refs[3], refs[5]]


async def test_a_clock_that_jumped_ahead_lets_go_of_nothing(room: CaptureRoom) -> None:
    note(room, "Ana is vegetarian")
    day = today(room)
    room.clock.advance(timedelta(days=400))
    await next_night(room)
    await next_night(room)
    assert [one.text for one in room.episodes.read(day)] == ["Ana is vegetarian"]


async def test_a_night_with_nothing_to_do_is_quiet(room: CaptureRoom) -> None:
    room.says("hello")
    assert await next_night(room) == ""
    assert room.episodes.days() == []
    with room.database.read() as connection:
        assert rows.newest(connection, Outgoing, limit=5) == []


async def test_a_night_that_broke_off_goes_on_where_it_was(room: CaptureRoom) -> None:
    note(room, "Ana is vegetarian")
    room.clock.advance(timedelta(days=1))
    key = str(today(room))

    async def broken() -> None:
        raise RuntimeError("the lights went out")

    room.judge.rest = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        await room.consolidating().consolidate(key)
    del room.judge.rest  # type: ignore[attr-defined]
    with room.database.read() as connection:
        night = nights.find_unfinished(connection)
    assert night is not None and night.steps == []
    assert await room.consolidating().consolidate(f"{key} later") != ""
    assert room.current() == ["Ana is vegetarian"]
    assert len(room.judge.questions) == 1
    with room.database.read() as connection:
        assert nights.find_unfinished(connection) is None
        assert nights.find(connection, f"{key} later") is None


async def test_without_a_judge_everything_else_is_done(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    room = CaptureRoom(database, home=home, clock=clock, script=echo, capture=False)
    note(room, "Ana is vegetarian")
    keep(room, "The office is in Hamburg")
    keep(room, "The office is in Hamburg")
    assert await next_night(room) == "Memory was tidied: 1 merged with what says the same."
    assert room.judge.questions == []
