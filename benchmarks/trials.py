"""A system under mixed load is struck again and again, and in the end nothing may be missing.

A `Trial` is one home; a run is one strike (a fault, at times two at once) at a moment that the seed
and its number name, and the wait until what it interrupted goes on. At the end comes a rest, in
which everything is done and said, and the accounts are closed.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from agentos.home import Home
from agentos.standins.bot.app import BotStandin
from agentos.standins.messages.app import MessagesStandin
from agentos.standins.script import Script
from agentos.standins.telegram_user import TelegramUser
from benchmarks.accounts import Books
from benchmarks.disk import SmallDisk
from benchmarks.faults.choosing import choose
from benchmarks.faults.scene import Scene
from benchmarks.findings import Findings
from benchmarks.ledger import Ledger
from benchmarks.load import Load
from benchmarks.stage import TOKEN, Daemon, alive, end_marked, marked, variables
from benchmarks.talk import Talk
from benchmarks.tripwire import InProcess
from benchmarks.watch import Watch
from benchmarks.weather import Weather

_REST = timedelta(seconds=150)
# Until what a fault has interrupted goes on; far more than it should take.
_BACK = timedelta(seconds=45)
_DEATH = timedelta(seconds=10)
_LEASE = timedelta(seconds=3)
# A job that is live in five deaths of the daemon may be their cause and is set aside: another
# promise. So it is let go on in peace before.
_BORNE = 3
_SETTINGS = {
    "AGENTOS_ENGINE__SLOTS": "3",
    "AGENTOS_ENGINE__LEASE_SECONDS": str(_LEASE.total_seconds()),
    "AGENTOS_ENGINE__HEARTBEAT_SECONDS": "0.5",
    "AGENTOS_ENGINE__STALL_SECONDS": "15",
    "AGENTOS_ENGINE__DRAIN_SECONDS": "1",
    "AGENTOS_ENGINE__WARM_SECONDS": "20",
    # A fault is no fault of the job's; the drills are set aside after as many.
    "AGENTOS_ENGINE__MAX_ATTEMPTS": "12",
    "AGENTOS_CAPACITY__REST_SECONDS": "2",
    "AGENTOS_CAPACITY__LEAST_MEMORY_MB": "0",
    "AGENTOS_CAPACITY__MOST_LOAD": "1000",
    "AGENTOS_STANDINS__CLOCK": "true",
    # Memory has kills of its own; a clock that jumps makes each talk one that is over.
    "AGENTOS_MEMORY__CAPTURE": "false",
    "AGENTOS_MEMORY__EMBEDDER": "",
    # With a key there is a gateway, which can be killed, too.
    "ANTHROPIC_API_KEY": "sk-ant-for-the-stand-in",
}


class Trial:
    """One home under fire. Use as a context manager."""

    def __init__(
        self, seed: int, *, small_disk: bool = False, tell: Callable[[str], None] = print
    ) -> None:
        self._tell = tell
        # Of the load. How often it is asked depends on the time that things take, so each run
        # begins anew with numbers of its own; and the faults have theirs.
        self._rng = Random(seed)
        self._seed = seed
        self._folder = Path(tempfile.mkdtemp(prefix="agentos-chaos-"))
        self._disk = SmallDisk(self._folder / "disk") if small_disk else None
        self.home = Home((self._disk.folder if self._disk else self._folder) / "home")
        self.findings = Findings()
        self._weather = Weather()
        self._bot = InProcess(BotStandin(token=TOKEN).app())
        self._model = InProcess(self._weather.wrap(MessagesStandin(Script()).app()))
        environment = variables(
            self.home, bot_url=self._bot.url, model_url=self._model.url, **_SETTINGS
        )
        self._daemon = Daemon(self.home, environment=environment)
        self._owner = TelegramUser(self._bot.url)
        self._books = Books(self.home)
        self._talk = Talk(self._owner, books=self._books, rng=self._rng)
        self._load = Load(self._daemon, talk=self._talk, rng=self._rng, findings=self.findings)
        self._ledger = Ledger(self.home)
        self._watch = Watch(self.home, findings=self.findings)
        self._scene = Scene(
            daemon=self._daemon,
            watch=self._watch,
            weather=self._weather,
            load=self._load,
            rng=Random(seed),
            lease=_LEASE,
            small_disk=self._disk.folder if self._disk else None,
        )

    async def __aenter__(self) -> Self:
        if self._disk is not None:
            self._disk.mount()
        await self._bot.__aenter__()
        await self._model.__aenter__()
        self._daemon.start()
        await self._daemon.answers()
        self._watch.resume()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._daemon.kill()
        await self._owner.close()
        await self._bot.__aexit__()
        await self._model.__aexit__()
        end_marked(self.home.mark)
        keeps = bool(self.findings.problems) or error is not None
        if self._disk is not None:
            self._disk.unmount(keep_in=self._folder / "kept" if keeps else None)
        if not keeps:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def run(self, times: int) -> Findings:
        """Strike that many times, then let everything come to rest and close the accounts."""
        watching = asyncio.create_task(self._watch.run())
        try:
            for number in range(1, times + 1):
                if self._ledger.most_interrupted() >= _BORNE:
                    await self._rest()
                await self._strike(number)
            await self._rest()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        self._watch.pause()
        left = self._scene.cast.all
        await self._daemon.stop()
        self._scene.doomed += left
        await self._see_the_dead_gone("at the end")
        for process in marked(self.home.mark):
            self.findings.breach("orphan processes", f"after the end: {process}")
        self._ledger.close(
            self.findings,
            asked=self._load.asked,
            by_pm=self._load.by_pm,
            said=self._books.said,
        )
        if self.findings.problems:
            kept = f"seed {self._seed}: its home is kept in {self._folder}"
            self.findings.problems.append(kept)
        return self.findings

    async def _strike(self, number: int) -> None:
        """One run: load, a fault in the middle of it, and what becomes of what it struck."""
        self._rng.seed(f"{self._seed}, {number}: load")
        self._scene.rng.seed(f"{self._seed}, {number}: fault")
        chosen = choose(self._scene.rng)
        label = " + ".join(sorted(fault.label for fault in chosen))
        where = f"seed {self._seed}, run {number} ({label})"
        self._tell(where)
        self._scene.label = "two at once" if len(chosen) > 1 else ""
        for _ in range(self._rng.randint(1, 3)):
            await self._load.some()
        await asyncio.sleep(self._rng.uniform(0, 1))
        more = asyncio.create_task(self._load.some())
        await asyncio.gather(*(fault.strike(self._scene) for fault in chosen))
        await more
        if not self._daemon.running:
            self.findings.breach("not at rest", f"{where}: the daemon ended by itself")
            self._daemon.start()
        await self._daemon.answers()
        await self._talk.tap_open_cards()
        await self._see_it_go_on(where)
        await self._see_the_dead_gone(where)
        if not self._ledger.is_whole():
            self.findings.breach("broken files", where)
        self.findings.runs += 1
        self.findings.faults.update(fault.label for fault in chosen)

    async def _see_it_go_on(self, where: str) -> None:
        """What was interrupted runs again, or has ended."""
        deadline = time.monotonic() + _BACK.total_seconds()
        while self._watch.waits and time.monotonic() < deadline:  # noqa: ASYNC110 - rows, no event
            await asyncio.sleep(0.05)
        for hit in self._watch.waits:
            words = f"{where}: job {hit.run.job_id} does not go on: {self._ledger.unfinished()}"
            self.findings.breach("not at rest", words)
        self._watch.give_up()

    async def _see_the_dead_gone(self, where: str) -> None:
        """What a dead daemon had started is gone, by itself or by the next start."""
        deadline = time.monotonic() + _DEATH.total_seconds()
        while left := alive(self._scene.doomed):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.05)
        for process in left:
            with suppress(Exception):
                self.findings.breach("orphan processes", f"{where}: {process.cmdline()}")
        self._scene.doomed = []

    async def _rest(self) -> None:
        """Let everything be done and said."""
        deadline = time.monotonic() + _REST.total_seconds()
        while waiting := self._ledger.waiting(self._books.said):
            if time.monotonic() > deadline:
                words = f"seed {self._seed}: {waiting}, {self._ledger.unfinished()}"
                self.findings.breach("not at rest", words)
                break
            await self._talk.tap_open_cards()
            await asyncio.sleep(0.15)


async def try_homes(
    seeds: list[int],
    *,
    runs: int,
    small_disk: bool = False,
    tell: Callable[[str], None] = print,
) -> Findings:
    """That many runs in each of several homes, one home after the other."""
    total = Findings()
    for seed in seeds:
        async with Trial(seed, small_disk=small_disk, tell=tell) as trial:
            total.add(await trial.run(runs))
    return total
