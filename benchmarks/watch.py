"""Watching a trial while it goes on: what only shows between the faults, and is gone at the end.

Some twenty times a second it compares the live runs of the rows with the processes of the machine.
"""

import asyncio
import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

import psutil

from agentos.home import Home
from benchmarks.findings import Findings

_LOOK = timedelta(milliseconds=50)
# A process that was killed is there for some milliseconds more, longer on a busy machine.
_DYING = timedelta(milliseconds=500)
# A live run without a process: longer than the slowest start of one takes, on a busy machine.
_BARE = timedelta(seconds=60)
_LIVE = ("starting", "running")
_OVER = ("done", "failed", "cancelled")
_QUERY = (
    "SELECT r.id, r.job_id, r.state, r.pid, j.state, r.detail FROM run r"
    " JOIN job j ON j.id = r.job_id ORDER BY r.id"
)


@dataclass(frozen=True)
class Seen:
    """A run, as the rows tell."""

    run_id: int
    job_id: int
    state: str
    pid: int | None
    job_state: str
    detail: str | None

    @property
    def is_live(self) -> bool:
        """Whether it is under way."""
        return self.state in _LIVE


@dataclass(frozen=True)
class Hit:
    """A run that a fault has struck."""

    run: Seen
    at: float
    label: str


class Watch:
    """The eyes of one trial."""

    def __init__(self, home: Home, *, findings: Findings) -> None:
        self._home = home
        self._findings = findings
        self._hits: list[Hit] = []
        self._paused = 1
        # Since when something is as it should not be.
        self._doubled: dict[int, float] = {}
        self._bare: dict[int, float] = {}
        self._told: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK.total_seconds())

    def pause(self) -> None:
        """The daemon cannot be expected to do anything now."""
        self._paused += 1

    def resume(self) -> None:
        """It can again."""
        self._paused -= 1
        self._bare.clear()

    def runs(self) -> list[Seen]:
        """All runs there are."""
        if not self._home.database_file.exists():
            return []
        try:
            with closing(sqlite3.connect(self._home.database_file, timeout=15)) as rows:
                return [Seen(*row) for row in rows.execute(_QUERY)]
        except sqlite3.OperationalError:  # a first start has not come as far as the tables
            return []

    def live(self) -> list[Seen]:
        """The runs under way."""
        return [run for run in self.runs() if run.is_live]

    def hit(self, runs: Sequence[Seen], *, label: str) -> None:
        """These are interrupted now; from here on it is measured when they go on."""
        self._hits += [Hit(run, time.monotonic(), label) for run in runs]

    @property
    def waits(self) -> list[Hit]:
        """Those that do not go on yet."""
        return self._hits

    def give_up(self) -> None:
        """Whoever waited for the rest has told it."""
        self._hits = []

    def look(self) -> None:
        """Look once."""
        runs = self.runs()
        now = time.monotonic()
        self._see_what_goes_on(runs, now)
        by_job = defaultdict(list)
        for run in runs:
            by_job[run.job_id].append(run)
        for job_id, its in by_job.items():
            self._see_doubles(job_id, its, now)
        if not self._paused:
            self._see_bare([run for run in runs if run.is_live], now)

    def _see_what_goes_on(self, runs: Sequence[Seen], now: float) -> None:
        known = {run.run_id: run for run in runs}
        newest = {run.job_id: run for run in runs}
        left = []
        for hit in self._hits:
            after = newest[hit.run.job_id]
            if after.run_id == hit.run.run_id:
                # The fault came too late for it, or was borne; or it does not go on yet.
                if known[hit.run.run_id].is_live or after.job_state not in _OVER:
                    left.append(hit)
            elif after.state == "starting":
                left.append(hit)
            else:
                self._findings.back[hit.label].append(now - hit.at)
        self._hits = left

    def _see_doubles(self, job_id: int, runs: Sequence[Seen], now: float) -> None:
        if sum(run.is_live for run in runs) > 1:
            self._tell("two live runs of a job", f"job {job_id}: {runs}")
        pids = {run.pid for run in runs if run.pid is not None}
        there = [pid for pid in pids if is_there(pid)] if len(pids) > 1 else []
        if len(there) < 2:
            self._doubled.pop(job_id, None)
        elif now - self._doubled.setdefault(job_id, now) > _DYING.total_seconds():
            self._tell("two processes of a job", f"job {job_id} in {sorted(there)}: {runs}")

    def _see_bare(self, live: Sequence[Seen], now: float) -> None:
        bare = {run.run_id for run in live if run.pid is None or not is_there(run.pid)}
        self._bare = {run_id: self._bare.get(run_id, now) for run_id in bare}
        for run_id, since in self._bare.items():
            if now - since > _BARE.total_seconds():
                self._tell("leaked reservations", f"run {run_id} lives without a process")

    def _tell(self, name: str, words: str) -> None:
        if words not in self._told:
            self._told.add(words)
            self._findings.breach(name, words)


def is_there(pid: int) -> bool:
    """Whether a process lives. A zombie does not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False
