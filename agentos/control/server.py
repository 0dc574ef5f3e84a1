"""The daemon's side of the control socket.

A bad client gets a clear error and its connection closed; it never disturbs the daemon.
"""

import asyncio
import inspect
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentos import log
from agentos.config import Config
from agentos.control import wire
from agentos.control.client import connect
from agentos.control.operations.operation import Here
from agentos.control.operations.registry import OPERATIONS, unknown
from agentos.control.peer import Peer
from agentos.domain.ports import Clock
from agentos.errors import AgentosError, AlreadyRunning, BadRequest, DaemonUnreachable, HomeUnusable
from agentos.home import Home
from agentos.store.database import Database

AsyncOperation = Callable[..., Awaitable[Any]]

_AT_ONCE = 32
_LAST_WORDS_SECONDS = 2.0
_log = log.get(__name__)


class ControlServer:
    """Answers on home's socket: the operations on the rows, and `extra` ones of the daemon.

    An extra operation is called with `peer=`, which it may push events to, and the params as
    keywords; their types are its own to check.
    """

    def __init__(
        self,
        home: Home,
        *,
        database: Database,
        clock: Clock,
        config: Config,
        extra: Mapping[str, AsyncOperation] | None = None,
    ) -> None:
        self._home = home
        self._path = home.socket
        self._database = database
        self._clock = clock
        self._config = config
        self._extra = dict(extra or {})
        self._server: asyncio.Server | None = None
        self._inode: int | None = None
        self._peers: set[Peer] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Raises AlreadyRunning when another daemon does, HomeUnusable when we cannot."""
        try:
            await asyncio.to_thread(self._remove_stale)
            listening = _bind(self._path)
        except OSError as error:
            raise HomeUnusable(
                home=self._path.parent,
                problem=f"no socket can be made there ({error.strerror or error})",
                mend="Choose another folder with AGENTOS_HOME.",
            ) from error
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listening, limit=wire.LINE_LIMIT
        )

    async def run(self) -> None:
        """Listen until cancelled."""
        await self.start()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop listening, finish what was asked, hang up, and remove the socket if it is ours."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        await _finish(self._answering)
        for peer in list(self._peers):
            peer.close()
        await _finish(self._serving)
        with suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        peer = Peer(writer)
        handler = asyncio.current_task()
        assert handler is not None
        self._peers.add(peer)
        self._serving.add(handler)
        try:
            await self._take_requests(reader, peer)
        finally:
            self._peers.discard(peer)
            self._serving.discard(handler)
            peer.close()

    async def _take_requests(self, reader: asyncio.StreamReader, peer: Peer) -> None:
        """Answer requests side by side, up to a number; at the end wait for those under way."""
        places = asyncio.Semaphore(_AT_ONCE)
        try:
            while (request := await _read(reader)) is not None:
                await places.acquire()
                task = asyncio.create_task(self._answer(peer, request))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
                task.add_done_callback(lambda _: places.release())
        except BadRequest as error:
            with suppress(ConnectionError):
                await peer.send(wire.error_reply(None, error))
        except ConnectionError:
            pass
        for _ in range(_AT_ONCE):
            await places.acquire()

    async def _answer(self, peer: Peer, request: dict[str, Any]) -> None:
        request_id = request.get("id")
        try:
            reply = {"id": request_id, "result": await self._run(peer, request)}
        except AgentosError as error:
            reply = wire.error_reply(request_id, error)
        except Exception:  # noqa: BLE001
            # The edge of this channel: a fault in one operation must not end the daemon.
            _log.exception("control_operation_failed", op=str(request.get("op"))[:100])
            reply = wire.error_reply(request_id, None)
        with suppress(ConnectionError):
            try:
                await peer.send(reply)
            except BadRequest as error:
                await peer.send(wire.error_reply(request_id, error))

    async def _run(self, peer: Peer, request: dict[str, Any]) -> Any:
        op, params = request.get("op"), request.get("params", {})
        if not isinstance(op, str) or not isinstance(params, dict):
            raise BadRequest(problem='a request needs an "op" (text) and "params" (an object)')
        if op in self._extra:
            return await self._run_extra(op, peer, params)
        if op not in OPERATIONS:
            raise unknown(op)
        operation = OPERATIONS[op]
        here = Here(at=self._clock.now(), home=self._home, config=self._config)
        work = operation.prepare(params, here=here)
        if operation.writes:
            return await self._database.write(work)
        return await self._database.query(work)

    async def _run_extra(self, op: str, peer: Peer, params: dict[str, Any]) -> Any:
        operation = self._extra[op]
        try:
            bound = inspect.signature(operation).bind(**{**params, "peer": peer})
        except TypeError as error:
            raise BadRequest(problem=f"{op}: {error}") from error
        return await operation(*bound.args, **bound.kwargs)

    def _remove_stale(self) -> None:
        """Remove the socket file of a daemon that was killed."""
        if not self._path.is_socket():
            return
        try:
            connect(self._path).close()
        except DaemonUnreachable:
            self._path.unlink(missing_ok=True)
        else:
            raise AlreadyRunning(home=self._path.parent.parent, pid="unknown")


def _bind(path: Path) -> socket.socket:
    """A bound socket that only its owner may use; nobody can connect before its mode is set."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
    except OSError:
        listening.close()
        raise
    return listening


async def _finish(tasks: set[asyncio.Task[None]]) -> None:
    """Let tasks end by themselves for a moment, then end them."""
    if not tasks:
        return
    _, late = await asyncio.wait(set(tasks), timeout=_LAST_WORDS_SECONDS)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)


async def _read(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next request; None at the end. Raises BadRequest when it is none."""
    try:
        line = await reader.readline()
    except ValueError as error:
        problem = f"a line may have {wire.LINE_LIMIT >> 20} MB at most"
        raise BadRequest(problem=problem) from error
    return wire.decode(line) if line.endswith(b"\n") else None
