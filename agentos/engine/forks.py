"""The daemon's end of the fork server: ask for a child, hear of its end."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentos import log as logs
from agentos.engine.children import Child
from agentos.errors import BackendFailed

log = logs.get(__name__)
_START_SECONDS = 30.0


class ForkServer:
    """Starts the fork server when a child is first wanted, and again when it has died."""

    def __init__(
        self, *, home: Path, environment: Callable[[str], Mapping[str, str]], mark: str
    ) -> None:
        self._home = home
        self._environment = environment
        self._mark = mark
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._reading: asyncio.Task[None] | None = None
        self._forking = asyncio.Lock()
        self._forked: dict[int, asyncio.Future[Child]] = {}
        self._children: dict[int, Child] = {}
        self._ready: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int | None:
        """The fork server's process, while it lives."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Have it running and its imports done. Raises BackendFailed when it does not come up."""
        async with self._forking:
            await self._ensure()

    async def spawn(self, *, title: str, stderr: Path) -> Child:
        """Fork a child that waits for its assignment. Raises BackendFailed."""
        async with self._forking:
            try:
                return await self._spawn(title=title, stderr=stderr)
            except ConnectionError:
                # It was dying when it was asked; that it is gone is known now.
                self._lost_all()
            try:
                return await self._spawn(title=title, stderr=stderr)
            except ConnectionError as error:
                raise BackendFailed(backend="fork server", problem=str(error)) from error

    async def _spawn(self, *, title: str, stderr: Path) -> Child:
        """One try. Raises ConnectionError when the server is gone, BackendFailed when it cannot."""
        await self._ensure()
        assert self._control is not None
        self._count += 1
        number = self._count
        ours, theirs = socket.socketpair()
        request = {
            "spawn": number,
            "title": title,
            "stderr": str(stderr),
            "env": dict(self._environment(f"{self._mark}:{number}")),
        }
        forked: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._forked[number] = forked
        try:
            with theirs:
                line = json.dumps(request).encode() + b"\n"
                socket.send_fds(self._control, [line], [theirs.fileno()])
            async with asyncio.timeout(_START_SECONDS):
                child = await forked
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError) and not isinstance(error, ConnectionError):
                raise BackendFailed(backend="fork server", problem=str(error)) from error
            raise
        finally:
            self._forked.pop(number, None)
        await child.connect(ours)
        return child

    async def close(self) -> None:
        """Let it end its children and itself."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self._control is not None:
            self._control.close()
            self._control = None
        process, self._process = self._process, None
        if process is not None:
            if self._ready is not None and not self._ready.done():
                process.kill()  # still importing: it has no children, and would not hear us yet
            try:
                await asyncio.to_thread(process.wait, 5)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
        self._lost_all()
        await asyncio.sleep(0)  # the closed connections are let go in the loop's next round

    async def _ensure(self) -> None:
        if self._process is not None and self._process.poll() is None and self._control:
            return
        self._lost_all()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        command = [sys.executable, "-m", "agentos.worker.forkserver", str(theirs.fileno())]
        environment = {
            **self._environment(f"{self._mark}:0"),
            "PYTHONPATH": _import_path(),
            # A process title must not be written over the mark by which orphans are known.
            "SPT_NOENV": "1",
        }
        try:
            with theirs, (self._home / "logs" / "children.log").open("ab") as errors:
                self._process = subprocess.Popen(  # noqa: ASYNC220 - milliseconds, once
                    command, pass_fds=[theirs.fileno()], env=environment, stderr=errors
                )
        except OSError as error:
            ours.close()
            raise BackendFailed(backend="fork server", problem=str(error)) from error
        self._control = ours
        self._ready = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(ours))
        try:
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.shield(self._ready)
        except TimeoutError as error:
            raise BackendFailed(backend="fork server", problem="it did not start") from error

    async def _read(self, control: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        buffer = b""
        while True:
            try:
                data = await loop.sock_recv(control, 1 << 16)
            except OSError:
                data = b""
            if not data:
                break
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                self._heard(json.loads(line))
        log.warning("fork_server_gone")
        process = self._process
        if self._control is control:  # else a new one is there already, which is not ours to end
            self._lost_all()
        if process is not None:
            await asyncio.to_thread(process.wait)

    def _heard(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
        elif "exited" in message:
            child = self._children.pop(message["exited"], None)
            if child is not None:
                child.ended(message["status"])
        else:
            number = int(message.get("forked", message.get("failed", 0)))
            future = self._forked.get(number)
            if future is None or future.done():
                future = None
            if "forked" in message:
                # Known from now on: it may have ended before `spawn` goes on.
                child = self._children[message["pid"]] = Child(message["pid"])
                if future is not None:
                    future.set_result(child)
                else:
                    child.kill()  # nobody waits for it any more
            elif future is not None:
                future.set_exception(OSError(message["problem"]))

    def _lost_all(self) -> None:
        """The fork server is gone, and by its death all its children."""
        for child in self._children.values():
            child.ended(-9)
        self._children.clear()
        for future in self._forked.values():
            if not future.done():
                future.set_exception(ConnectionError("the fork server ended"))
        if self._ready is not None and not self._ready.done():
            problem = "it ended at its start; see children.log"
            self._ready.set_exception(BackendFailed(backend="fork server", problem=problem))
            self._ready.exception()  # when we end during its start, nobody waits for it any more
        if self._control is not None:
            self._control.close()
            self._control = None


def _import_path() -> str:
    """So that the server finds the same agentos as we do, from wherever it is started."""
    ours = str(Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(part for part in (ours, before) if part)
