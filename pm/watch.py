"""`pm engine watch`: the status, drawn anew each second until q or Ctrl-C."""

import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

import typer

from agentos.control.client import ControlClient
from agentos.errors import AgentosError, BadRequest, DaemonUnreachable
from agentos.home import Home, default_home
from pm.output import bold, faint
from pm.overview import lines_of

_EVERY_SECONDS = 1.0
_PATIENCE = timedelta(seconds=5)
_OPEN = "\x1b[?1049h\x1b[?25l\x1b[2J"  # the other screen, without a cursor
_CLOSE = "\x1b[?25h\x1b[?1049l"
# Between these a terminal that knows them draws nothing, so a frame appears as a whole.
_FRAME = "\x1b[?2026h\x1b[H", "\x1b[J\x1b[?2026l"
_END_OF_LINE = "\x1b[K"


def watch() -> None:
    """Draw until somebody says stop. Raises BadRequest without a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        problem = "pm engine watch needs a terminal; for scripts there is pm engine status --json"
        raise BadRequest(problem=problem)
    source = _Source()
    with _screen():
        while True:
            sys.stdout.write(frame(source.lines(*_size()), height=_size()[1]))
            sys.stdout.flush()
            if _key_within(_EVERY_SECONDS):
                return


def frame(lines: list[str], *, height: int) -> str:
    """What draws these lines over the ones before, and nothing besides."""
    begin, end = _FRAME
    body = f"{_END_OF_LINE}\n".join(lines[:height])
    return f"{begin}{body}{_END_OF_LINE}{end}"


class _Source:
    """Asks the daemon, over one connection as long as that lasts."""

    def __init__(self) -> None:
        self._client: ControlClient | None = None

    def lines(self, width: int, height: int) -> list[str]:
        """The screen of now; when nobody answers, it says so and tries again the next time."""
        try:
            if self._client is None:
                self._client = ControlClient(Home(default_home()).socket, patience=_PATIENCE)
            status = self._client.call("engine.status", waiting=height)
        except DaemonUnreachable:
            self._client = None
            words = "agentos does not run. As soon as it does, you see it here."
            return [bold(words[:width]), "", faint("q ends this")]
        except AgentosError as error:
            return [line[:width] for line in str(error).splitlines()]
        lines = lines_of(status, width=width, height=height - 1)
        blank = [""] * (height - 1 - len(lines))
        clock = time.strftime("%H:%M:%S")
        return [*lines, *blank, faint(f"{clock} · q ends this"[:width])]


@contextmanager
def _screen() -> Iterator[None]:
    """The other screen and single keys; all is as it was afterwards, however it ends."""
    before = termios.tcgetattr(sys.stdin)
    was = signal.signal(signal.SIGTERM, _end)
    try:
        tty.setcbreak(sys.stdin)
        sys.stdout.write(_OPEN)
        yield
    except KeyboardInterrupt:
        pass  # that is how one ends it
    finally:
        sys.stdout.write(_CLOSE)
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, was)


def _end(number: int, _frame: FrameType | None) -> None:
    raise typer.Exit(128 + number)


def _key_within(seconds: float) -> bool:
    """Whether q (or the end of the keyboard) comes within that time; other keys are ignored."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin], [], [], left)
        if not ready:
            return False
        typed = os.read(sys.stdin.fileno(), 64)
        if not typed or set(typed) & set(b"qQ\x03\x04"):
            return True
    return False


def _size() -> tuple[int, int]:
    size = shutil.get_terminal_size()
    return max(size.columns, 20), max(size.lines, 5)
