"""The daemon's end of the index process: start it, ask it, start it again when it has died."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from agentos import log as logs
from agentos.errors import IndexDown

log = logs.get(__name__)
_LINE_LIMIT = 256 * 1024 * 1024
_START = timedelta(seconds=60)
# A process that dies at once is not started again and again.
_REST = timedelta(seconds=5)
_PASSED = ("PATH", "HOME", "LANG", "TMPDIR", "HF_HOME", "HTTPS_PROXY", "SSL_CERT_FILE")


class IndexProcess:
    """Started by the first call, in the background; a call of a dead one starts another.

    `generation` changes when the index has begun anew: it is empty then, and has to be filled.
    """

    def __init__(
        self,
        *,
        folder: Path,
        lock: Path,
        log_file: Path,
        embedder: str,
        rest: timedelta = _REST,
    ) -> None:
        self._folder = folder
        self._lock = lock
        self._log_file = log_file
        self._embedder = embedder
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0
        self._rest = rest.total_seconds()
        self._started_at = -self._rest
        self.generation = ""
        self.embedder_state = "loading" if embedder else "off"

    @property
    def pid(self) -> int | None:
        """The process, while it lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def call(self, op: str, *, within: timedelta, **params: Any) -> Any:
        """Ask for something. Raises IndexDown when no answer came in that time."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await self._call(op, params)
        except TimeoutError as error:
            raise IndexDown(problem=f"no answer within {within.total_seconds():g} s") from error
        except OSError as error:
            raise IndexDown(problem=error.strerror or str(error)) from error

    async def _call(self, op: str, params: Mapping[str, Any]) -> Any:
        async with self._starting:
            await self._ensure()
        assert self._writer is not None
        self._last_id += 1
        number = self._last_id
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            line = json.dumps({"id": number, "op": op, **params}).encode() + b"\n"
            self._writer.write(line)
            await self._writer.drain()
            reply = await answer
        finally:
            self._waiting.pop(number, None)
        if "problem" in reply:
            raise IndexDown(problem=reply["problem"])
        return reply["result"]

    async def close(self) -> None:
        """End it. What it was told is in its files or in the rows."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
            self._reading = None
        process, self._process = self._process, None
        if process is not None:
            process.kill()  # nothing to lose: it is made again from the rows
            await asyncio.to_thread(process.wait)

    async def _ensure(self) -> None:
        """Have it running. Its imports take seconds: requests wait in the socket meanwhile."""
        if self.pid is not None and self._writer is not None:
            return
        now = asyncio.get_running_loop().time()
        if now - self._started_at < self._rest:
            raise IndexDown(problem="it has just ended; it is started again soon")
        self._started_at = now
        await self.close()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await asyncio.to_thread(self._spawn, theirs)
        except BaseException:
            ours.close()
            raise
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE_LIMIT)
        self._reading = asyncio.create_task(self._read(reader))

    def _spawn(self, theirs: socket.socket) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "agentos.memory.process", str(theirs.fileno())]
        command += [str(self._folder), str(self._lock), self._embedder]
        with self._log_file.open("ab") as complaints:
            return subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for the daemon
            )

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            with suppress(ConnectionError):
                while (line := await reader.readline()).endswith(b"\n"):
                    self._take(json.loads(line))
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(IndexDown(problem="it has ended"))
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        log.warning("index_process_gone")

    def _take(self, reply: dict[str, Any]) -> None:
        self.generation = reply["generation"]
        self.embedder_state = reply["embedder"]
        answer = self._waiting.get(reply["id"])
        if answer is not None and not answer.done():
            answer.set_result(reply)


def _environment() -> dict[str, str]:
    """What the process gets to see: no secret is among it."""
    kept = {name: os.environ[name] for name in _PASSED if name in os.environ}
    ours = str(Path(__file__).resolve().parents[2])
    paths = [ours, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # Each thread of it would keep a heap of its own, of some hundred megabytes in all.
        "MALLOC_ARENA_MAX": "2",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "RUST_LOG": "error",
    }
