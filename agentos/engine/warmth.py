"""Warm children: the processes of persistent workers, kept for a while between jobs."""

import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agentos.domain.frames import Assignment
from agentos.engine.children import Child


@dataclass(frozen=True)
class Kept:
    """A child between two jobs."""

    child: Child
    # What it was opened for, and the session that it is in now.
    assignment: Assignment
    # The file that its errors go to: that of the job it was started for.
    errors: Path
    since: float


class WarmChildren:
    """At most one child a worker; it is handed out only for the assignment it was opened with."""

    def __init__(self, *, keep: timedelta, most: int = 64) -> None:
        self._keep = keep
        self._most = most
        self._kept: dict[int, Kept] = {}
        # Workers that have retired: none of their children is kept any more.
        self._retired: set[int] = set()

    def worker_ids(self) -> set[int]:
        """The workers that have a child ready."""
        return {worker_id for worker_id, kept in self._kept.items() if kept.child.alive}

    def retire(self, worker_id: int) -> None:
        """End a worker's child, now or when its last run brings it back."""
        self._retired.add(worker_id)
        self._end(worker_id)

    def take(self, worker_id: int, assignment: Assignment) -> Kept | None:
        """The worker's warm child, or None. One that was opened for something else is ended.

        So is one in another session: the rows say which one is the worker's.
        """
        kept = self._kept.pop(worker_id, None)
        if kept is None or not kept.child.alive:
            return None
        if kept.assignment == assignment:
            return kept
        kept.child.kill()
        return None

    def put(self, worker_id: int, child: Child, *, assignment: Assignment, errors: Path) -> None:
        """Keep a child whose job is done; with too many, the longest unused goes."""
        if self._keep <= timedelta() or not child.alive or worker_id in self._retired:
            child.kill()
            return
        self._end(worker_id)
        self._kept[worker_id] = Kept(child, assignment, errors, time.monotonic())
        while len(self._kept) > self._most:
            self._end_longest_unused()

    def evict(self, *, everything: bool = False, short_of_memory: bool = False) -> None:
        """End those that have not been needed for long, and forget those that ended.

        When memory is short, one more goes at each call, the longest unused first.
        """
        limit = time.monotonic() - self._keep.total_seconds()
        for worker_id, kept in list(self._kept.items()):
            if everything or kept.since < limit or not kept.child.alive:
                self._end(worker_id)
        if short_of_memory and self._kept:
            self._end_longest_unused()

    def _end_longest_unused(self) -> None:
        self._end(min(self._kept, key=lambda worker_id: self._kept[worker_id].since))

    def _end(self, worker_id: int) -> None:
        kept = self._kept.pop(worker_id, None)
        if kept is not None:
            kept.child.kill()
