"""Where a run takes place: its child, from its beginning to its end, or to the next job."""

import asyncio
from contextlib import suppress
from pathlib import Path

from agentos.domain.frames import Assignment, Turn
from agentos.domain.work import Worker
from agentos.engine.attempts import last_words
from agentos.engine.children import Child
from agentos.engine.forks import PLAIN, ForkServer
from agentos.engine.warmth import WarmChildren

_END_SECONDS = 2.0
# A turn that is broken off in good order needs some 100 ms; what takes longer is killed.
_BREAK_OFF_SECONDS = 3.0


class Place:
    """The child of one run. It is opened at most once at a time, and ended or kept."""

    def __init__(
        self, worker: Worker, *, forks: ForkServer, warm: WarmChildren, errors: Path, title: str
    ) -> None:
        """`errors` is the file for what a new child complains of."""
        assert worker.id is not None
        self._worker_id = worker.id
        self._persistent = worker.persistent
        self._forks = forks
        self._warm = warm
        self._errors = errors
        self._title = title
        self._child: Child | None = None
        self._assignment: Assignment | None = None
        # Where the last words of this child are, and how long that file was before.
        self._words = errors
        self._words_before = 0
        self._breaking_off: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self, assignment: Assignment, turn: Turn) -> tuple[Child, bool]:
        """The worker's warm child, or a new one, and whether it was warm; it has the turn.

        Raises BackendFailed. One that comes after `kill` is ended at once.
        """
        self._assignment = assignment
        kept = self._warm.take(self._worker_id, assignment)
        self._words = kept.errors if kept is not None else self._errors
        self._words_before = _size(self._words)
        if kept is not None:
            self._child = kept.child
            await kept.child.send(turn)
            return kept.child, True
        server = self._forks.plain if assignment.backend in PLAIN else self._forks
        child = await server.spawn(title=self._title, stderr=self._errors, first=[assignment, turn])
        self._child = child
        if self._closed:
            child.kill()
        return child, False

    def kill(self) -> None:
        """End the child now, or when it is there."""
        self._closed = True
        if self._child is not None:
            self._child.kill()

    def break_off(self) -> None:
        """End the child in good order, so that the session is written down as far as it is."""
        self._closed = True
        if self._child is not None:
            ending = self._child.stop(grace_seconds=_BREAK_OFF_SECONDS)
            self._breaking_off = asyncio.create_task(ending)

    async def end(self) -> None:
        """End the child, and wait until it has ended: what it leaves is complete then."""
        child, self._child = self._child, None
        if child is None:
            return
        if self._breaking_off is not None:
            await asyncio.wait({self._breaking_off}, timeout=_BREAK_OFF_SECONDS)
        child.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.shield(child.exited)

    async def leave(self, *, session_id: str | None) -> None:
        """A job is done: the child of a persistent worker stays warm, any other ends."""
        if not self._persistent or self._closed or self._child is None or self._assignment is None:
            await self.end()
            return
        now_in = self._assignment.model_copy(update={"session_id": session_id})
        child, self._child = self._child, None
        self._warm.put(self._worker_id, child, assignment=now_in, errors=self._words)

    async def last_words(self) -> str:
        """What the child said last on its standard error, in one line; empty when it did not."""
        return await asyncio.to_thread(last_words, self._words, since=self._words_before)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
