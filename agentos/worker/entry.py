"""The child's main: one session, turn by turn, until it is stopped or the daemon is gone."""

import asyncio
import json
import os
import socket
import traceback
from contextlib import suppress

from pydantic import ValidationError

from agentos.backends import registry
from agentos.domain.frames import (
    DOWN,
    Answered,
    Assignment,
    ChildFailed,
    Heartbeat,
    Nudge,
    Ready,
    Turn,
    encode,
)
from agentos.domain.ports import Backend, UpFrame
from agentos.errors import AgentosError
from agentos.worker import plain
from agentos.worker.asking import Asking
from agentos.worker.permission import Permission
from agentos.worker.policy import Policy
from agentos.worker.runner import Runner, failure_of

# A prompt may be long; a line of the pipe may be as long.
LINE_LIMIT = 64 * 1024 * 1024
_CLOSE_SECONDS = 3.0


def main(connection: socket.socket) -> int:
    """Run the child; returns its exit status."""
    try:
        _run(connection)
    except Exception:  # noqa: BLE001
        # The edge of the process: the error file of the job is all that is left to tell it.
        traceback.print_exc()
        return 1
    return 0


def _run(connection: socket.socket) -> None:
    try:
        assignment = plain.Lines(connection).read()
        if not isinstance(assignment, Assignment):
            return
        policy = Policy(assignment.access)
        asking = Asking()
        permission = Permission(policy, ask=asking.ask)
        backend = registry.make(assignment.backend, may_use=permission.may_use, ask=asking.ask)
        if getattr(backend, "never_waits", False):
            plain.serve(connection, backend, assignment=assignment, policy=policy)
            return
    except (AgentosError, ValidationError) as error:
        plain.tell(connection, ChildFailed(problem=str(error), failure=failure_of(error)))
        return
    asyncio.run(_Child(connection, backend, policy, asking).run(assignment))


class _Child:
    def __init__(
        self, connection: socket.socket, backend: Backend, policy: Policy, asking: Asking
    ) -> None:
        self._connection = connection
        self._backend = backend
        self._policy = policy
        self._asking = asking
        asking.tell = self.tell
        self._writer: asyncio.StreamWriter | None = None

    async def run(self, assignment: Assignment) -> None:
        reader, self._writer = await asyncio.open_connection(
            sock=self._connection, limit=LINE_LIMIT
        )
        beat = asyncio.create_task(self._beat(assignment.heartbeat_seconds))
        try:
            await self._backend.open(assignment)
            await self.tell(Ready(pid=os.getpid()))
            runner = Runner(self._backend, policy=self._policy, tell=self.tell)
            await self._take_turns(reader, runner)
        except (AgentosError, ValidationError) as error:
            await self.tell(ChildFailed(problem=str(error), failure=failure_of(error)))
        finally:
            beat.cancel()
            with suppress(asyncio.TimeoutError, AgentosError):
                await asyncio.wait_for(self._backend.close(), _CLOSE_SECONDS)

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
                    if isinstance(frame, Nudge):
                        await runner.nudge(frame.text)
                    elif isinstance(frame, Answered):
                        self._asking.answered(frame)
                    elif isinstance(frame, Turn):
                        turn = asyncio.create_task(runner.run(frame))
                    else:
                        return
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


async def _read(reader: asyncio.StreamReader) -> plain.Down | None:
    """The next frame from above, or None when the daemon is gone."""
    try:
        line = await reader.readline()
    except (ConnectionError, ValueError):
        return None
    if not line.endswith(b"\n"):
        return None
    return DOWN.validate_python(json.loads(line))
