"""Warm sessions for the front desk: triage, chat, plans. Each in a child of its own."""

import asyncio
import uuid
import weakref
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from agentos import log as logs
from agentos.domain.frames import (
    Assignment,
    ChildFailed,
    Failure,
    Ready,
    SessionOpened,
    TextDelta,
    Turn,
    TurnEnded,
)
from agentos.engine.children import Child
from agentos.engine.forks import ForkServer
from agentos.errors import BackendFailed

log = logs.get(__name__)


class Sessions:
    """Opens sessions; none of them starts a process before it is used."""

    def __init__(self, forks: ForkServer, *, logs_folder: Path) -> None:
        self._forks = forks
        self._stderr = logs_folder / "children.log"
        # Weak: one that was closed and let go of need not be remembered.
        self._open: weakref.WeakSet[Session] = weakref.WeakSet()

    def open(self, assignment: Assignment, *, title: str = "front desk") -> "Session":
        """A session that starts its child when it is first needed."""
        session = Session(assignment, forks=self._forks, title=title, stderr=self._stderr)
        self._open.add(session)
        return session

    async def close(self) -> None:
        """End them all."""
        await asyncio.gather(*(session.close() for session in list(self._open)))


class Session:
    """One conversation in a warm child; turns are taken one after the other."""

    def __init__(
        self, assignment: Assignment, *, forks: ForkServer, title: str, stderr: Path
    ) -> None:
        self._assignment = assignment
        self._forks = forks
        self._title = title
        self._stderr = stderr
        self._child: Child | None = None
        self._turns = asyncio.Lock()
        self.session_id = assignment.session_id
        # The session that was to be resumed was gone, and a new one took its place.
        self.lost = False

    async def warm(self) -> None:
        """Have the child ready ahead of the first turn; a failure shows at that turn."""
        async with self._turns:
            try:
                await self._ensure()
            except BackendFailed as error:
                log.warning("session_not_warm", title=self._title, problem=str(error))

    async def turn(
        self,
        prompt: str,
        *,
        timeout: timedelta,  # noqa: ASYNC109 - the result says that it ran out
        on_text: Callable[[str], None] | None = None,
    ) -> TurnEnded:
        """Do one turn. It never raises for the far end's faults: the result names them.

        `on_text` gets the whole answer so far. The timeout covers waiting, starting and answering.
        """
        turn_id = uuid.uuid4().hex
        seconds = timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds), self._turns:
                return await self._take_or_drop(turn_id, prompt, on_text)
        except BackendFailed as error:
            problem = str(error.fields.get("problem", error))
            return TurnEnded(turn_id=turn_id, failure=Failure.crashed, problem=problem)
        except TimeoutError:
            problem = f"no answer in {seconds:.0f} s"
            return TurnEnded(turn_id=turn_id, failure=Failure.transient, problem=problem)

    async def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is not None and child.alive:
            await child.stop()

    async def _take_or_drop(
        self, turn_id: str, prompt: str, on_text: Callable[[str], None] | None
    ) -> TurnEnded:
        """Take the turn; whatever breaks it, a timeout too, costs the child and not the session."""
        was_warm = self._child is not None
        try:
            return await self._take(turn_id, prompt, on_text)
        except BackendFailed as error:
            await self._drop()
            if not was_warm:
                raise
            # A warm child may have died of something that has nothing to do with this turn.
            log.warning("session_broke", title=self._title, problem=str(error))
            return await self._take(turn_id, prompt, on_text)
        except asyncio.CancelledError:
            await self._drop()
            raise

    async def _take(
        self, turn_id: str, prompt: str, on_text: Callable[[str], None] | None
    ) -> TurnEnded:
        child = await self._ensure()
        await child.send(Turn(turn_id=turn_id, prompt=prompt))
        so_far = ""
        while True:
            match await child.receive():
                case SessionOpened() as opened:
                    self.session_id, self.lost = opened.session_id, opened.lost
                case TextDelta() as delta if on_text is not None and delta.turn_id == turn_id:
                    if not delta.whole:
                        so_far += delta.text
                        on_text(so_far)
                case TurnEnded() as ended if ended.turn_id == turn_id:
                    if ended.failure is Failure.crashed:
                        await self._drop()
                    return ended
                case ChildFailed() as failed:
                    raise BackendFailed(backend=self._assignment.backend, problem=failed.problem)
                case _:
                    pass

    async def _ensure(self) -> Child:
        if self._child is not None and self._child.alive:
            return self._child
        child = await self._forks.spawn(title=self._title, stderr=self._stderr)
        self._child = child
        await child.send(self._assignment.model_copy(update={"session_id": self._resume_id()}))
        while True:
            match await child.receive():
                case Ready():
                    return child
                case ChildFailed() as failed:
                    await self._drop()
                    raise BackendFailed(backend=self._assignment.backend, problem=failed.problem)
                case _:
                    pass

    def _resume_id(self) -> str | None:
        return None if self._assignment.forget_between_turns else self.session_id

    async def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
