"""kill -9 at seeded steps of consolidation and compaction: nothing is lost, nothing doubled."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from agentos.domain.memory import CoreState
from agentos.domain.talk import Outgoing
from agentos.home import Home
from agentos.memory.episodes import Episode, Episodes
from agentos.store import captures, core_versions, memories, nights, rows
from agentos.store.database import Database
from tests.capture_room import ZONE
from tests.memory_room import a_memory, holding
from tests.night_room import AT, DAY, NIGHT, SECRET

ROOT = Path(__file__).resolve().parent.parent.parent


def lives(home: Home, work: str, *, seed: int, kills: int) -> int:
    """Have it done by processes that are killed; how many were."""
    command = [sys.executable, "-m", "tests.night_room", str(home.root), work, str(seed)]
    told = subprocess.run(
        [*command, str(kills)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-2000:]
    return int(told.stdout.split()[-1])


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_during_the_night_lose_and_double_nothing(
    home: Home, database: Database, seed: int
) -> None:
    home.copy_editable()
    episodes = Episodes(home, zone=ZONE)
    for number in range(70):
        text = f"fact {number} of one kind" if number % 10 == 0 else f"step {number}"
        episodes.append("message", text, at=AT, trust="owner", source=f"message:{number}")
    with database.begin() as connection:
        for _ in range(3):
            memories.add(connection, a_memory("The office is in Hamburg", valid_from=AT))
    assert lives(home, "consolidate", seed=seed, kills=12) >= 5
    with database.read() as connection:
        found = memories.list_all(connection, everything=True, limit=1000)
        told = captures.counts(connection)
        night = nights.find(connection, NIGHT)
        proposals = core_versions.list_by(connection, "consolidation")
        said = rows.newest(connection, Outgoing, limit=10)
    current = Counter(row.text for row in found if row.current)
    assert current == {
        "The office is in Hamburg": 1,
        **{f"fact {number} of one kind": 1 for number in range(0, 70, 10)},
    }
    assert len(found) == 3 + 7
    assert (told["captured"], told["waiting"], told["failed"]) == (7, 0, 0)
    assert night is not None and night.ended_at is not None
    assert [each.state for each in proposals] == [CoreState.proposed]
    assert said == []  # nobody ever spoke to us, so nobody is told
    assert len([one for day in episodes.days() for one in episodes.read(day)]) == 70 + 1


@pytest.mark.parametrize("seed", [3, 4])
def test_kills_during_a_compaction_lose_and_double_nothing(home: Home, seed: int) -> None:
    episodes = Episodes(home, zone=ZONE)
    before: list[Episode] = []
    for number in range(160):
        # The secret stands where folding cuts a line, and where it does not.
        long = "so it goes " * 21 if number in (20, 30, 130) else ""
        secret = f"{long}the word is {SECRET}" if number in (20, 30, 31, 130, 158) else ""
        before.append(episodes.append("message", secret or f"step {number}.", at=AT))
    assert lives(home, "compact", seed=seed, kills=20) >= 8
    lines = episodes.read(DAY)
    assert len(lines) < 100
    everything = " / ".join(one.text for one in lines)
    for number, one in enumerate(before):
        if SECRET not in one.text:
            assert everything.count(f"step {number}.") == 1, number
        if number % 7 == 0 and SECRET not in one.text:
            assert one in lines  # cited, so it is as it was
    assert everything.count("the end of the day") == 1
    assert holding(home.root, SECRET[:6]) == []
