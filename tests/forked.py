"""Daemons that are forked from a process which has imported all they need.

That is more than half of what a start costs, and the scenarios have a hundred of them. What runs
is the same: a process with an environment, a session and files of its own, which can be stopped and
killed. Who tests the start itself starts it from nothing.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Self

from agentos.cli import commands

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["agentos.app", "agentos.cli.up", "alembic.command"])
# Who learns of an end takes it out of a pipe, and a start asks for all ends.
_ONE_AT_A_TIME = threading.Lock()


class Forked:
    """A process as subprocess.Popen would give it."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self.stdout: IO[bytes] | None = None
        self._process = _FORKING.Process(target=target, args=arguments, daemon=True)
        with _ONE_AT_A_TIME:
            self._process.start()

    @classmethod
    def agentos(cls, *arguments: str, environment: Mapping[str, str], folder: Path) -> Self:
        """Run `agentos ARGUMENTS` in a folder; `stdout` is what it says."""
        heard, said = _FORKING.Pipe(duplex=False)
        with heard, said:
            made = cls(_agentos, arguments, dict(environment), folder, said)
            made.stdout = os.fdopen(os.dup(heard.fileno()), "rb", buffering=0)
            return made

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, as far as that is known."""
        return self.poll()

    def poll(self) -> int | None:
        """How it ended, or None while it is there."""
        with _ONE_AT_A_TIME:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(["agentos"], timeout or 0)
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        """As to any process; one that has ended hears nothing."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _agentos(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    folder: Path,
    said: Connection,
) -> None:
    """Be what `python -m agentos.cli ARGUMENTS` is, from here on."""
    os.setsid()
    os.chdir(folder)
    _see(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    said.close()
    # What Python knew of the files that were there before does not hold for these.
    sys.stdin, sys.stdout, sys.stderr = map(os.fdopen, (0, 1, 2), "rww")
    sys.argv = ["agentos", *arguments]
    commands.main()


def _see(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
