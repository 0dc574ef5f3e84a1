"""What memory is to one run: what its prompt is given, and what its session's tools ask."""

from agentos.backends.capabilities import takes_tools
from agentos.domain.frames import Answered, Asked, Tool
from agentos.domain.work import Job, Run, Worker
from agentos.engine.forks import PLAIN
from agentos.memory.recollection import Recollection
from agentos.memory.room import MemoryRoom


class RunMemory:
    """The memory of one run; none of a drill."""

    def __init__(self, memory: MemoryRoom | None, *, run: Run, job: Job, worker: Worker) -> None:
        self._memory = None if worker.backend in PLAIN else memory
        self._job = job
        self._worker = worker
        self._recalled: list[Recollection] | None = None
        # Whether its session may have read what others wrote, in a job before or an attempt.
        self._was_outside = run.number > 1 or not (
            memory is None or memory.requests.is_clean(run.session_id)
        )

    async def recall(self) -> list[Recollection]:
        """What is put into the prompt of its job; asked for once."""
        if self._recalled is None:
            memory = self._memory
            self._recalled = await memory.recollections.for_job(self._job) if memory else []
        return self._recalled

    @property
    def tools(self) -> list[Tool]:
        """The tools of its session, where its backend can have any."""
        if self._memory is None or not takes_tools(self._worker.backend):
            return []
        return self._memory.requests.tools

    async def answer(self, asked: Asked, *, read_outside: bool) -> Answered:
        """Answer one of the tools; `read_outside` when this run has read what others wrote."""
        if self._memory is None:
            return Answered(ask_id=asked.ask_id, text="There is no memory here.", failed=True)
        outside = self._was_outside or read_outside
        return await self._memory.requests.answer(asked, job=self._job, outside=outside)

    def done(self, session_id: str | None, *, read_outside: bool) -> None:
        """The job is done; the session of a persistent worker goes on with the next."""
        if self._memory is not None and self._worker.persistent:
            outside = self._was_outside or read_outside
            self._memory.requests.note_session(session_id, outside=outside)
