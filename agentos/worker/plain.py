"""A child for a backend that never waits: no event loop, no tasks, just its turns in a row.

Making and closing a loop costs more than all the rest of a drill's life. While a turn runs, nothing
else is heard and no heartbeat sent: what ends such a child is the daemon's kill. This module knows
neither the SDK nor the other backends, so that a server which imports it alone stays small.
"""

import json
import os
import socket
import traceback
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import ValidationError

from agentos.backends.echo import EchoBackend
from agentos.domain.frames import (
    DOWN,
    Answered,
    Assignment,
    ChildFailed,
    Nudge,
    Ready,
    Stop,
    Turn,
    encode,
)
from agentos.domain.ports import Backend, UpFrame
from agentos.errors import AgentosError
from agentos.worker.policy import Policy
from agentos.worker.runner import Runner, failure_of

T = TypeVar("T")
Down = Assignment | Turn | Nudge | Answered | Stop
_READ_BYTES = 1 << 18


def main(connection: socket.socket) -> int:
    """Run the child of a plain backend; returns its exit status."""
    try:
        assignment = Lines(connection).read()
        if isinstance(assignment, Assignment):
            policy = Policy(assignment.access)

            async def may_use(tool: str, arguments: Mapping[str, Any]) -> str | None:
                return policy.decide(tool, arguments).reason

            backend = EchoBackend(may_use=may_use)
            serve(connection, backend, assignment=assignment, policy=policy)
    except (AgentosError, ValidationError) as error:
        tell(connection, ChildFailed(problem=str(error), failure=failure_of(error)))
    except Exception:  # noqa: BLE001
        # The edge of the process: the log of the children is all that is left to tell it.
        traceback.print_exc()
        return 1
    return 0


class Lines:
    """The frames from above, one at a time, and not a byte further than the last one asked for."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self) -> Down | None:
        """The next frame, or None when the daemon is gone. Raises ValidationError."""
        line = bytearray()
        try:
            while not line.endswith(b"\n"):
                # Looked at first: what follows this line may be another reader's.
                seen = self._connection.recv(_READ_BYTES, socket.MSG_PEEK)
                if not seen:
                    return None
                upto = seen.find(b"\n") + 1
                line += self._connection.recv(upto or len(seen))
        except ConnectionError:
            return None
        return DOWN.validate_python(json.loads(line))


def tell(connection: socket.socket, frame: UpFrame) -> None:
    """Send a frame up; when nobody is there to read it, the reader's end will tell."""
    with suppress(ConnectionError):
        connection.sendall(encode(frame))


def serve(
    connection: socket.socket, backend: Backend, *, assignment: Assignment, policy: Policy
) -> None:
    """Do turn after turn until a Stop, or until the daemon is gone."""

    async def up(frame: UpFrame) -> None:
        tell(connection, frame)

    runner = Runner(backend, policy=policy, tell=up)
    lines = Lines(connection)
    _drive(backend.open(assignment))
    tell(connection, Ready(pid=os.getpid()))
    while isinstance(frame := lines.read(), Turn | Nudge):
        _drive(runner.run(frame) if isinstance(frame, Turn) else runner.nudge(frame.text))


def _drive(work: Coroutine[Any, Any, T]) -> T:
    """Run what never waits to its end."""
    try:
        work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    raise RuntimeError("a backend that never waits has waited")
