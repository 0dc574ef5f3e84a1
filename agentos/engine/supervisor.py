"""Attending one run: from a claimed job to its settled end."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from agentos import log as logs
from agentos.config import Config
from agentos.domain.frames import (
    Answered,
    Asked,
    Assignment,
    Failure,
    Turn,
    TurnEnded,
    TurnUsage,
)
from agentos.domain.ports import Clock
from agentos.domain.states import RunState
from agentos.domain.work import Job, Run, Worker
from agentos.engine import handover
from agentos.engine.assignments import Briefing, brief, look_back
from agentos.engine.collecting import NOTHING, Collection, collect
from agentos.engine.consulting import Consulting
from agentos.engine.forks import ForkServer
from agentos.engine.notes import Notes
from agentos.engine.place import Place
from agentos.engine.settling import Ending, settle
from agentos.engine.turns import RunOver, Turns
from agentos.engine.warmth import WarmChildren
from agentos.engine.watch import Watch
from agentos.errors import AgentosError, BackendFailed, LeaseLost, StoreUnusable
from agentos.home import Home
from agentos.prompts import render
from agentos.store.database import Database

log = logs.get(__name__)
T = TypeVar("T")
_SETTLE_AGAIN_SECONDS = 2.0
_HANDOVER = timedelta(minutes=2)
# What keeps a hand-over from being written will keep the job from being done, too.
_NOT_NOW = (Failure.rate_limited, Failure.authentication)


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
        consulting: Consulting,
    ) -> None:
        self.run = run
        self.job = job
        self.worker = worker
        self._database = database
        self._clock = clock
        self._config = config
        self._home = home
        self._consulting, self._memory = consulting, consulting.memory
        self._place = Place(
            worker,
            forks=forks,
            warm=warm,
            errors=home.job_folder(run.job_id) / "errors.log",
            title=f"job {run.job_id}",
        )
        self._watch = self._new_watch(timedelta(seconds=job.timeout_seconds), warns=True)
        notes = Notes(
            run,
            worker=worker,
            database=database,
            clock=clock,
            lease=timedelta(seconds=config.engine.lease_seconds),
            on_lost=self._place.kill,
        )
        self._turns = Turns(
            session_id=run.session_id,
            notes=notes,
            on_safe_point=self._end_if_draining,
            answer=self._answer,
        )
        self._cancelled = False
        self._stopping = False
        self._draining = False
        # Why it was made to end before its time; empty while it may go on.
        self._ended_for = ""
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def doing(self) -> str:
        """What it does now, in plain words."""
        return self._turns.doing

    @property
    def spent(self) -> TurnUsage:
        """What the turn has used so far, where its backend tells."""
        return self._turns.spent

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
        if self._turns.is_safe:
            self._end_if_draining()

    def poke(self) -> None:
        """End it, to be resumed at once."""
        self._end("it was poked")

    def _end(self, why: str) -> None:
        self._be_over(why)
        self._place.kill()

    def _end_if_draining(self) -> None:
        """In good order, so that the session is written down as far as it has come."""
        if not self._draining or self._ended_for:
            return
        self._stopping = True
        self._be_over("the daemon was stopped")
        self._place.break_off()

    def _be_over(self, why: str) -> None:
        self._ended_for = self._ended_for or why
        if not self._over.done():
            self._over.set_result(None)

    async def attend(self) -> None:
        """Do the run and settle it."""
        artefacts_folder: Path | None = None
        try:
            briefing = await self._unless_over(self._brief())
            artefacts_folder = briefing.artefacts
            ended = await self._work(briefing)
            ending = self._ending_of(ended)
        except RunOver as over:
            ending = await self._broken(over)
        except BackendFailed as error:
            ending = self._broke(Failure.crashed, str(error.fields.get("problem", error)))
        except LeaseLost as error:
            log.warning("lease_lost", run_id=self.run.id, problem=str(error))
            self._place.kill()
            return
        except StoreUnusable as error:
            ending = self._broke(Failure.transient, str(error))
        except OSError as error:
            ending = self._broke(Failure.transient, f"its folder cannot be written: {error}")
        except AgentosError as error:
            ending = self._broke(Failure.refused, str(error))
        ending = self._as_meant(ending)
        if ending.state is RunState.done:
            self._memory.done(self._turns.session_id, read_outside=self._turns.read_outside)
            await self._place.leave(session_id=self._turns.session_id)
        else:
            await self._place.end()
        found = NOTHING
        if artefacts_folder is not None and ending.state is RunState.done:
            found = await asyncio.to_thread(collect, artefacts_folder)
        try:
            await self._settle(ending, found)
        except Exception:
            # What is done is not done again because one of its files has something odd about it.
            if ending.state is not RunState.done:
                raise
            log.exception("settled_without_files", run_id=self.run.id)
            await self._settle(ending, NOTHING)

    async def give_up(self) -> None:
        """Settle a run that could not be attended, because of a fault of ours."""
        self._place.kill()
        problem = "something inside broke; the log tells what"
        await self._settle(self._broke(Failure.crashed, problem), NOTHING)

    async def _work(self, briefing: Briefing) -> TurnEnded:
        """The turn of the job; before it, the hand-over of a session that has grown too big."""
        most = self._config.engine.session_tokens
        if handover.is_due(self.worker, self.run, most_tokens=most):
            await self._hand_over(briefing)
            briefing = await self._unless_over(self._brief())
        return await self._take(briefing.assignment, briefing.turn, watch=self._watch)

    async def _take(
        self, assignment: Assignment, turn: Turn, *, watch: Watch, must_resume: bool = False
    ) -> TurnEnded:
        child, is_warm = await self._unless_over(self._place.open(assignment, turn))
        if is_warm:
            self._turns.running(child)
        return await self._turns.attend(
            child, turn_id=turn.turn_id, watch=watch, must_resume=must_resume
        )

    async def _hand_over(self, briefing: Briefing) -> None:
        """One last turn in a session that has grown too big: what it leaves begins the next one.

        Without an answer, what the rows know has to do. Until that is written the old session is
        valid, so an end at any point of this costs no more than doing it again.
        """
        began = time.monotonic()
        summary, used = "", TurnUsage()
        turn = briefing.turn.model_copy(
            update={
                "turn_id": f"{self.run.token}:handover",
                "prompt": render("handover.md.j2"),
                "if_lost": "",
                "folders": [],
            }
        )
        watch = self._new_watch(_HANDOVER)
        try:
            ended = await self._take(briefing.assignment, turn, watch=watch, must_resume=True)
            summary, used = ended.text.strip()[: handover.LONGEST_SUMMARY], ended.usage
            if ended.failure in _NOT_NOW:
                raise _over_with(ended)
        except RunOver as over:
            if self._ended_for or over.failure in _NOT_NOW:
                raise
            log.warning("handed_over_without_a_word", run_id=self.run.id, problem=over.problem)
            used = self._turns.spent
        await self._place.end()
        summary = summary or briefing.past.as_summary()
        lost, at = self._turns.lost, self._clock.now()
        await self._database.write(
            lambda connection: handover.hand_over(
                connection,
                self.run,
                self.worker,
                job=self.job,
                summary=summary,
                used=used,
                lost=lost,
                at=at,
            )
        )
        fresh = {"session_id": None, "session_tokens": 0, "summary": summary}
        self.worker = self.worker.model_copy(update=fresh)
        self.run = self.run.model_copy(update={"session_id": None})
        self._turns.begin_anew()
        now = time.monotonic()
        self._watch.lengthen(timedelta(seconds=now - began), now=now)

    async def _brief(self) -> Briefing:
        needs, past = await self._database.query(
            lambda connection: look_back(connection, self.run, self.worker)
        )
        told = await self._consulting.told()
        recalled = await self._memory.recall()
        return await asyncio.to_thread(
            brief,
            job=self.job,
            run=self.run,
            worker=self.worker,
            needs=needs,
            past=past,
            config=self._config,
            home=self._home,
            now=self._clock.now(),
            told=told,
            recalled=recalled,
            tools=self._consulting.tools,
        )

    async def _answer(self, asked: Asked) -> Answered:
        return await self._consulting.answer(asked, read_outside=self._turns.read_outside)

    async def _unless_over(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this unless the run is made to end meanwhile. Raises RunOver then.

        A thread that reads a slow disk, or a fork server that is only just starting, must not keep
        a cancelled job alive; what comes of it after that is for nobody.
        """
        doing = asyncio.ensure_future(work)
        waits: list[asyncio.Future[Any]] = [doing, self._over]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not self._over.done():
            return doing.result()
        doing.add_done_callback(_let_go)
        raise RunOver(RunState.interrupted, self._ended_for)

    def _new_watch(self, allowed: timedelta, *, warns: bool = False) -> Watch:
        engine = self._config.engine
        return Watch(
            now=time.monotonic(),
            allowed=allowed,
            silence=timedelta(seconds=engine.lease_seconds),
            standstill=timedelta(seconds=engine.stall_seconds),
            warn_at=engine.warn_at if warns else 1.0,
        )

    def _ending_of(self, ended: TurnEnded) -> Ending:
        told = ended.retry_after_seconds
        return Ending(
            state=RunState.done if ended.failure is None else RunState.failed,
            text=ended.text,
            failure=ended.failure,
            problem=ended.problem,
            retry_after=timedelta(seconds=told) if told is not None else None,
            usage=ended.usage,
            session_id=self._turns.session_id,
            session_tokens=ended.session_tokens,
            session_lost=self._turns.lost,
        )

    def _broke(self, failure: Failure | None, problem: str) -> Ending:
        return Ending(
            state=RunState.failed,
            failure=failure,
            problem=problem,
            usage=self._turns.spent,
            session_id=self._turns.session_id,
            session_lost=self._turns.lost,
        )

    async def _broken(self, over: RunOver) -> Ending:
        """An end before the end of the turn; of a crash, with its last words."""
        problem = over.problem
        if over.failure is Failure.crashed:
            words = await self._place.last_words()
            problem = f"{problem}: {words}" if words and words not in problem else problem
        ending = self._broke(over.failure, problem)
        return replace(ending, state=over.state, retry_after=over.retry_after)

    def _as_meant(self, ending: Ending) -> Ending:
        """A run that we ended has not failed, whatever it looked like from here."""
        if not self._ended_for or ending.state is RunState.done:
            return ending
        state = RunState.cancelled if self._cancelled else RunState.interrupted
        return replace(ending, state=state, failure=None, problem=self._ended_for)

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
                    ),
                    tell=False,  # the dispatcher does, when this run is out of its way
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


def _over_with(ended: TurnEnded) -> RunOver:
    told = ended.retry_after_seconds
    return RunOver(
        RunState.failed,
        ended.problem,
        failure=ended.failure,
        retry_after=timedelta(seconds=told) if told is not None else None,
    )


def _let_go(done: asyncio.Future[T]) -> None:
    """Nobody waits for it any more; how it ended is nobody's business, either."""
    if not done.cancelled():
        done.exception()
