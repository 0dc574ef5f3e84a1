"""Operations on the rows, run as the daemon runs them, and short ways to bring rows about."""

from datetime import UTC, datetime, timedelta
from typing import Any

from agentos.config import Config
from agentos.control.operations.operation import Here
from agentos.control.operations.registry import OPERATIONS
from agentos.domain.frames import Failure
from agentos.domain.states import Actor, JobState, RunState, WorkerState
from agentos.domain.work import Job, Run, Worker
from agentos.home import Home
from agentos.store import events, jobs, outbox, rows, runs, workers
from agentos.store.database import Database

NOW = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)
Answer = dict[str, Any]


class Rows:
    """Runs operations the way the daemon does."""

    def __init__(self, database: Database, home: Home) -> None:
        self.database = database
        self.home = home
        self.now = NOW
        self.config = Config()

    def ask(self, op: str, **params: Any) -> Answer:
        """Run an operation."""
        operation = OPERATIONS[op]
        here = Here(at=self.now, home=self.home, config=self.config)
        work = operation.prepare(params, here=here)
        with self.database.begin() if operation.writes else self.database.read() as connection:
            return work(connection)

    def job(self, **params: Any) -> Answer:
        """Add a job."""
        made: Answer = self.ask("job.add", **{"title": "T", "prompt": "P", **params})["job"]
        return made

    def start(self, job_id: int, worker: str) -> Run:
        """Begin a run of a job by a worker."""
        with self.database.begin() as connection:
            found = workers.get_by_name(connection, worker)
            assert found.id is not None
            workers.change(connection, found.id, state=WorkerState.working)
            run = runs.start(
                connection,
                jobs.get(connection, job_id),
                found,
                now=self.now,
                lease=timedelta(minutes=2),
                model="sonnet",
                node="here",
            )
            assert run is not None
            return run

    def end(self, run: Run, state: RunState, *, failure: Failure | None = None) -> None:
        """End a run, and its job as that goes."""
        job_state = JobState.done if state is RunState.done else JobState.failed
        with self.database.begin() as connection:
            runs.settle(connection, run, state, at=self.now, detail=None, failure=failure)
            jobs.move(connection, run.job_id, job_state, by=Actor.engine, at=self.now)

    def finish(self, job_id: int, state: JobState = JobState.done) -> None:
        """End a job without a run of its own."""
        with self.database.begin() as connection:
            if state is not JobState.cancelled:
                jobs.move(connection, job_id, JobState.running, by=Actor.engine, at=self.now)
            jobs.move(connection, job_id, state, by=Actor.engine, at=self.now)

    def state(self, job_id: int) -> JobState:
        """The state of a job."""
        with self.database.read() as connection:
            return jobs.get(connection, job_id).state

    def worker(self, name: str) -> Worker:
        """A worker as it is now."""
        with self.database.read() as connection:
            return workers.get_by_name(connection, name)

    def row(self, job_id: int) -> Job:
        """A job as it is now."""
        with self.database.read() as connection:
            return rows.get(connection, Job, job_id)

    def keys(self) -> list[str]:
        """The keys of all events."""
        with self.database.read() as connection:
            return [event.key for event in events.list_since(connection, 0, limit=5000)]

    def said(self, job_id: int) -> list[str]:
        """What was said about a job."""
        with self.database.read() as connection:
            return [row.text for row in outbox.list_for_job(connection, job_id)]
