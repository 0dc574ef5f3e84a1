"""What can be asked of the running daemon alone: how it is, to stop, to poke what runs."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from agentos import log as logs
from agentos.config import Config
from agentos.control.operations.engine import Alive, EngineStatus, picture
from agentos.control.operations.operation import Here, Params, RowId, validated
from agentos.control.operations.workers import WORKER_OPERATIONS
from agentos.control.peer import Peer
from agentos.control.tidying import tidy, tidy_by_hand
from agentos.domain.ports import Channel, Clock
from agentos.domain.states import JobState
from agentos.engine.engine import Engine
from agentos.errors import AgentosError, Misconfigured, WrongState
from agentos.home import Home
from agentos.memory.remembering import Remembering
from agentos.standins.clock import VirtualClock
from agentos.store import jobs, memories
from agentos.store.database import Database

log = logs.get(__name__)
_LOOK_AHEAD = 200
_EVERY = timedelta(days=1)
# After a start there is better to do, and a daemon that crashes at once should not do this at all.
_FIRST_AFTER_SECONDS = 60.0
Operations = dict[str, Callable[..., Awaitable[Any]]]


class Advance(Params):
    """By how much to move the clock; a year at most."""

    seconds: Annotated[float, Field(ge=-31_536_000, le=31_536_000)]


class JobPoke(Params):
    """The job to poke."""

    job: RowId


class DaemonOperations:
    """The operations of one daemon. `about` is what it tells of itself besides."""

    def __init__(
        self,
        database: Database,
        *,
        home: Home,
        config: Config,
        clock: Clock,
        engine: Engine,
        remembering: Remembering,
        stopping: asyncio.Event,
        about: dict[str, Any],
        channels: Mapping[str, Channel],
    ) -> None:
        self._database = database
        self._home = home
        self._config = config
        self._clock = clock
        self._engine = engine
        self._remembering = remembering
        self._stopping = stopping
        self._about = about
        self._channels = channels

    def operations(self) -> Operations:
        """By name, as the control server takes them."""
        return {
            "daemon.status": self.status,
            "daemon.stop": self.stop,
            "clock.advance": self.advance,
            "engine.status": self.engine_status,
            "engine.tidy": self.tidy,
            "job.poke": self.poke,
            "worker.retire": self.retire,
        }

    async def status(self, **_: Any) -> dict[str, Any]:
        """What the daemon is, and what it does now."""
        counts = await self._database.query(jobs.count_by_state)
        remembered = await self._database.query(memories.tally)
        doing = self._engine.dispatcher.doing()
        return {
            "pid": os.getpid(),
            "home": str(self._home.root),
            "log": str(self._home.log_file),
            **self._about,
            "channels": sorted(self._channels),
            "channel_states": {name: one.status for name, one in self._channels.items()},
            "timezone": self._config.owner.timezone,
            "now": self._clock.now().isoformat(),
            "jobs": counts,
            "memory": {"memories": remembered.count, "index": self._remembering.state},
            "doing": {str(job): words for job, words in doing.items()},
        }

    async def stop(self, **_: Any) -> dict[str, Any]:
        """Have the daemon end."""
        self._stopping.set()
        return {"stopping": True}

    async def advance(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        """Move the clock, where that is allowed."""
        wanted = validated(Advance, params, op="clock.advance")
        if not isinstance(self._clock, VirtualClock):
            raise Misconfigured(
                where="standins.clock",
                problem="the clock is the real one",
                mend="Start with AGENTOS_STANDINS__CLOCK=true to move it.",
            )
        return {"now": self._clock.advance(timedelta(seconds=wanted.seconds)).isoformat()}

    async def engine_status(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        """What runs, what waits and why, what is left: the rows, and what only we know."""
        words = validated(EngineStatus, params, op="engine.status")
        present, here = self._engine.dispatcher.present(), self._here()
        doing, warm = self._engine.dispatcher.doing(), self._engine.warm.worker_ids()
        return await self._database.query(
            lambda connection: picture(
                connection,
                words,
                here,
                alive=Alive(
                    pid=os.getpid(),
                    preview=self._engine.claims.preview(connection, present, limit=_LOOK_AHEAD),
                    doing=doing,
                    warm=warm,
                    missing=self._engine.routes.missing(),
                ),
            )
        )

    async def tidy(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        """Remove what ended long ago, now."""
        return await tidy_by_hand(self._database, params, self._here())

    async def poke(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        """Kill what runs a job; it is resumed at once. Raises NotFound, WrongState."""
        words = validated(JobPoke, params, op="job.poke")
        job = await self._database.query(lambda connection: jobs.get(connection, words.job))
        if job.state is not JobState.running:
            problem = "only a job that runs can be poked"
            raise WrongState(noun="job", name=job.id, state=job.state.value, problem=problem)
        self._engine.dispatcher.poke(words.job)
        return {"job": {"id": job.id, "title": job.title}}

    async def retire(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        """Retire a worker in the rows, and end the process that was kept for it."""
        (operation,) = (each for each in WORKER_OPERATIONS if each.name == "worker.retire")
        work = operation.prepare(params, here=self._here())
        retired = await self._database.write(work)
        self._engine.warm.retire(retired["worker"]["id"])
        return retired

    def _here(self) -> Here:
        return Here(at=self._clock.now(), home=self._home, config=self._config)


def tidy_daily(
    database: Database, *, home: Home, clock: Clock, days: int
) -> Callable[[], Awaitable[None]]:
    """A loop of the daemon: a while after its start, and then once a day. No days keep it all."""

    async def loop() -> None:
        await asyncio.sleep(_FIRST_AFTER_SECONDS)
        while days:
            try:
                tidied = await tidy(database, home=home, now=clock.now(), keep=timedelta(days=days))
            except AgentosError as error:  # it is tried again tomorrow
                log.warning("not_tidied", problem=str(error))
            else:
                if tidied:
                    log.info("tidied", **tidied.told())
            await asyncio.sleep(_EVERY.total_seconds())
        await asyncio.Event().wait()

    return loop
