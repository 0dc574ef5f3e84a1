"""Work on memory that is killed -9 at its n-th step, again and again: a program of its own.

    python -m tests.night_room HOME WORK SEED KILLS

It imports once and forks for each life, so that a kill costs milliseconds. A life counts the calls
of our own functions, and ends itself with SIGKILL at a number that the seed gives; the last one
comes to its end. It prints how many were killed.
"""

import asyncio
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from agentos.home import Home
from agentos.memory.episodes import Episodes
from agentos.memory.judge import Question
from agentos.standins.clock import VirtualClock
from agentos.store.database import Database, sqlite_url
from tests.capture_room import ZONE, CaptureRoom, proposal

DAY = date(2026, 11, 20)
NIGHT = "2026-11-21"
AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
SECRET = "xylographer"


class NightClock(VirtualClock):
    """It is always the morning after."""

    def now(self) -> datetime:
        return AT + timedelta(days=1)


def every_line(question: Question) -> list[dict[str, Any]]:
    """A judge that takes every line for a fact that each conversation should know."""
    return [
        proposal(line.text, lines=[number], importance=0.95, category="preference")
        for number, line in enumerate(question.lines, start=1)
        if line.text.startswith("fact")
    ]


def consolidate(home: Home) -> None:
    """One night."""
    database = Database(sqlite_url(home.database_file))
    room = CaptureRoom(database, home=home, clock=NightClock(), script=every_line)
    night = room.consolidating()
    asyncio.run(night.consolidate(NIGHT))
    database.close()


def compact(home: Home) -> None:
    """A long day is shortened, something is erased from it, and more is noted."""
    episodes = Episodes(home, zone=ZONE)
    cited = {f"{DAY}:{number}" for number in range(1, 200, 7)}
    episodes.compact(DAY, cited=cited)
    episodes.erase([f"the word is {SECRET}"])
    if not any(one.kind == "end" for one in episodes.read(DAY)):
        episodes.append("end", "the end of the day", at=AT)
    episodes.compact(DAY, cited=cited)


WORK: dict[str, Callable[[Home], None]] = {"consolidate": consolidate, "compact": compact}


def killed_at(count: int) -> None:
    """From now on this process dies at so many calls of functions of ours."""
    left = [count]
    ours = str(Path(__file__).resolve().parent.parent / "agentos")

    def called(frame: FrameType, event: str, _: Any) -> None:
        if event in ("call", "return") and frame.f_code.co_filename.startswith(ours):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(called)
    sys.setprofile(called)


def life(home: Home, work: Callable[[Home], None], *, dies_at: int | None) -> bool:
    """One process; whether it was killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if dies_at is not None:
                killed_at(dies_at)
            work(home)
            code = 0
        finally:
            sys.setprofile(None)
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit("a life ended with an error of its own")
    return os.WIFSIGNALED(status)


def main() -> None:
    home, work = Home(Path(sys.argv[1])), WORK[sys.argv[2]]
    chance, kills = random.Random(int(sys.argv[3])), 0
    for _ in range(int(sys.argv[4])):
        # Most of what matters is early or late; a power spreads the points over all sizes.
        kills += life(home, work, dies_at=int(10 ** chance.uniform(0.5, 4.3)))
    life(home, work, dies_at=None)
    print(kills)


if __name__ == "__main__":
    main()
