"""What one run is told of the owner's answers and decisions, and what it asks of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from agentos.backends.capabilities import takes_tools
from agentos.config import Config
from agentos.domain.frames import Answered, Asked, Tool
from agentos.domain.rules import Granted, Rules
from agentos.domain.states import RunState
from agentos.domain.talk import Card
from agentos.domain.work import Job, Run, Worker
from agentos.engine.memory import RunMemory
from agentos.engine.questions import Questions
from agentos.engine.rules import rules_for
from agentos.memory.room import MemoryRoom
from agentos.store import cards, grants, runs, tasks
from agentos.store.database import Database


@dataclass(frozen=True)
class Told:
    """What the owner has answered since, and what holds for the tools of this run."""

    answers: Sequence[Card] = ()
    granted: Sequence[Granted] = ()
    rules: Rules = field(default_factory=Rules)
    # The session has ended its last turn in order: it knows its task, and has only to go on.
    was_in_order: bool = False


class Consulting:
    """The owner as one run knows them: what they answered, and what they can be asked."""

    def __init__(
        self,
        run: Run,
        *,
        job: Job,
        worker: Worker,
        database: Database,
        config: Config,
        questions: Questions,
        memory: MemoryRoom | None = None,
    ) -> None:
        self._run = run
        self._job = job
        self._worker = worker
        self._database = database
        self._config = config
        self.memory = RunMemory(memory, run=run, job=job, worker=worker)
        self._questions = questions

    @property
    def tools(self) -> list[Tool]:
        """The tools of ours that its session has, where its backend can have any."""
        asks = self._questions.tools if takes_tools(self._worker.backend) else []
        return [*self.memory.tools, *asks]

    async def told(self) -> Told:
        """What to tell this run; that it was told is written down, for who has to know."""
        told = await self._database.query(self._read)
        if told.answers:
            run_id = self._run.id or 0
            await self._database.write(
                lambda connection: cards.tell(connection, told.answers, run_id=run_id), tell=False
            )
        return told

    async def answer(self, asked: Asked, *, read_outside: bool) -> Answered:
        """Answer what the session, or its policy, asks."""
        if self._questions.answers(asked.tool):
            return await self._questions.answer(asked, job=self._job)
        return await self.memory.answer(asked, read_outside=read_outside)

    def _read(self, connection: Connection) -> Told:
        job = self._job
        assert job.id is not None
        task = tasks.get(connection, job.task_id) if job.task_id is not None else None
        rules = rules_for(
            self._config.policy,
            kind=task.kind.value if task is not None else "",
            persona=self._worker.persona or job.persona,
        )
        granted = grants.list_for(connection, job)
        if self._run.number == 1:
            return Told(granted=granted, rules=rules)
        before = [one for one in runs.list_for_job(connection, job.id) if one.id != self._run.id]
        return Told(
            answers=cards.list_untold(connection, job.id),
            granted=granted,
            rules=rules,
            was_in_order=bool(before) and before[-1].state is RunState.done,
        )
