"""Who is at the other end of one control connection."""

import asyncio
from collections.abc import Callable
from typing import Any

from agentos.control import wire

# A reader that has stopped reading must not fill our memory with what it misses.
_LARGEST_BACKLOG = 4 * 1024 * 1024


class Peer:
    """One connection of the control socket: events can be pushed to it until it hangs up."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._on_close: list[Callable[[], None]] = []
        self._turn = asyncio.Lock()
        self.closed = False

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
