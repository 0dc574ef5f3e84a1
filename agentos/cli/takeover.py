"""Taking over: the daemon that runs puts its work down, and the new one goes on with it."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import psutil

from agentos.control.client import ControlClient
from agentos.errors import AlreadyRunning, DaemonUnreachable
from agentos.home import Home

_ANSWER = timedelta(seconds=3)
_DEATH = timedelta(seconds=5)
_LOOK_SECONDS = 0.02


def take_over(home: Home, *, patience: timedelta, say: Callable[[str], None]) -> None:
    """End the daemon of this home, if there is one: by asking, and if need be by force.

    Whatever it was doing goes on after the start that follows. Raises AlreadyRunning when even
    force did not help, because it belongs to somebody else.
    """
    pid = home.holder()
    if pid is None:
        return
    say(f"Taking over from process {pid}, which brings its work to a safe point.")
    if not _is_frozen(pid):
        _ask(home, pid)
        if _lets_go(home, pid, within=patience):
            return
    say(f"Process {pid} does not end by itself, so it is ended. Its work goes on all the same.")
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    if not _lets_go(home, pid, within=_DEATH):
        raise AlreadyRunning(home=home.root, pid=str(pid))


def _is_frozen(pid: int) -> bool:
    """Whether it is stopped, by a debugger or a SIGSTOP: then it hears nothing."""
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def _ask(home: Home, pid: int) -> None:
    """Through its socket; one that does not answer there may still hear a signal."""
    try:
        with ControlClient(home.socket, patience=_ANSWER) as daemon:
            daemon.call("daemon.stop")
    except DaemonUnreachable:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)


def _lets_go(home: Home, pid: int, *, within: timedelta) -> bool:
    """Whether the home is given back in time: later than a process is seen to have ended.

    A process that was killed still holds its files until the last of its threads is gone.
    """
    deadline = time.monotonic() + within.total_seconds()
    while time.monotonic() < deadline:
        if home.holder() != pid:
            return True
        time.sleep(_LOOK_SECONDS)
    return False
