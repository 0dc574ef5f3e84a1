"""How soon a job starts: until its run is claimed, and until its model is asked.

The engine is the real one (database with full durability, dispatcher, fork server, Claude CLI),
run inside this process so that both ends are read off one clock: it starts when the commit that
queued the job has returned. "Run started" is when the claiming commit has returned; "first
request" is its arrival at the Messages API stand-in. One job at a time; the next one follows when
the last has settled.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentos import log as logs
from agentos.backends.claude_access import find_credentials, open_access, open_gateway
from agentos.config import Config
from agentos.domain.clock import SystemClock
from agentos.domain.states import FINISHED_JOBS
from agentos.domain.work import Job, Worker
from agentos.engine.claiming import Started
from agentos.engine.engine import Engine
from agentos.engine.environment import child_environment
from agentos.engine.supervisor import Supervisor
from agentos.errors import AgentosError
from agentos.home import Home
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule
from agentos.store import jobs, workers
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate
from benchmarks.common import Report, parser, run, say

_ANSWER = Rule.model_validate(
    {"when": {"prompt": "job number"}, "turn": [{"blocks": [{"text": "Done."}]}]}
)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--new", type=int, default=50, help="jobs that get a new worker")
    options.add_argument("--warm", type=int, default=100, help="jobs of a persistent worker")
    options.add_argument(
        "--gateway", action="store_true", help="go through the process that holds the key"
    )
    given = options.parse_args()
    report = Report("dispatch")
    run(_measure(report, new=given.new, warm=given.warm, gateway=given.gateway))
    report.show(as_json=given.json)


@dataclass
class _Times:
    """Milliseconds since the job was queued, job by job."""

    started: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)


class _Bench:
    """Jobs to be run on an engine, and what they are timed by."""

    def __init__(self, engine: "_Engine", script: MessagesControl) -> None:
        self.engine = engine
        self._script = script

    async def jobs(self, count: int, *, worker: Worker | None = None) -> _Times:
        """Run that many jobs, one after the other."""
        times = _Times()
        for number in range(count):
            await self._one(number, worker, times)
        return times

    async def _one(self, number: int, worker: Worker | None, times: _Times) -> None:
        name = f"{'warm' if worker else 'new'} job number {number:04d}"
        row = Job(
            title=name,
            prompt=name,
            wants_worker_id=worker.id if worker else None,
            created_at=SystemClock().now(),
        )
        engine = self.engine
        job = await engine.database.write(lambda connection: jobs.enqueue(connection, row))
        queued = time.monotonic()
        ended = await engine.ended(job)
        if ended.state != "done":
            raise AgentosError(reason=f"{name} is {ended.state}: {ended.error}")
        seen = await self._script.wait_for_request(name, since=engine.seen)
        engine.seen = seen.index + 1
        times.started.append((engine.claimed[job.id or 0] - queued) * 1000)
        times.asked.append((seen.monotonic - queued) * 1000)


class _Engine(Engine):
    """The engine, and when it claimed what."""

    def __init__(self, database: Database, **parts: Any) -> None:
        super().__init__(database, clock=SystemClock(), config=Config(), node="here", **parts)
        self.database = database
        self.claimed: dict[int, float] = {}
        self.seen = 0
        self._changed = database.listen()

    async def ended(self, job: Job) -> Job:
        """Wait for a job's end, and a little for its child's."""
        # Not at once: what is measured now is not to share its time with our looking.
        await asyncio.sleep(0.03)
        while True:
            self._changed.clear()
            now = await self.database.query(lambda connection: jobs.get(connection, job.id or 0))
            if now.state in FINISHED_JOBS:
                break
            await self._changed.wait()
        await asyncio.sleep(0.1)
        return now

    def attend(self, started: Started) -> Supervisor:
        """The same as ever, but the moment is noted."""
        self.claimed[started.run.job_id] = time.monotonic()
        return super().attend(started)


@asynccontextmanager
async def _bench(*, gateway: bool) -> AsyncIterator[_Bench]:
    folder = Path(tempfile.mkdtemp(prefix="agentos-bench-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        home = Home(folder / "home")
        home.make()
        logs.configure(home.log_file, level="INFO")
        database = Database(sqlite_url(home.database_file))
        stack.callback(database.close)
        migrate(database)
        model = await stack.enter_async_context(await StandinProcess.start("messages"))
        script = await stack.enter_async_context(MessagesControl(model.url))
        await script.add_rules([_ANSWER])
        access = open_access(model.url, config_folder=home.claude_config)
        if gateway:
            known = {"ANTHROPIC_API_KEY": "sk-ant-a-key-for-nothing"}
            found = find_credentials(base_url=model.url, known=known)
            assert found is not None
            access, process = await open_gateway(found, config_folder=home.claude_config)
            stack.push_async_callback(process.stop)
        engine = _Engine(
            database,
            home=home,
            environment=lambda mark: child_environment(access, home=home.root, mark=mark),
        )
        stack.push_async_callback(engine.forks.close)
        await engine.forks.start()
        stack.callback(lambda: engine.warm.evict(everything=True))
        stack.push_async_callback(engine.dispatcher.stop)
        loop = asyncio.create_task(engine.dispatcher.run())
        stack.callback(loop.cancel)
        yield _Bench(engine, script)


async def _measure(report: Report, *, new: int, warm: int, gateway: bool) -> None:
    async with _bench(gateway=gateway) as bench:
        await bench.jobs(2)  # the first ones read everything from the disk
        say(f"{new} jobs, each with a new worker")
        cold = await bench.jobs(new)
        engine = bench.engine
        row = Worker(name="warm", model="sonnet", persistent=True, created_at=SystemClock().now())
        worker = await engine.database.write(lambda connection: workers.add(connection, row))
        await bench.jobs(2, worker=worker)
        say(f"{warm} jobs of one persistent worker")
        kept = await bench.jobs(warm, worker=worker)
    goals = {50: 3.0, 99: 10.0}
    started = [*cold.started, *kept.started]
    report.spread("enqueue → run started", started, "ms", quantiles=(50, 99, 100), goals=goals)
    report.spread(
        "enqueue → first request, new worker", cold.asked, "ms", quantiles=(50, 95), goals={50: 600}
    )
    report.spread(
        "enqueue → first request, warm worker",
        kept.asked,
        "ms",
        quantiles=(50, 95),
        goals={50: 100},
    )


if __name__ == "__main__":
    main()
