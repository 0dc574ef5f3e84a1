"""A CLI as a child process whose standard output is JSON, one object a line.

It lives in a process group of its own and is ended with all that it started, whatever becomes of
who reads it. Whatever it writes, there is a limit to what is kept of it.
"""

import asyncio
import ctypes
import errno
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from agentos.backends.process_groups import end_group, gone, reap, spawn
from agentos.backends.reach import PREFIX
from agentos.errors import BackendFailed, BackendMissing

Json = dict[str, Any]

# An object may hold all that a tool has printed; what is longer is no object of a sane CLI.
_LONGEST_LINE = 16 * 1024 * 1024
# Both streams of one run together.
_MOST_BYTES = 64 * 1024 * 1024
_CHUNK = 1 << 16
_KEPT_ERRORS = 16 * 1024
_REAP = timedelta(seconds=3)
# How often it is looked whether a silent CLI is still there: less and less.
_LOOK_SECONDS = 0.125
_LOOK_SELDOM_SECONDS = 2.0
# Why a program does not start that will not start the next time either.
_LASTING = (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.EISDIR, errno.ENOTDIR)
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class Command:
    """How a CLI is started: a list of words, never a shell."""

    arguments: Sequence[str]
    folder: Path
    # Written to its standard input, which is closed then, unless the CLI is one to talk with.
    stdin: str = ""
    talks: bool = False
    # On top of the environment of this process, which is the allow-list of a worker.
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one run of a CLI came to its end."""

    # As the shell counts it, or minus the number of the signal.
    exit_code: int
    # The last 16 KB of its standard error.
    errors: str = ""
    # The objects that were read, and the first line that was none (at most 200 characters).
    objects: int = 0
    junk: str = ""
    # Why it was ended by us: it said too much. Empty when it ended by itself.
    flooded: str = ""
    # Why it was ended by us: it said nothing at all. Empty when it ended by itself.
    silent: str = ""

    @property
    def complaint(self) -> str:
        """Its last error, or else its last words, in one line of at most 500 characters.

        Behind an error there may be a trace of where it happened, which says nothing to anybody.
        """
        words = [line.strip() for line in self.errors.splitlines() if line.strip()]
        named = [line for line in words if line.lower().startswith(("error", "fatal"))]
        return (named or words or [""])[-1][:500]


class CliProcess:
    """One run of a CLI. Use as a context manager: when that ends, the process has."""

    def __init__(
        self, command: Command, *, name: str, first_word_within: timedelta | None = None
    ) -> None:
        """`name` is the backend's, for errors; a CLI that is silent for too long is ended."""
        self._command = command
        self._name = name
        self._first_word_within = first_word_within
        self._process: asyncio.subprocess.Process | None = None
        self._errors = bytearray()
        self._bytes = 0
        self._objects = 0
        self._junk = ""
        self._flooded = ""
        self._silent = ""
        self._side: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start it. Raises BackendMissing when it cannot be started, BackendFailed when not now."""
        command = self._command
        program = command.arguments[0]
        try:
            self._process = await spawn(
                *command.arguments,
                cwd=command.folder,
                env={**_passed(), **command.variables},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                preexec_fn=_die_with_parent,
                limit=_CHUNK,
            )
        except (OSError, ValueError) as error:
            kind = BackendMissing if getattr(error, "errno", None) in _LASTING else BackendFailed
            if not command.folder.is_dir():
                kind = BackendFailed
                problem = f"its working folder {command.folder} is gone"
            elif isinstance(error, FileNotFoundError):
                problem = f"its CLI is missing: there is no {program}"
            else:
                words = getattr(error, "strerror", None) or str(error)
                problem = f"its CLI {program} cannot be started: {words}"
            raise kind(backend=self._name, problem=problem) from error
        self._side = [
            asyncio.create_task(self._write_input()),
            asyncio.create_task(self._keep_errors()),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.end()

    @property
    def pid(self) -> int:
        """Its process id, which names its process group, too."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def say(self, said: Json) -> None:
        """Tell a CLI that talks one object. What it may write in answer is counted anew."""
        assert self._process is not None and self._process.stdin is not None
        self._bytes = 0
        # It may have ended; its output tells.
        with suppress(ConnectionError):
            self._process.stdin.write(json.dumps(said).encode() + b"\n")
            await self._process.stdin.drain()

    async def line(self, *, within: timedelta) -> str:
        """Its next line, whatever that is; empty when it ends or says none in time."""
        assert self._process is not None and self._process.stdout is not None
        with suppress(TimeoutError, ValueError):
            async with asyncio.timeout(within.total_seconds()):
                found = await self._process.stdout.readline()
                self._counted(len(found))
                return found.decode(errors="replace").strip()
        return ""

    def spoil(self, line: str) -> None:
        """Count an object as junk after all: whoever read it could make nothing of it."""
        self._objects -= 1
        self._junk = self._junk or line[:200]

    async def objects(self) -> AsyncGenerator[Json, None]:
        """What it says, object by object, until its output ends; other lines are junk.

        A run that says more than 64 MB in all, or no first word in time, is ended here.
        """
        buffer = bytearray()
        skipping = False  # in the middle of a line that is too long to be kept
        within = self._first_word_within
        while chunk := await self._read(within):
            within = None
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                buffer += chunk[start:end]
                start = end + 1
                if not skipping and (found := self._object(bytes(buffer))) is not None:
                    yield found
                buffer.clear()
                skipping = False
            if not skipping:
                buffer += chunk[start:]
            if len(buffer) > _LONGEST_LINE:
                self._object(bytes(buffer[:200]))
                buffer.clear()
                skipping = True
        if buffer and (found := self._object(bytes(buffer))) is not None:
            yield found

    async def ended(self) -> Ending:
        """Wait for its end, to be called when its output has ended; returns how it ended."""
        assert self._process is not None
        # Its output is closed, so it is on its way out, or is not well.
        await gone(self._process, within=_REAP)
        await self.end()
        return Ending(
            exit_code=self._process.returncode or 0,
            errors=self._errors.decode(errors="replace"),
            objects=self._objects,
            junk=self._junk,
            flooded=self._flooded,
            silent=self._silent,
        )

    async def end(self) -> None:
        """End it and what it started, now. Twice is fine."""
        process = self._process
        if process is None:
            return
        self._kill()
        for task in self._side:
            # What it has left of errors is read to the end; what it does not take is dropped.
            _, waiting = await asyncio.wait([task], timeout=1.0)
            for each in waiting:
                each.cancel()
        await asyncio.gather(*self._side, return_exceptions=True)
        self._side = []
        await reap(process)

    async def _read(self, within: timedelta | None) -> bytes:
        """The next piece of its output; nothing when there is no more, or it was silent too long.

        Its output may outlive it in the hands of what it has started, which nobody waits for.
        """
        assert self._process is not None and self._process.stdout is not None
        began = time.monotonic()
        look = _LOOK_SECONDS
        while True:
            exited = self._process.returncode is not None
            look = min(2 * look, _LOOK_SELDOM_SECONDS)
            try:
                async with asyncio.timeout(look):
                    chunk = await self._process.stdout.read(_CHUNK)
            except TimeoutError:
                if exited:
                    return b""
                if within and time.monotonic() - began >= within.total_seconds():
                    self._silent = f"its CLI said nothing for {within.total_seconds():g} seconds"
                    self._kill()
                    return b""
                continue
            return chunk if self._counted(len(chunk)) else b""

    def _counted(self, size: int) -> bool:
        """Count what it wrote; False when that is too much, and it is ended."""
        self._bytes += size
        if self._bytes <= _MOST_BYTES:
            return True
        self._flooded = f"its CLI wrote more than {_MOST_BYTES >> 20} MB"
        self._kill()
        return False

    def _object(self, line: bytes) -> Json | None:
        """The object on a line; None for junk, of which the first is kept."""
        if not line.strip():
            return None
        with suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict):
                self._objects += 1
                return found
        self._junk = self._junk or line[:200].decode(errors="replace").strip()
        return None

    async def _write_input(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        pipe = self._process.stdin
        # It may end without having read its prompt; its end says why.
        with suppress(ConnectionError):
            pipe.write(self._command.stdin.encode(errors="replace"))
            await pipe.drain()
        if self._command.talks:
            return
        with suppress(ConnectionError):
            pipe.close()
            await pipe.wait_closed()

    async def _keep_errors(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        while chunk := await self._process.stderr.read(_CHUNK):
            self._errors += chunk
            del self._errors[:-_KEPT_ERRORS]
            if not self._counted(len(chunk)):
                return

    def _kill(self) -> None:
        """Its group, and what has left its group but is still below it."""
        process = self._process
        assert process is not None
        below: list[psutil.Process] = []
        if process.returncode is None:
            with suppress(psutil.Error):
                below = psutil.Process(process.pid).children(recursive=True)
        end_group(process.pid)
        for each in below:
            with suppress(psutil.Error):
                each.kill()  # psutil makes sure that it is still the same process


def _die_with_parent() -> None:
    """When the worker is killed, its CLI goes, too. Elsewhere than on Linux, the sweep ends it."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _passed() -> dict[str, str]:
    """The environment of this worker without what it was told of other backends."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
