"""Warm children: the processes of persistent workers, kept for a while between jobs."""

import time
from dataclasses import dataclass
from datetime import timedelta

from agentos.domain.frames import Assignment
from agentos.engine.children import Child


@dataclass
class _Kept:
    child: Child
    assignment: Assignment
    since: float


class WarmChildren:
    """At most one child a worker; it is handed out only for the assignment it was opened with."""

    def __init__(self, *, keep: timedelta) -> None:
        self._keep = keep
        self._kept: dict[int, _Kept] = {}

    def take(self, worker_id: int, assignment: Assignment) -> Child | None:
        """The worker's warm child, or None. One that was opened for something else is ended."""
        kept = self._kept.pop(worker_id, None)
        if kept is None or not kept.child.alive:
            return None
        if _same(kept.assignment, assignment):
            return kept.child
        kept.child.kill()
        return None

    def put(self, worker_id: int, child: Child, assignment: Assignment) -> None:
        """Keep a child whose job is done."""
        if self._keep <= timedelta() or not child.alive:
            child.kill()
            return
        self._kept[worker_id] = _Kept(child, assignment, time.monotonic())

    def evict(self, *, everything: bool = False) -> None:
        """End those that have not been needed for long, and forget those that ended."""
        limit = time.monotonic() - self._keep.total_seconds()
        for worker_id, kept in list(self._kept.items()):
            if everything or kept.since < limit or not kept.child.alive:
                del self._kept[worker_id]
                kept.child.kill()


def _same(one: Assignment, other: Assignment) -> bool:
    """Whether a session opened for one serves the other: only where it began may differ."""
    return one.model_copy(update={"session_id": None}) == other.model_copy(
        update={"session_id": None}
    )
