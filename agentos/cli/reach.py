"""Reaching the daemon: the running one, or one that is started for as long as we talk."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

from agentos.control.link import Link
from agentos.control.plain import clean
from agentos.errors import AgentosError, DaemonUnreachable
from agentos.home import Home

_START_WITHIN = timedelta(seconds=60)
_STOP_WITHIN = timedelta(seconds=15)
_LAST_WORDS = 3
Tell = Callable[[str], None]


@asynccontextmanager
async def reach(home: Home, *, tell: Tell) -> AsyncIterator[Link]:
    """A link to the daemon. One that had to be started is stopped at the end."""
    home.make()
    own: OwnDaemon | None = None
    try:
        try:
            link = await Link.open(home.socket)
        except DaemonUnreachable:
            tell("Starting agentos …")
            own = OwnDaemon.start(home)
            link = await own.answer()
        try:
            yield link
        finally:
            await link.close()
    finally:
        if own is not None:
            await own.stop()


class OwnDaemon:
    """`agentos up`, started by us, with a session of its own: our Ctrl-C is not its."""

    def __init__(self, process: subprocess.Popen[bytes], *, home: Home, output: Path) -> None:
        self._process = process
        self._home = home
        self._output = output

    @classmethod
    def start(cls, home: Home) -> "OwnDaemon":
        """Start it; what it says goes into a file beside its log."""
        output = home.logs / "up.out"
        with output.open("wb") as file:
            process = subprocess.Popen(
                # -P: a file of the folder we are in must not take the place of a library.
                [sys.executable, "-P", "-m", "agentos.cli", "up"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        return cls(process, home=home, output=output)

    async def answer(self) -> Link:
        """Wait until it answers. Raises AgentosError with its last words when it ends instead."""
        deadline = asyncio.get_running_loop().time() + _START_WITHIN.total_seconds()
        while asyncio.get_running_loop().time() < deadline:
            with suppress(DaemonUnreachable):
                return await Link.open(self._home.socket)
            if self._process.poll() is not None:
                # Somebody else may have started one in the same moment.
                with suppress(DaemonUnreachable):
                    return await Link.open(self._home.socket)
                raise AgentosError(reason=f"agentos did not start. {self._last_words()}")
            await asyncio.sleep(0.05)
        raise AgentosError(reason=f"agentos takes too long to start; see {self._output}")

    async def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, _STOP_WITHIN.total_seconds())
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def _last_words(self) -> str:
        lines = clean(self._output.read_text(encoding="utf-8", errors="replace")).split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return " ".join(said[-_LAST_WORDS:]) or f"It said nothing (status {self._process.poll()})."
