"""Finding what a child started, even when it moved to a session of its own."""

import os
from contextlib import suppress
from pathlib import Path

import psutil

from agentos.domain.frames import MARK


def children_of_self() -> list[int]:
    """The direct children of this process, those it has inherited too."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    try:
        return [int(pid) for pid in listing.read_text().split()]
    except OSError:
        return [child.pid for child in psutil.Process().children()]


def mark_of(pid: int) -> str:
    """The mark that a process carries; empty when it has none or is not ours to read."""
    with suppress(psutil.Error, OSError):
        return psutil.Process(pid).environ().get(MARK, "")
    return ""
