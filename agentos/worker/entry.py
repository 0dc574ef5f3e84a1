"""The child's main: one session, turn by turn, until it is stopped or the daemon is gone."""

import asyncio
import json
import os
import socket
import traceback
from collections.abc import Callable
from contextlib import suppress

from pydantic import ValidationError

from agentos.backends.claude import ClaudeBackend
from agentos.domain.frames import (
    DOWN,
    Assignment,
    ChildFailed,
    Heartbeat,
    Ready,
    Stop,
    Turn,
    encode,
)
from agentos.domain.ports import Backend, UpFrame
from agentos.errors import AgentosError, BadRequest
from agentos.worker.policy import Policy
from agentos.worker.runner import Runner

# A prompt may be long; a line of the pipe may be as long.
LINE_LIMIT = 64 * 1024 * 1024
_CLOSE_SECONDS = 3.0


def main(connection: socket.socket) -> int:
    """Run the child; returns its exit status."""
    try:
        asyncio.run(_Child(connection).run())
    except Exception:  # noqa: BLE001
        # The edge of the process: the error file of the job is all that is left to tell it.
        traceback.print_exc()
        return 1
    return 0


class _Child:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        reader, self._writer = await asyncio.open_connection(
            sock=self._connection, limit=LINE_LIMIT
        )
        backend: Backend | None = None
        beat: asyncio.Task[None] | None = None
        try:
            assignment = await _read(reader)
            if not isinstance(assignment, Assignment):
                return
            beat = asyncio.create_task(self._beat(assignment.heartbeat_seconds))
            policy = Policy(assignment.access)
            backend = _make(assignment.backend, policy)
            await backend.open(assignment)
            await self.tell(Ready(pid=os.getpid()))
            await self._take_turns(reader, Runner(backend, policy=policy, tell=self.tell))
        except (AgentosError, ValidationError) as error:
            await self.tell(ChildFailed(problem=str(error)))
        finally:
            if beat is not None:
                beat.cancel()
            if backend is not None:
                with suppress(asyncio.TimeoutError, AgentosError):
                    await asyncio.wait_for(backend.close(), _CLOSE_SECONDS)

    async def tell(self, frame: UpFrame) -> None:
        """Send a frame up; when nobody is there to read it, the reader's end will tell."""
        assert self._writer is not None
        with suppress(ConnectionError):
            self._writer.write(encode(frame))
            await self._writer.drain()

    async def _take_turns(self, reader: asyncio.StreamReader, runner: Runner) -> None:
        """One turn after the other; the end of the pipe or a Stop ends the one that runs, too."""
        following = asyncio.create_task(_read(reader))
        turn: asyncio.Task[None] | None = None
        try:
            while True:
                waiting = {following} if turn is None else {following, turn}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if turn is not None and turn.done():
                    turn.result()
                    turn = None
                if following.done():
                    frame = following.result()
                    if not isinstance(frame, Turn):
                        return
                    turn = asyncio.create_task(runner.run(frame))
                    following = asyncio.create_task(_read(reader))
        finally:
            following.cancel()
            if turn is not None:
                turn.cancel()
                with suppress(asyncio.CancelledError):
                    await turn

    async def _beat(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self.tell(Heartbeat())


async def _read(reader: asyncio.StreamReader) -> Assignment | Turn | Stop | None:
    """The next frame from above, or None when the daemon is gone."""
    try:
        line = await reader.readline()
    except (ConnectionError, ValueError):
        return None
    if not line.endswith(b"\n"):
        return None
    return DOWN.validate_python(json.loads(line))


def _make(name: str, policy: Policy) -> Backend:
    makers: dict[str, Callable[[], Backend]] = {
        "claude": lambda: ClaudeBackend(may_use=policy.decide),
    }
    if name not in makers:
        known = ", ".join(sorted(makers))
        raise BadRequest(problem=f"there is no backend {name!r}; there is {known}")
    return makers[name]()
