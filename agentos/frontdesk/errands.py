"""Errands: things done on the side, that nobody waits for and that are not lost sight of."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from agentos import log as logs
from agentos.engine.sessions import Session

log = logs.get(__name__)


class Errands:
    """Tasks on the side. One that fails is logged, and disturbs nobody."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def send(self, errand: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start one."""
        task = asyncio.create_task(errand, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._back)
        return task

    async def call_off(self) -> None:
        """Cancel what is still under way, and wait for its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _back(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("errand_failed", errand=task.get_name(), exc_info=error)


class Resting:
    """Ends the child of a session that nobody has used for a while; it resumes when needed."""

    def __init__(self, errands: Errands, *, after: timedelta) -> None:
        self._errands = errands
        self._after = after
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def busy(self, session: Session) -> None:
        """A turn begins: it must not be disturbed."""
        if (timer := self._timers.pop(id(session), None)) is not None:
            timer.cancel()

    def idle(self, session: Session) -> None:
        """A turn has ended: from now on the time counts."""
        self.busy(session)
        loop = asyncio.get_running_loop()
        self._timers[id(session)] = loop.call_later(self._after.total_seconds(), self._end, session)

    def _end(self, session: Session) -> None:
        self._timers.pop(id(session), None)
        self._errands.send(session.close(), name="rest a session")
