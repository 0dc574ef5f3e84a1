"""The echo backend: answers with the prompt, at once and for nothing. No model, no process.

It is for drills: lines of its prompt make it work, wait, or misbehave on purpose, so that the queue
can be measured and what an engine must survive can be tried.

    append: <name>   add a line "<run> <seconds, monotonic>" to a file in a folder of the job's
    sleep: <seconds>
    exit             the process ends in the middle of the turn
    hang             it never ends
    garbage          nonsense on its pipe
    flood            100 MB of it, without an end of line
    close            the pipe is closed, the process goes on
"""

import os
import socket
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from agentos.domain.frames import Assignment, Failure, SessionOpened, Turn, TurnEnded
from agentos.domain.ports import Event

MayUse = Callable[[str, Mapping[str, Any]], Awaitable[str | None]]
_FLOOD_PIECE = b"flood " * 16_384
_FLOOD_PIECES = 1_068  # 100 MiB


class EchoBackend:
    """One session of it. Nothing in here awaits anything, so it can be driven without a loop."""

    never_waits: ClassVar[bool] = True

    def __init__(self, *, may_use: MayUse) -> None:
        self._may_use = may_use
        self._session_id: str | None = None
        self._announced = False
        self._folder = Path()

    async def open(self, assignment: Assignment) -> None:
        """Go on with the session, or begin one."""
        self._session_id = assignment.session_id
        self._folder = Path(assignment.working_folder)

    async def turn(self, turn: Turn) -> AsyncIterator[Event]:
        """Do the drill and say the prompt."""
        if not self._announced:
            self._announced = True
            self._session_id = self._session_id or f"echo-{turn.turn_id}"
            yield SessionOpened(session_id=self._session_id)
        for line in _task_of(turn.prompt).splitlines():
            word, _, rest = line.strip().partition(":")
            if word in _DRILLS and (problem := await self._drill(word, rest.strip(), turn)):
                yield TurnEnded(turn_id=turn.turn_id, failure=Failure.refused, problem=problem)
                return
        yield TurnEnded(turn_id=turn.turn_id, text=turn.prompt)

    async def nudge(self, text: str) -> bool:
        """It has no ear for it."""
        return False

    async def close(self) -> None:
        """There is nothing to end."""

    async def _drill(self, word: str, rest: str, turn: Turn) -> str | None:
        """Do one line; why it cannot be done, or None."""
        match word:
            case "append":
                return await self._append(rest, turn)
            case "sleep":
                try:
                    _sleep(float(rest))
                except (ValueError, OverflowError):
                    return f"{rest!r} is no number of seconds to sleep"
            case "exit":
                os._exit(3)
            case "hang":
                while True:
                    _sleep(3600)
            case _:
                _misbehave(word)
        return None

    async def _append(self, name: str, turn: Turn) -> str | None:
        path = self._folder / name
        refused = await self._may_use("Write", {"file_path": str(path)})
        if refused is None:
            line = f"{turn.run_id} {time.monotonic():.6f}\n".encode()
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, line)  # one write: lines of two processes never mix
            finally:
                os.close(file)
        return refused


def _sleep(seconds: float) -> None:
    """Hold up all there is: that is the drill."""
    time.sleep(seconds)


def _task_of(prompt: str) -> str:
    """What was asked for, without the title and the rest that a job's prompt has around it."""
    _, begun, task = prompt.rpartition("<task>\n")
    return task.partition("\n\n")[2] if begun else prompt


_DRILLS = frozenset({"append", "sleep", "exit", "hang", "garbage", "flood", "close"})


def _misbehave(word: str) -> None:
    """Do something to the pipe. A backend does not know which it is, so to all sockets."""
    for descriptor in _sockets():
        match word:
            case "garbage":
                os.write(descriptor, b"\x00\xff this is no frame {]\n")
            case "flood":
                for _ in range(_FLOOD_PIECES):
                    os.write(descriptor, _FLOOD_PIECE)
            case _:
                # Not just this descriptor: the other end is to see the end of it.
                socket.socket(fileno=os.dup(descriptor)).shutdown(socket.SHUT_RDWR)


def _sockets() -> list[int]:
    return [
        number
        for number in (int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        if _is_socket(number)
    ]


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:  # the listing's own, which is closed by now
        return False
