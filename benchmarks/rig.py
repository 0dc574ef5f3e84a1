"""The engine by itself, inside this process: database, dispatcher, fork server, no front desk."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from agentos import log as logs
from agentos.backends.claude_access import open_access
from agentos.config import Config
from agentos.domain.clock import SystemClock
from agentos.domain.work import Job
from agentos.engine.claiming import Started
from agentos.engine.engine import Engine
from agentos.engine.environment import child_environment
from agentos.engine.supervisor import Supervisor
from agentos.home import Home
from agentos.store import jobs
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate

# Where nobody answers: an engine that runs drills asks no model.
_NO_MODEL = "http://127.0.0.1:9"
# A busy machine is what is measured here, so it is no reason to wait.
_UNSPARING = {"most_load": 10_000, "least_memory_mb": 0}


class Rig(Engine):
    """The engine, and when it claimed what."""

    def __init__(self, database: Database, *, home: Home, config: Config, **parts: Any) -> None:
        self.clock = SystemClock()
        super().__init__(database, clock=self.clock, config=config, home=home, node="here", **parts)
        self.database, self.home = database, home
        # job id → when the commit that claimed it had returned
        self.claimed: dict[int, float] = {}
        self.on_claim: Callable[[Job], None] = lambda _job: None

    def attend(self, started: Started) -> Supervisor:
        """The same as ever, but the moment is noted."""
        self.claimed[started.run.job_id] = time.monotonic()
        self.on_claim(started.job)
        return super().attend(started)

    def drill(self, prompt: str, *, number: int = 0, priority: int = 2) -> Job:
        """A job for the echo backend, not queued yet."""
        return Job(
            title=f"drill {number:05d}",
            prompt=prompt,
            backend="echo",
            priority=priority,
            created_at=self.clock.now(),
        )

    async def enqueue(self, job: Job) -> float:
        """Queue it in a transaction of its own; when that was committed."""
        await self.database.write(lambda connection: jobs.enqueue(connection, job))
        return time.monotonic()

    async def finished(self, count: int) -> None:
        """Return when so many jobs of this home are done."""
        while True:
            counts = await self.database.query(jobs.count_by_state)
            if counts.get("done", 0) >= count:
                return
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Dispatch for that long."""
        await self.forks.start()
        loop = asyncio.create_task(self.dispatcher.run())
        try:
            yield
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            await self.dispatcher.stop()
            self.warm.evict(everything=True)
            await self.forks.close()


@asynccontextmanager
async def rig(**settings: Any) -> AsyncIterator[Rig]:
    """An engine with these settings in a temporary home; nothing of it is left behind."""
    folder = Path(tempfile.mkdtemp(prefix="agentos-bench-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        home = Home(folder / "home")
        home.make()
        logs.configure(home.log_file, level="INFO")
        database = Database(sqlite_url(home.database_file))
        stack.callback(database.close)
        migrate(database)
        access = open_access(_NO_MODEL, config_folder=home.claude_config)
        yield Rig(
            database,
            home=home,
            config=Config.model_validate({"engine": settings, "capacity": _UNSPARING}),
            environment=lambda mark: child_environment(access, home=home.root, mark=mark),
        )
