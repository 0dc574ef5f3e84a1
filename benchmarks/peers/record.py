"""What a job leaves of itself: a line with its number and the time, written by the job.

Appended in one write, so lines of many processes never mix; CLOCK_MONOTONIC is the same for all.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

# Where the jobs of a peer find the file.
RECORD = "BENCHMARK_RECORD"


@dataclass(frozen=True)
class Line:
    """A job began, or ended."""

    number: int
    began: bool
    at: float


def note(number: int, *, began: bool) -> None:
    """Called inside the job."""
    line = f"{number} {'began' if began else 'ended'} {time.monotonic():.6f}\n".encode()
    file = os.open(os.environ[RECORD], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def work(number: int, seconds: float) -> None:
    """The job of every peer: nothing, or a little nap between two lines."""
    note(number, began=True)
    if seconds:
        time.sleep(seconds)
        note(number, began=False)


def read(path: Path) -> list[Line]:
    """All lines so far, as they were written."""
    if not path.exists():
        return []
    lines = [line.split() for line in path.read_text().splitlines()]
    return [Line(int(number), word == "began", float(at)) for number, word, at in lines]
