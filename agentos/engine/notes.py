"""What is written down of a run under way: where it runs, in which session, that it lives."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.frames import SessionOpened
from agentos.domain.ports import Clock
from agentos.domain.states import RunState
from agentos.domain.work import Run, Worker
from agentos.errors import StoreUnusable
from agentos.store import events, runs
from agentos.store.database import Database

log = logs.get(__name__)


class Notes:
    """The notes of one run.

    Nobody waits for them to be written: what follows is behind them in the same queue. One that
    cannot be written now is not worth the run; settling writes what matters.
    """

    def __init__(
        self,
        run: Run,
        *,
        worker: Worker,
        database: Database,
        clock: Clock,
        lease: timedelta,
        on_lost: Callable[[], None],
    ) -> None:
        """`on_lost` is called when another run has taken the place of this one."""
        self._run = run
        self._worker = worker
        self._database = database
        self._clock = clock
        self._lease = lease
        self._on_lost = on_lost
        self._renewed = time.monotonic()
        self._writing: set[asyncio.Task[None]] = set()

    def running(self, *, pid: int, session_id: str | None) -> None:
        """It runs in this process, and in this session: a crash can resume it from now on."""
        now = self._clock.now()
        self._renewed = time.monotonic()
        self._write(
            lambda connection: runs.change_live(
                connection,
                self._run,
                state=RunState.running,
                pid=pid,
                session_id=session_id,
                heartbeat_at=now,
                lease_until=now + self._lease,
            )
        )

    def session_lost(self, opened: SessionOpened) -> None:
        """The session that was to be resumed is gone."""
        now = self._clock.now()
        self._write(
            lambda connection: events.record(
                connection,
                "session_lost",
                at=now,
                job_id=self._run.job_id,
                run_id=self._run.id,
                worker=self._worker.name,
                lost=self._run.session_id,
                session=opened.session_id,
            )
        )

    def alive(self) -> None:
        """A sign of life; it is written down at most once in a third of the lease."""
        if time.monotonic() - self._renewed < self._lease.total_seconds() / 3:
            return
        self._renewed = time.monotonic()
        now = self._clock.now()
        self._write(
            lambda connection: runs.heartbeat(connection, self._run, now=now, lease=self._lease)
        )

    def _write(self, work: Callable[[Connection], None]) -> None:
        writing = asyncio.create_task(self._try(work))
        self._writing.add(writing)
        writing.add_done_callback(self._written)

    async def _try(self, work: Callable[[Connection], None]) -> None:
        try:
            await self._database.write(work, tell=False)
        except StoreUnusable as error:
            log.warning("note_postponed", run_id=self._run.id, problem=str(error))

    def _written(self, writing: asyncio.Task[None]) -> None:
        self._writing.discard(writing)
        if not writing.cancelled() and writing.exception() is not None:
            # The settling, which comes next, will find the same.
            self._on_lost()
