"""A child, seen from the daemon: its frames, its end, and how to make it end."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterable
from contextlib import suppress

from pydantic import ValidationError

from agentos.domain.frames import UP, Answered, Assignment, ChildFailed, Nudge, Stop, Turn, encode
from agentos.domain.ports import UpFrame

# One line of a child's: an answer, or the output of a tool, which the child cuts.
_LINE_LIMIT = 64 * 1024 * 1024


class Child:
    """One forked process. Its pid names its process group, too; it is 0 until it is forked."""

    def __init__(self) -> None:
        self.pid = 0
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, connection: socket.socket) -> None:
        """Take our end of its socket."""
        self._reader, self._writer = await asyncio.open_connection(
            sock=connection, limit=_LINE_LIMIT
        )

    @property
    def alive(self) -> bool:
        """Whether it has not been seen to end."""
        return not self.exited.done()

    def put(self, frames: Iterable[Assignment | Turn]) -> None:
        """Have frames lie ready for it, before there is anybody to read them."""
        assert self._writer is not None
        self._writer.writelines(encode(frame) for frame in frames)

    async def send(self, frame: Assignment | Turn | Nudge | Answered | Stop) -> None:
        """Send a frame down; a child that is gone will be noticed when it is read from."""
        assert self._writer is not None
        with suppress(ConnectionError):
            self._writer.write(encode(frame))
            await self._writer.drain()

    async def receive(self) -> UpFrame:
        """The next frame. A child that ends or talks nonsense says ChildFailed, as its last."""
        assert self._reader is not None
        try:
            line = await self._reader.readline()
        except ConnectionError:  # it ended with something of ours unread
            line = b""
        except ValueError as error:
            return ChildFailed(problem=f"the pipe to the worker broke: {error}")
        if not line.endswith(b"\n"):
            return ChildFailed(problem="the worker ended without a word")
        try:
            return UP.validate_json(line)
        except ValidationError:
            return ChildFailed(problem=f"the worker talked nonsense: {line[:80]!r}")

    def kill(self) -> None:
        """End the process and its group now. What left the group is swept by the fork server."""
        if self.alive and self.pid:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)

    async def stop(self, *, grace_seconds: float = 2.0) -> None:
        """Ask it to end, and make it end when it does not."""
        await self.send(Stop())
        try:
            await asyncio.wait_for(asyncio.shield(self.exited), grace_seconds)
        except TimeoutError:
            self.kill()
            with suppress(TimeoutError):  # a fork server that hangs does not tell
                await asyncio.wait_for(asyncio.shield(self.exited), grace_seconds)
        self.hang_up()

    def ended(self, status: int) -> None:
        """The fork server has reaped it."""
        if not self.exited.done():
            self.exited.set_result(status)
        self.hang_up()

    def hang_up(self) -> None:
        """Close our end of its socket."""
        if self._writer is not None:
            self._writer.close()
