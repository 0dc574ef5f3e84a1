"""Mixed load: messages, plans, jobs alone and in bursts, chains, persistent workers, cancels.

Every job is asked for with a key of its own until the daemon has said that it has it, as a careful
caller does; what each is to come to is written down for the end.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, Process
from dataclasses import dataclass, field
from random import Random
from typing import Any

from agentos.domain.states import JobState
from agentos.errors import AgentosError, DaemonUnreachable, StoreUnusable, WrongState
from benchmarks.findings import Findings
from benchmarks.stage import Daemon
from benchmarks.talk import Talk

_AGAIN_SECONDS = 0.1
_PATIENCE_ROUNDS = 600
LOG = "log"


@dataclass
class Asked:
    """A job that was asked for."""

    key: str
    ends: JobState = JobState.done
    # Its id, once it is known to be there.
    job_id: int | None = None
    cancelled: bool = False
    needs: list[int] = field(default_factory=list)


class Load:
    """Who keeps the system busy."""

    def __init__(self, daemon: Daemon, *, talk: Talk, rng: Random, findings: Findings) -> None:
        self._findings = findings
        self._daemon = daemon
        self._talk = talk
        self._rng = rng
        self._count = 0
        self.asked: list[Asked] = []
        # The titles of the jobs that `pm` was to add, and whether it has said that it did. One that
        # was killed over it may have, or not; never twice.
        self.by_pm: dict[str, bool] = {}
        # How many workers are to misbehave on their pipe next.
        self.drills = 0

    async def some(self) -> None:
        """Anything."""
        kinds = {
            self._talk.say: 4,
            self._quick: 3,
            self._burst: 2,
            self._chain: 2,
            self._for_a_worker: 3,
            self._for_the_scribe: 2,
            self._note: 2,
            self._by_pm: 1,
            self._drill: 1,
            self._cancel: 3,
        }
        await self._rng.choices(list(kinds), weights=list(kinds.values()))[0]()
        if self.drills:
            self.drills -= 1
            await self._drill()

    async def some_work(self, *, model: bool = False) -> None:
        """A job that takes a while; one that asks a model, or any."""
        if model:
            await self._rng.choice((self._note, self._for_the_scribe))()
        else:
            await self._rng.choice((self._quick, self._quick, self._for_a_worker))()

    async def pm_adds(self) -> tuple[str, Process]:
        """The owner's own command, under way with a job; and the job's title."""
        self._count += 1
        title = f"by pm {self._count}"
        self.by_pm[title] = False
        command = ["-m", "pm", "job", "add", "--title", title, "--prompt", "x", "--type", "echo"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            *command,
            env=self._daemon.environment,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        return title, process

    async def _by_pm(self) -> None:
        """With a daemon or without one; when neither it nor the rows can be had, it says so."""
        title, process = await self.pm_adds()
        self.by_pm[title] = await process.wait() == 0

    async def _quick(self) -> None:
        await self._add(self._working(1.2))

    async def _burst(self) -> None:
        each = (
            self._add(self._working(0.1), priority=self._rng.randrange(6))
            for _ in range(self._rng.randint(4, 12))
        )
        await asyncio.gather(*each)

    async def _chain(self) -> None:
        first = await self._add(self._working(0.4))
        middle = [await self._add(self._working(0.4), needs=[first]) for _ in range(2)]
        await self._add(self._working(0.1), needs=middle)

    async def _for_a_worker(self) -> None:
        name = f"drill-{self._rng.randint(1, 2)}"
        await self._add(self._working(0.8), worker=name, model="echo")

    async def _for_the_scribe(self) -> None:
        await self._add("write a note", backend="claude", worker="scribe", model="sonnet")

    async def _note(self) -> None:
        await self._add("write a note", backend="claude")

    async def _drill(self) -> None:
        """A worker that misbehaves each time until it is set aside."""
        word = self._rng.choice(("exit", "garbage", "close", "hang"))
        # It never comes to its end by itself: what did, and nobody heard it, counts as done.
        await self._add(f"sleep: 0.1\n{word}\nhang", ends=JobState.failed, timeout_seconds=2)

    async def _cancel(self) -> None:
        """Change one's mind about one of the last jobs."""
        there = [asked for asked in self.asked[-8:] if asked.job_id is not None]
        if not there:
            return
        asked = self._rng.choice(there)
        try:
            await self._call("job.cancel", job=asked.job_id)
        except WrongState as error:
            # It has ended; perhaps by this very call, whose first answer was lost.
            asked.cancelled = asked.cancelled or error.fields.get("state") == JobState.cancelled
        else:
            asked.cancelled = True

    def _working(self, most: float) -> str:
        """Say where it begins and where it ends, in a file that tells whether two were at it."""
        seconds = self._rng.uniform(0.02, most)
        return f"append: {LOG}\nsleep: {seconds:.2f}\nappend: {LOG}"

    async def _add(
        self,
        prompt: str,
        *,
        ends: JobState = JobState.done,
        backend: str = "echo",
        needs: list[int] | None = None,
        **more: Any,
    ) -> int:
        self._count += 1
        asked = Asked(f"load-{self._count}", ends=ends, needs=needs or [])
        self.asked.append(asked)
        try:
            made = await self._call(
                "job.add",
                key=asked.key,
                title=f"{asked.key}: {prompt.splitlines()[-1]}",
                prompt=prompt,
                backend=backend,
                needs=asked.needs,
                **more,
            )
        except WrongState:  # what it needs was cancelled meanwhile
            self.asked.remove(asked)
            return asked.needs[0]
        asked.job_id = int(made["job"]["id"])
        return asked.job_id

    async def _call(self, op: str, **params: Any) -> Any:
        """Ask until there is an answer. Asking for the same key again changes nothing."""
        for _ in range(_PATIENCE_ROUNDS):
            try:
                return await self._daemon.call(op, **params)
            except (DaemonUnreachable, StoreUnusable):
                await asyncio.sleep(_AGAIN_SECONDS)
            except AgentosError as error:
                if type(error) is not AgentosError:
                    raise
                # A fault of the daemon's own; its log may have had no disk to tell of it.
                self._findings.breach("errors logged", f"{op}: {error}")
        raise TimeoutError(f"{op} gets no answer")
