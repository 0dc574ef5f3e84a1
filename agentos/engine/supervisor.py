"""Attending one run: from a claimed job to its settled end."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection

from agentos import log as logs
from agentos.config import Config
from agentos.domain.frames import (
    ChildFailed,
    Failure,
    Ready,
    SessionOpened,
    Spent,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    TurnUsage,
)
from agentos.domain.ports import Clock, UpFrame
from agentos.domain.states import RunState
from agentos.domain.work import Job, Run, Worker
from agentos.engine.assignments import Briefing, Needed, brief
from agentos.engine.children import Child
from agentos.engine.collecting import NOTHING, Collection, collect
from agentos.engine.forks import ForkServer
from agentos.engine.settling import Ending, settle
from agentos.engine.warmth import WarmChildren
from agentos.errors import AgentosError, BackendFailed, LeaseLost, StoreUnusable
from agentos.home import Home
from agentos.store import artefacts, jobs, runs
from agentos.store.database import Database

log = logs.get(__name__)
_SETTLE_AGAIN_SECONDS = 2.0
_END_SECONDS = 2.0


class Supervisor:
    """One run under way."""

    def __init__(
        self,
        run: Run,
        *,
        job: Job,
        worker: Worker,
        database: Database,
        clock: Clock,
        config: Config,
        home: Home,
        forks: ForkServer,
        warm: WarmChildren,
    ) -> None:
        self.run = run
        self.job = job
        self.worker = worker
        self.doing = "starting"
        self._database = database
        self._clock = clock
        self._config = config
        self._home = home
        self._forks = forks
        self._warm = warm
        self._session_id = run.session_id
        self._deadline = time.monotonic() + job.timeout_seconds
        # What the turn has used so far, where its backend tells.
        self.spent = TurnUsage()
        self._cancelled = False
        self._stopping = False
        self._draining = False
        # Why it was made to end before its time; empty while it may go on.
        self._ended_for = ""
        self._tools_open = 0
        self._renewed = time.monotonic()
        self._child: Child | None = None

    def cancel(self) -> None:
        """End it: the owner does not want it any more."""
        self._cancelled = True
        self._end("it was cancelled")

    def stop(self) -> None:
        """End it because the daemon ends; it goes on after the next start."""
        self._stopping = True
        self._end("the daemon was stopped")

    def drain(self) -> None:
        """End it at its next safe point: while no tool is in the middle of something."""
        self._draining = True
        self._end_if_safe()

    def poke(self) -> None:
        """End it, to be resumed at once."""
        self._end("it was poked")

    def _end(self, why: str) -> None:
        self._ended_for = self._ended_for or why
        if self._child is not None:
            self._child.kill()

    def _end_if_safe(self) -> None:
        if self._draining and self._tools_open == 0 and self._child is not None:
            self.stop()

    async def attend(self) -> None:
        """Do the run and settle it."""
        briefing: Briefing | None = None
        try:
            briefing = await self._brief()
            ending = await self._do(briefing)
        except BackendFailed as error:
            ending = self._broke(Failure.crashed, str(error.fields.get("problem", error)))
        except LeaseLost as error:
            log.warning("lease_lost", run_id=self.run.id, problem=str(error))
            if self._child is not None:
                self._child.kill()
            return
        except StoreUnusable as error:
            ending = self._broke(Failure.transient, str(error))
        except AgentosError as error:
            ending = self._broke(Failure.refused, str(error))
        ending = self._as_meant(ending)
        await self._keep_or_end(briefing, ending)
        found = NOTHING
        if briefing is not None and ending.state is RunState.done:
            found = await asyncio.to_thread(collect, briefing.artefacts)
        try:
            await self._settle(ending, found)
        except Exception:
            # What is done is not done again because one of its files has something odd about it.
            if ending.state is not RunState.done:
                raise
            log.exception("settled_without_files", run_id=self.run.id)
            await self._settle(ending, NOTHING)

    def _as_meant(self, ending: Ending) -> Ending:
        """A run that we ended has not failed, whatever it looked like from here."""
        if not self._ended_for or ending.state is RunState.done:
            return ending
        state = RunState.cancelled if self._cancelled else RunState.interrupted
        return replace(ending, state=state, failure=None, problem=self._ended_for)

    async def give_up(self) -> None:
        """Settle a run that could not be attended, because of a fault of ours."""
        if self._child is not None:
            self._child.kill()
        problem = "something inside broke; the log tells what"
        await self._settle(self._broke(Failure.crashed, problem), NOTHING)

    async def _brief(self) -> Briefing:
        needs = await self._database.query(
            lambda connection: [
                Needed(
                    job_id=needed.id or 0,
                    title=needed.title,
                    result=(needed.result or "")[:4000],
                    files=[
                        file.path for file in artefacts.list_for_job(connection, needed.id or 0)
                    ],
                )
                for needed in jobs.needs_of(connection, self.run.job_id)
            ]
        )
        try:
            return await asyncio.to_thread(
                brief,
                job=self.job,
                run=self.run,
                worker=self.worker,
                needs=needs,
                config=self._config,
                home=self._home,
                now=self._clock.now(),
            )
        except OSError as error:
            raise BackendFailed(backend=self.worker.backend, problem=str(error)) from error

    async def _do(self, briefing: Briefing) -> Ending:
        child = await self._open(briefing)
        if isinstance(child, Ending):
            return child
        await child.send(briefing.turn)
        while True:
            frame = await self._next(child)
            if isinstance(frame, Ending):
                return frame
            match frame:
                case TurnEnded():
                    return self._ended(frame)
                case SessionOpened():
                    await self._note_session(frame)
                case ToolStarted():
                    self.doing = frame.summary
                    self._tools_open += 1
                case ToolEnded():
                    self._tools_open = max(0, self._tools_open - 1)
                    self._end_if_safe()
                case Spent():
                    self.spent = frame.usage
                case ChildFailed():
                    return self._died(child, frame)
                case _:
                    pass
            await self._renew()

    async def _open(self, briefing: Briefing) -> Child | Ending:
        """The worker's warm child, or a new one that is ready."""
        assert self.worker.id is not None
        child = self._warm.take(self.worker.id, briefing.assignment)
        if child is not None:
            self._child = child
            await self._note_running(child)
            return child
        errors = self._home.job_folder(self.run.job_id) / "errors.log"
        child = await self._forks.spawn(title=f"job {self.run.job_id}", stderr=errors)
        self._child = child
        if self._ended_for:
            child.kill()
        self._end_if_safe()
        await child.send(briefing.assignment)
        await self._note_running(child)
        while True:
            frame = await self._next(child)
            match frame:
                case Ready():
                    return child
                case ChildFailed():
                    return self._died(child, frame)
                case Ending():
                    return frame
                case _:
                    pass

    async def _next(self, child: Child) -> UpFrame | Ending:
        """The next frame, or how it ended when none comes in time."""
        lease = self._config.engine.lease_seconds
        left = self._deadline - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(lease, left))):
                return await child.receive()
        except TimeoutError:
            child.kill()
            if left <= lease:
                problem = f"it was not finished after {_spoken(self.job.timeout_seconds)}"
                return Ending(
                    state=RunState.timed_out, problem=problem, session_id=self._session_id
                )
            return self._broke(Failure.crashed, "the worker gave no sign of life")

    def _died(self, child: Child, last: ChildFailed) -> Ending:
        child.kill()
        return self._broke(last.failure, last.problem)

    def _ended(self, frame: TurnEnded) -> Ending:
        told = frame.retry_after_seconds
        return Ending(
            state=RunState.done if frame.failure is None else RunState.failed,
            text=frame.text,
            failure=frame.failure,
            problem=frame.problem,
            retry_after=timedelta(seconds=told) if told is not None else None,
            usage=frame.usage,
            session_id=self._session_id,
        )

    def _broke(self, failure: Failure, problem: str) -> Ending:
        return Ending(
            state=RunState.failed, failure=failure, problem=problem, session_id=self._session_id
        )

    async def _note_running(self, child: Child) -> None:
        now, lease = self._clock.now(), self._lease()
        self.doing = "thinking"
        await self._note(
            lambda connection: runs.change_live(
                connection,
                self.run,
                state=RunState.running,
                pid=child.pid,
                heartbeat_at=now,
                lease_until=now + lease,
            )
        )
        self._renewed = time.monotonic()

    async def _note_session(self, frame: SessionOpened) -> None:
        """Known at once, so that a crash in the next instant can resume it."""
        self._session_id = frame.session_id
        await self._note(
            lambda connection: runs.change_live(connection, self.run, session_id=frame.session_id)
        )

    async def _renew(self) -> None:
        """Any frame is a sign of life; it is written down at most once in a third of the lease."""
        if time.monotonic() - self._renewed < self._lease().total_seconds() / 3:
            return
        self._renewed = time.monotonic()
        now, lease = self._clock.now(), self._lease()
        await self._note(
            lambda connection: runs.heartbeat(connection, self.run, now=now, lease=lease)
        )

    async def _note(self, work: Callable[[Connection], None]) -> None:
        """A note that cannot be written now is not worth the run; settling writes what matters."""
        try:
            await self._database.write(work)
        except StoreUnusable as error:
            log.warning("note_postponed", run_id=self.run.id, problem=str(error))

    def _lease(self) -> timedelta:
        return timedelta(seconds=self._config.engine.lease_seconds)

    async def _keep_or_end(self, briefing: Briefing | None, ending: Ending) -> None:
        """Keep a persistent worker's process warm; end any other, before its files are read."""
        if self._child is None:
            return
        keeps = self.worker.persistent and ending.state is RunState.done
        if keeps and briefing is not None and self.worker.id is not None:
            self._warm.put(self.worker.id, self._child, briefing.assignment)
        else:
            self._child.kill()
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await asyncio.shield(self._child.exited)

    async def _settle(self, ending: Ending, found: Collection) -> None:
        """Write the end down, however long the disk stays full."""
        while True:
            try:
                state = await self._database.write(
                    lambda connection: settle(
                        connection,
                        self.run,
                        ending,
                        found=found,
                        at=self._clock.now(),
                        config=self._config,
                    )
                )
            except LeaseLost as error:
                log.warning("lease_lost", run_id=self.run.id, problem=str(error))
                return
            except StoreUnusable as error:
                log.error("settle_postponed", run_id=self.run.id, problem=str(error))
                if self._stopping:
                    return  # still live in the rows: the next start takes it up
                await asyncio.sleep(_SETTLE_AGAIN_SECONDS)
                continue
            log.info(
                "run_settled",
                run_id=self.run.id,
                job_id=self.run.job_id,
                outcome=ending.state.value,
                job_state=state.value,
                problem=ending.problem or None,
            )
            return


def _spoken(seconds: int) -> str:
    """A time limit as a person says it."""
    return f"{seconds // 60} minutes" if seconds >= 120 else f"{seconds} seconds"
