"""A local server as a child process: start it, learn its url, stop it."""

import asyncio
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from agentos.errors import Misconfigured

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_KEPT_VARIABLES = ("PATH", "HOME", "LANG")
_START_WITHIN = timedelta(seconds=20)
# A server that is started again is told its port by this variable.
PORT = "AGENTOS_LOOPBACK_PORT"


class LoopbackProcess:
    """One running server on loopback. It dies with this process, also when that is killed."""

    def __init__(self, arguments: Sequence[str], *, name: str, secret: bytes) -> None:
        self._arguments = list(arguments)
        self._name = name
        self._secret = secret
        self.url = ""
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as we live
        self._process = self._spawn(port=0)

    @classmethod
    async def launch(
        cls,
        arguments: Sequence[str],
        *,
        name: str,
        secret: bytes = b"",
        within: timedelta = _START_WITHIN,
    ) -> Self:
        """Run `python ARGUMENTS` and wait until it listens. `secret` goes to its stdin, first."""
        server = cls(arguments, name=name, secret=secret)
        await asyncio.to_thread(server._await_url, within=within)
        return server

    @classmethod
    def launch_blocking(
        cls, arguments: Sequence[str], *, name: str, within: timedelta = _START_WITHIN
    ) -> Self:
        """The same for callers without an event loop."""
        server = cls(arguments, name=name, secret=b"")
        server._await_url(within=within)
        return server

    @property
    def pid(self) -> int:
        """The process id, for those who measure or kill it."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    async def stop(self) -> None:
        """End it. Stopping twice is fine."""
        await asyncio.to_thread(self.stop_blocking)

    def stop_blocking(self) -> None:
        """The same for callers without an event loop."""
        if self.running:
            self._process.kill()  # nothing to lose: it keeps nothing
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._complaints):
            if pipe is not None:
                pipe.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def relaunch(self, *, within: timedelta = _START_WITHIN) -> None:
        """Start it again, at the same address, after it has died."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = self._spawn(port=int(self.url.rsplit(":", 1)[-1]))
        await asyncio.to_thread(self._await_url, within=within)

    def _spawn(self, *, port: int) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**_clean_environment(), PORT: str(port)},
        )
        if self._secret:
            assert process.stdin is not None
            process.stdin.write(self._secret)
            process.stdin.flush()
        return process

    def _await_url(self, *, within: timedelta) -> None:
        assert self._process.stdout is not None
        line = _first_line(self._process.stdout, within=within)
        if not line:
            self._process.kill()
            self._process.wait()
            self._complaints.seek(0)
            told = self._complaints.read().decode(errors="replace").strip().splitlines()
            self.stop_blocking()
            raise Misconfigured(
                where=self._name,
                problem=told[-1] if told else f"it did not start within {within}",
                mend="Correct that and start it again.",
            )
        self.url = json.loads(line)["url"]


def _first_line(pipe: IO[bytes], *, within: timedelta) -> bytes:
    """The first line, or b"" when the pipe ends or the time is up."""
    readable, _, _ = select.select([pipe], [], [], within.total_seconds())
    return pipe.readline() if readable else b""


def _clean_environment() -> dict[str, str]:
    """Nothing of the parent's secrets: where programs, modules and the home are, and no more."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    roots = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(roots)}
