"""huey on SQLite, tuned: it looks for work each 1 to 10 ms, and each commit is on the disk."""

import sys
from collections.abc import Callable
from typing import ClassVar

from huey import SqliteHuey

from benchmarks.peers import record
from benchmarks.peers.port import Peer, python


def queue(file: str) -> tuple[SqliteHuey, Callable[[int, float], object]]:
    """The queue and its one task."""
    made = SqliteHuey(filename=file, fsync=True, results=False)

    def work(number: int, seconds: float) -> None:
        record.work(number, seconds)

    return made, made.task(retries=3)(work)


def serve() -> None:
    """The worker side: one process with two worker threads, huey's own way."""
    made, _ = queue(sys.argv[1])
    made.create_consumer(
        workers=2, worker_type="thread", initial_delay=0.001, max_delay=0.01, periodic=False
    ).run()


class Huey(Peer):
    """Both sides of it."""

    name: ClassVar[str] = "huey on SQLite"

    def open(self) -> None:
        """One file."""
        self._file = str(self.folder / "huey.db")
        _, self._task = queue(self._file)

    def enqueue(self, number: int, seconds: float) -> None:
        """One insert, one commit."""
        self._task(number, seconds)

    def commands(self) -> list[list[str]]:
        """One consumer."""
        return [python("-c", f"from {__name__} import serve; serve()", self._file)]
