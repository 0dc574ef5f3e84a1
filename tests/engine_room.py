"""The whole engine for a test: real database, real fork server, real CLI, stand-in model."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from agentos.backends.claude_access import ModelAccess
from agentos.config import Config
from agentos.domain.ports import Clock
from agentos.domain.states import FINISHED_JOBS
from agentos.domain.work import Job, Run, Worker
from agentos.engine.engine import Engine
from agentos.engine.environment import child_environment
from agentos.home import Home
from agentos.memory.room import MemoryRoom
from agentos.store import events, jobs, outbox, rows, runs
from agentos.store.database import Database


class EngineRoom:
    """A running dispatcher, and short ways to ask about it."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        home: Home,
        access: ModelAccess,
        config: Config,
        others: Mapping[str, str] | None = None,
        memory: MemoryRoom | None = None,
    ) -> None:
        # A machine that is busy with tests must not keep work from starting.
        capacity = config.capacity.model_copy(update={"most_load": 1000.0})
        config = config.model_copy(update={"capacity": capacity})
        self.database, self.clock, self.home, self.config = database, clock, home, config
        self.engine = Engine(
            database,
            clock=clock,
            config=config,
            home=home,
            environment=lambda mark: child_environment(
                access, home=home.root, mark=mark, others=others
            ),
            node="test",
            memory=memory,
        )
        self.forks, self.warm = self.engine.forks, self.engine.warm
        self.dispatcher = self.engine.dispatcher

    async def add(self, prompt: str, *, needs: list[int] | None = None, **more: Any) -> Job:
        """Queue a job; the owner hears of it in the terminal."""
        job = Job(
            **{
                "title": prompt[:40],
                "prompt": prompt,
                "conversation": "terminal:main",
                "created_at": self.clock.now(),
                **more,
            }
        )
        return await self.database.write(
            lambda connection: jobs.enqueue(connection, job, needs=needs or [])
        )

    async def add_worker(self, name: str, *, model: str = "sonnet") -> Worker:
        """A persistent worker."""
        row = Worker(name=name, model=model, persistent=True, created_at=self.clock.now())
        return await self.database.write(lambda connection: rows.add(connection, row))

    async def job(self, job_id: int | None) -> Job:
        """The job as it is now."""
        return await self.database.query(lambda connection: jobs.get(connection, job_id or 0))

    async def runs(self, job_id: int | None) -> list[Run]:
        """Its attempts."""
        return await self.database.query(
            lambda connection: runs.list_for_job(connection, job_id or 0)
        )

    async def said(self, job_id: int | None) -> list[str]:
        """What was said about it."""
        found = await self.database.query(
            lambda connection: outbox.list_for_job(connection, job_id or 0)
        )
        return [row.text for row in found]

    async def event_keys(self, job_id: int | None) -> list[str]:
        """What happened to it."""
        found = await self.database.query(
            lambda connection: events.list_since(connection, 0, job_id=job_id)
        )
        return [event.key for event in found]

    async def until(self, true: Callable[[], Any], *, seconds: float = 30) -> Any:
        """Wait until something holds, looking each 10 ms; returns it."""
        async with asyncio.timeout(seconds):
            while not (found := await true()):
                await asyncio.sleep(0.01)
        return found

    async def ended(self, job: Job, *, seconds: float = 30) -> Job:
        """Wait for a job's end."""

        async def over() -> Job | None:
            now = await self.job(job.id)
            return now if now.state in FINISHED_JOBS else None

        found: Job = await self.until(over, seconds=seconds)
        return found

    async def live_run(self, job: Job) -> Run:
        """Wait until a run of the job has a process and a session."""

        async def running() -> Run | None:
            found = await self.runs(job.id)
            live = [run for run in found if run.state == "running" and run.session_id]
            return live[-1] if live else None

        run: Run = await self.until(running)
        return run


@asynccontextmanager
async def running(room: EngineRoom) -> AsyncIterator[EngineRoom]:
    """Dispatch for the length of a test; a fork server starts when its first job does."""
    loop = asyncio.create_task(room.dispatcher.run())
    try:
        yield room
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await room.dispatcher.stop()
        room.warm.evict(everything=True)
        await room.forks.close()
