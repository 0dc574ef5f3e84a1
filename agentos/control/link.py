"""A lasting connection to the daemon, for a chat: calls side by side, and the events it pushes.

Standard library only.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from agentos.control import wire
from agentos.control.client import connect
from agentos.errors import AgentosError, DaemonUnreachable

_ENDED = "it has ended"


class Link:
    """One connection. `events` brings what is pushed, then None when the daemon is gone."""

    def __init__(
        self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._path = path
        self._writer = writer
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read(reader))

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Connect. Raises DaemonUnreachable when nobody listens."""
        connected = await asyncio.to_thread(connect, path)
        connected.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=connected, limit=wire.LINE_LIMIT)
        return cls(path, reader, writer)

    async def call(self, op: str, **params: Any) -> Any:
        """Run an operation of the daemon. Raises what it raises, or DaemonUnreachable."""
        if self._reading.done():
            raise DaemonUnreachable(socket=self._path, problem=_ENDED)
        self._last_id += 1
        call_id = self._last_id
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = answer
        try:
            with suppress(ConnectionError):  # the reader's end tells it better
                self._writer.write(wire.encode({"id": call_id, "op": op, "params": params}))
                await self._writer.drain()
            return await answer
        finally:
            self._waiting.pop(call_id, None)

    async def close(self) -> None:
        """Hang up."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            with suppress(ConnectionError, ValueError, AgentosError):
                while (line := await reader.readline()).endswith(b"\n"):
                    self._take(wire.decode(line))
        finally:
            gone = DaemonUnreachable(socket=self._path, problem=_ENDED)
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(gone)
            self.events.put_nowait(None)

    def _take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self.events.put_nowait(message)
            return
        call_id = message.get("id")
        answer = self._waiting.get(call_id) if isinstance(call_id, int) else None
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(wire.error_of(message["error"]))
        else:
            answer.set_result(message.get("result"))
