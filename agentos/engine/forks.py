"""The daemon's end of the fork server: ask for a child, hear of its end."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentos import log as logs
from agentos.domain.frames import MARK, Assignment, Turn
from agentos.engine.children import Child
from agentos.errors import BackendFailed

log = logs.get(__name__)
# Backends whose children start no processes and need no loop.
PLAIN = frozenset({"echo"})
_START_SECONDS = 30.0
# A fork takes some milliseconds, on a machine that is very busy a second.
_FORK_SECONDS = 5.0
_BUSY_SECONDS = 0.001


class ForkServer:
    """Starts the fork server when a child is first wanted, and again when it has died."""

    def __init__(
        self,
        *,
        home: Path,
        environment: Callable[[str], Mapping[str, str]],
        mark: str,
        plain: bool = False,
    ) -> None:
        self._home = home
        self._environment = environment
        self._mark = mark
        self._is_plain = plain
        self._module = "agentos.worker.plain" if plain else "agentos.worker.entry"
        # For the children of plain backends; made when the first is wanted.
        self._plain: ForkServer | None = None
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._forked: dict[int, tuple[Child, asyncio.Future[None]]] = {}
        self._children: dict[int, Child] = {}
        self._ready: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int | None:
        """The fork server's process, while it lives."""
        return self._process.pid if self._process is not None else None

    @property
    def plain(self) -> "ForkServer":
        """The server whose children run plain backends: a smaller one, so they start sooner."""
        if self._plain is None:
            self._plain = ForkServer(
                home=self._home, environment=self._environment, mark=self._mark, plain=True
            )
        return self._plain

    async def start(self) -> None:
        """Have it running and its imports done. Raises BackendFailed when it does not come up."""
        async with self._starting:
            await self._ensure()

    async def spawn(
        self, *, title: str, stderr: Path, first: Sequence[Assignment | Turn] = ()
    ) -> Child:
        """Fork a child; what it is to do at first, or it waits for it. Raises BackendFailed."""
        problem = ""
        for _ in range(2):
            async with self._starting:
                await self._ensure()
            control = self._control
            try:
                return await self._spawn(title=title, stderr=stderr, first=first)
            except ConnectionError as error:
                # It was dying when it was asked; that it is gone is known now.
                problem = str(error)
                if self._control is control:
                    self._lost_all()
        raise BackendFailed(backend="fork server", problem=problem)

    async def _spawn(
        self, *, title: str, stderr: Path, first: Sequence[Assignment | Turn]
    ) -> Child:
        """One try. Raises ConnectionError when the server is gone, BackendFailed when it cannot."""
        self._count += 1
        number = self._count
        mark = f"{self._mark}:{number}"
        request = {
            "spawn": number,
            "title": title,
            "stderr": str(stderr),
            # One that starts no process has no use for more.
            "env": {MARK: mark} if self._is_plain else dict(self._environment(mark)),
        }
        ours, theirs = socket.socketpair()
        child = Child()
        forked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._forked[number] = child, forked
        try:
            async with asyncio.timeout(_FORK_SECONDS):
                with theirs:
                    await child.connect(ours)
                    child.put(first)
                    await self._ask(request, theirs)
                await forked
        except BaseException as error:
            child.hang_up()
            if isinstance(error, TimeoutError):
                await self._end_frozen()
                raise ConnectionError("the fork server gave no sign of life") from error
            if isinstance(error, OSError) and not isinstance(error, ConnectionError):
                raise BackendFailed(backend="fork server", problem=str(error)) from error
            raise
        finally:
            self._forked.pop(number, None)
        return child

    async def _end_frozen(self) -> None:
        """A server that forks nothing helps nobody; with it end its children, and all go on."""
        if self._process is None or self._reading is None or self._control is None:
            return
        log.error("fork_server_frozen", pid=self._process.pid)
        self._process.kill()
        # Who reads from it sees its end, and tells all who wait.
        await asyncio.wait([self._reading], timeout=_FORK_SECONDS)

    async def _ask(self, request: dict[str, Any], descriptor: socket.socket) -> None:
        """Send a request and its descriptor. One at a time: a long queue may take it in pieces."""
        line = json.dumps(request).encode() + b"\n"
        async with self._sending:
            control = self._control
            if control is None:
                raise ConnectionError("the fork server ended")
            while True:
                try:
                    sent = socket.send_fds(control, [line], [descriptor.fileno()])
                except BlockingIOError:
                    await asyncio.sleep(_BUSY_SECONDS)
                    continue
                break
            if sent < len(line):
                await asyncio.get_running_loop().sock_sendall(control, line[sent:])

    async def close(self) -> None:
        """Let it end its children and itself."""
        if self._plain is not None:
            await self._plain.close()
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
        server = ["-m", "agentos.worker.forkserver", str(theirs.fileno()), self._module]
        environment = {
            **self._environment(f"{self._mark}:0"),
            "PYTHONPATH": _import_path(),
            # A process title must not be written over the mark by which orphans are known.
            "SPT_NOENV": "1",
        }
        try:
            with theirs, (self._home / "logs" / "children.log").open("ab") as errors:
                self._process = subprocess.Popen(  # noqa: ASYNC220 - milliseconds, once
                    [sys.executable, *server],
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    stderr=errors,
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
            self._process.kill()
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
            child, forked = self._forked.get(number) or (Child(), None)
            if "forked" in message:
                # Known from now on: it may have ended before `spawn` goes on.
                child.pid = message["pid"]
                self._children[child.pid] = child
                if forked is None or forked.done():
                    child.kill()  # nobody waits for it any more
                else:
                    forked.set_result(None)
            elif forked is not None and not forked.done():
                forked.set_exception(OSError(message["problem"]))

    def _lost_all(self) -> None:
        """The fork server is gone, and by its death all its children."""
        for child in self._children.values():
            child.ended(-9)
        self._children.clear()
        for _, forked in self._forked.values():
            if not forked.done():
                forked.set_exception(ConnectionError("the fork server ended"))
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
