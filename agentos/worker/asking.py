"""What the tools of a session ask the daemon: up the pipe, and the answer comes down."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from agentos.domain.frames import Answered, Asked

_PATIENCE = timedelta(seconds=30)


class Asking:
    """The questions under way. `tell` sends a frame up; until it is set nobody can be asked."""

    def __init__(self, *, patience: timedelta = _PATIENCE) -> None:
        self.tell: Callable[[Asked], Awaitable[None]] | None = None
        self._patience = patience.total_seconds()
        self._waiting: dict[str, asyncio.Future[Answered]] = {}

    async def ask(self, tool: str, arguments: Mapping[str, Any]) -> Answered:
        """Ask; without an answer in time that is the answer. It never raises for the other end."""
        ask_id = uuid.uuid4().hex
        nobody = Answered(ask_id=ask_id, text="No answer came; go on without.", failed=True)
        if self.tell is None:
            return nobody
        waiting: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting[ask_id] = waiting
        try:
            async with asyncio.timeout(self._patience):
                await self.tell(Asked(ask_id=ask_id, tool=tool, arguments=dict(arguments)))
                return await waiting
        except TimeoutError:
            return nobody
        finally:
            del self._waiting[ask_id]

    def answered(self, frame: Answered) -> None:
        """An answer came down; one that nobody waits for any more is let go."""
        waiting = self._waiting.get(frame.ask_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(frame)
