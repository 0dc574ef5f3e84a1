"""The dispatcher: on each change of the rows, start what may start. The tick is the safety net."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from agentos import log as logs
from agentos.config import Config
from agentos.domain.ports import Clock
from agentos.engine.claiming import Claims, Present, Round, Started
from agentos.engine.lanes import Held, Under
from agentos.engine.machine import Machine
from agentos.engine.recovery import put_back, rescue
from agentos.engine.supervisor import Supervisor
from agentos.errors import StoreUnusable, WrongState
from agentos.store import runs
from agentos.store.database import Database

log = logs.get(__name__)

Attend = Callable[[Started], Supervisor]


class Dispatcher:
    """Decides what runs; a supervisor attends each run."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        config: Config,
        claims: Claims,
        attend: Attend,
        machine: Machine,
        node: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._config = config
        self._claims = claims
        self._attend = attend
        self._machine = machine
        self._node = node
        self._live: dict[int, tuple[Supervisor, asyncio.Task[None]]] = {}
        self._draining = False
        self._changed = database.listen()
        self._rescued = time.monotonic()

    async def run(self) -> None:
        """Dispatch until cancelled; the runs under way are then left to `stop`."""
        while True:
            self._changed.clear()
            due = await self._cycle()
            await self._wait(self._changed, due)

    async def stop(self, *, grace: timedelta = timedelta()) -> None:
        """Start nothing more, and end all runs; their jobs go on after the next start.

        For the length of `grace` a run may come to a safe point, or to its end.
        """
        self._draining = True
        live = list(self._live.values())
        if grace and live:
            log.info("draining", runs=len(live), seconds=grace.total_seconds())
            for supervisor, _ in live:
                supervisor.drain()
            await asyncio.wait([task for _, task in live], timeout=grace.total_seconds())
        for supervisor, _ in self._live.values():
            supervisor.stop()
        await asyncio.gather(*(task for _, task in self._live.values()), return_exceptions=True)
        with suppress(StoreUnusable):  # then the next start takes it for a crash
            await self._database.write(
                lambda connection: put_back(connection, at=self._clock.now(), node=self._node)
            )

    def doing(self) -> dict[int, str]:
        """What each live job does now, in plain words, by job id."""
        return {supervisor.run.job_id: supervisor.doing for supervisor, _ in self._live.values()}

    def steered(self, job_id: int) -> None:
        """The owner has said something to a job: what runs it hears it now, else it waits."""
        for supervisor, _ in self._live.values():
            if supervisor.run.job_id == job_id:
                supervisor.steered()

    def poke(self, job_id: int) -> None:
        """Kill what runs a job and have it resumed at once. Raises WrongState when nothing does."""
        for supervisor, _ in self._live.values():
            if supervisor.run.job_id == job_id:
                supervisor.poke()
                return
        problem = "only a job that runs can be poked"
        raise WrongState(noun="job", name=job_id, state="not running", problem=problem)

    def present(self) -> Present:
        """What is under way, and how the machine bears up."""
        live = [supervisor for supervisor, _ in self._live.values()]
        worked_on = [supervisor.job for supervisor in live]
        under = Under(
            running=len(live),
            projects=Counter(job.project_id for job in worked_on if job.project_id is not None),
            templates=Counter(job.template for job in worked_on if job.template is not None),
            tokens=sum(max(each.job.tokens, each.spent.tokens) for each in live),
        )
        return Present(under=under, strain=self._machine.strain, draining=self._draining)

    async def explain(self, *, limit: int = 50) -> list[Held]:
        """The next jobs that are due, and what holds each of them back."""
        present = self.present()
        return await self._database.query(
            lambda connection: self._claims.explain(connection, present, limit=limit)
        )

    async def _cycle(self) -> datetime | None:
        """One look at the rows and what follows from it; returns when something is due next."""
        try:
            await self._rescue()
            round_ = await self._round()
            for run_id in round_.cancelled:
                if run_id in self._live:
                    self._live[run_id][0].cancel()
            for started in round_.started:
                self._watch(started)
            if round_.changed:
                # A full house finds nothing more in what it has just done itself.
                full = len(self._live) >= self._config.engine.slots
                self._database.poke(but=self._changed if full else None)
        except StoreUnusable as error:
            log.error("dispatch_postponed", problem=str(error))
            return None
        except Exception:
            # The loop's edge: one bad row must not stop all others.
            log.exception("dispatch_failed")
            return None
        return round_.due

    async def _wait(self, changed: asyncio.Event, due: datetime | None) -> None:
        waits: list[asyncio.Future[object]] = [asyncio.ensure_future(changed.wait())]
        if due is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep_until(due)))
        try:
            await asyncio.wait(
                waits,
                timeout=self._config.engine.tick_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for wait in waits:
                wait.cancel()

    async def _round(self) -> Round:
        """With room, straight to the writing: a commit most likely brought a job.

        A full house looks first, because it has nothing to write at most commits.
        """
        present = self.present()
        if present.draining:
            return Round()
        if present.under.running > self._config.engine.slots:
            look = await self._database.query(
                lambda connection: self._claims.look(connection, present)
            )
            if not look.changed:
                return look
        return await self._database.write(
            lambda connection: self._claims.start(connection, present), tell=False
        )

    async def _rescue(self) -> None:
        """Once in a while, look for runs that nobody attends any more."""
        if time.monotonic() - self._rescued < self._config.engine.lease_seconds / 4:
            return
        self._rescued = time.monotonic()
        ours = set(self._live)
        expired = await self._database.query(
            lambda connection: runs.list_expired(connection, now=self._clock.now())
        )
        if any(run.id not in ours for run in expired):
            await self._database.write(
                lambda connection: rescue(connection, at=self._clock.now(), ours=set(self._live))
            )

    def _watch(self, started: Started) -> None:
        assert started.run.id is not None
        run_id = started.run.id
        supervisor = self._attend(started)
        task = asyncio.create_task(_attend(supervisor))
        self._live[run_id] = (supervisor, task)
        log.info("run_started", run_id=run_id, job_id=started.run.job_id)
        if self._draining:
            supervisor.stop()  # claimed in the instant in which the end began

        def gone(_ended: asyncio.Task[None]) -> None:
            del self._live[run_id]
            self._database.poke()

        task.add_done_callback(gone)


async def _attend(supervisor: Supervisor) -> None:
    """Attend a run; a fault of ours costs the attempt, not the job."""
    try:
        await supervisor.attend()
    except Exception:
        log.exception("run_unattended", run_id=supervisor.run.id)
        await supervisor.give_up()
