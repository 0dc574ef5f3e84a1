"""What every queue has to do to be measured, ours and its peers alike."""

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import psutil

from benchmarks.peers import record
from benchmarks.peers.record import Line

ROOT = Path(__file__).resolve().parents[2]


class Peer(ABC):
    """A queue with a worker side of two workers, in processes of its own."""

    name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "record"
        self._workers: list[subprocess.Popen[bytes]] = []
        os.environ[record.RECORD] = str(self.record)

    @abstractmethod
    def open(self) -> None:
        """Start what has to be there: a server, tables."""

    @abstractmethod
    def enqueue(self, number: int, seconds: float) -> None:
        """Queue one job, durably, and return when it is."""

    @abstractmethod
    def commands(self) -> list[list[str]]:
        """The command lines of the worker side."""

    def close(self) -> None:  # noqa: B027 - most have nothing to end
        """End what `open` started."""

    def start(self) -> None:
        """Start the worker side; it is not awaited."""
        with (self.folder / "workers.log").open("ab") as output:
            self._workers = [
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                for command in self.commands()
            ]

    def kill(self) -> None:
        """End the worker side and all that it started, as a crash of it does."""
        for process in self._workers:
            end_tree(process)
        self._workers = []

    def stop(self) -> None:
        """End the worker side; what is measured is over."""
        self.kill()

    def lines(self) -> list[Line]:
        """What the jobs have written so far."""
        return record.read(self.record)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its descendants, wherever they moved."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.send_signal(signal.SIGKILL)
    for each in family:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def python(*arguments: str) -> list[str]:
    """A command line of this interpreter."""
    return [sys.executable, "-P", *arguments]


def within(true: Callable[[], bool], *, seconds: float, step: float = 0.01) -> bool:
    """Wait until something holds; whether it came to hold in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True
