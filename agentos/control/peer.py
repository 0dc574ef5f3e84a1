"""Who is at the other end of one control connection."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from agentos.control import wire
from agentos.worker.descendants import mark_of

# A reader that has stopped reading must not fill our memory with what it misses.
_LARGEST_BACKLOG = 4 * 1024 * 1024


class Peer:
    """One connection of the control socket: events can be pushed to it until it hangs up."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._on_close: list[Callable[[], None]] = []
        self._turn = asyncio.Lock()
        self.closed = False

    def is_worker(self, home_mark: str) -> bool:
        """Whether it was started by one of the workers of this home. Blocks for a moment.

        The mark is in the environment of each process of theirs, or in that of one above it.
        """
        pid = _pid_of(self._writer.get_extra_info("socket"))
        if pid is None:
            return False
        pids = [pid]
        with suppress(psutil.Error):
            pids += [each.pid for each in psutil.Process(pid).parents()]
        return any(mark_of(each).startswith(f"{home_mark}:") for each in pids)

    async def push(self, event: str, **fields: Any) -> None:
        """Send an event. Raises ConnectionError when the peer is gone."""
        await self.send({"event": event, **fields})

    def offer(self, event: str, **fields: Any) -> None:
        """Send an event unless the peer is gone or far behind; never waits."""
        if not self.closed and self._writer.transport.get_write_buffer_size() < _LARGEST_BACKLOG:
            self._writer.write(wire.encode({"event": event, **fields}))

    async def send(self, message: dict[str, Any]) -> None:
        """Send one line and wait while the peer is behind. Raises ConnectionError, BadRequest."""
        if self.closed:
            raise ConnectionResetError("the peer has hung up")
        self._writer.write(wire.encode(message))
        async with self._turn:
            await self._writer.drain()

    def on_close(self, call: Callable[[], None]) -> None:
        """Have something called when the peer has hung up."""
        self._on_close.append(call)

    def close(self) -> None:
        """Hang up, and tell those who wanted to know. What was written is still sent."""
        if self.closed:
            return
        self.closed = True
        self._writer.close()
        for call in self._on_close:
            call()


def _pid_of(connection: Any) -> int | None:
    """The process at the other end of a Unix socket, where the kernel tells."""
    option = getattr(socket, "SO_PEERCRED", None)
    if connection is None or option is None:
        return None
    with suppress(OSError):
        told = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
        return int(struct.unpack("3i", told)[0]) or None
    return None
