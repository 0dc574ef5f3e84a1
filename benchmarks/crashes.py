"""A person talks, the daemon is killed again and again, and every account has to be right.

A `Sitting` is one home: rounds of talk, each ended by a kill at a moment that its seed names,
and at the end a rest, in which everything is done and said.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import psutil

from agentos.home import Home
from agentos.standins.bot.app import BotStandin
from agentos.standins.messages.app import MessagesStandin
from agentos.standins.script import Script
from agentos.standins.telegram_user import TelegramUser
from benchmarks.accounts import Books, Tally
from benchmarks.stage import TOKEN, Daemon, alive, end_marked, variables
from benchmarks.talk import Talk
from benchmarks.tripwire import InProcess, Moment, Tripwire, pick, soon

_ROUND = timedelta(seconds=4)
_REST = timedelta(seconds=120)
_DEATH = timedelta(seconds=3)
# A job that is live in five crashes may be their cause and is set aside: another promise. So it is
# let go on in peace before.
_BORNE = 3


@dataclass
class _Crash:
    """What was there at a kill."""

    children: list[psutil.Process]
    happened: asyncio.Event = field(default_factory=asyncio.Event)


class Sitting:
    """One home and its crashes. Use as a context manager."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self._seed = seed
        self._folder = Path(tempfile.mkdtemp(prefix="agentos-chaos-"))
        self.home = Home(self._folder / "home")
        self._wire = Tripwire()
        self._bot = InProcess(self._wire.wrap(BotStandin(token=TOKEN).app()))
        self._model = InProcess(self._wire.wrap(MessagesStandin(Script()).app()))
        self._owner = TelegramUser(self._bot.url)
        environment = variables(
            self.home,
            bot_url=self._bot.url,
            model_url=self._model.url,
            AGENTOS_ENGINE__SLOTS="2",
        )
        self._daemon = Daemon(self.home, environment=environment)
        self._books = Books(self.home)
        self._talk = Talk(self._owner, books=self._books, rng=self._rng)
        self._lingering: list[psutil.Process] = []
        self.tally = Tally()

    async def __aenter__(self) -> Self:
        await self._bot.__aenter__()
        await self._model.__aenter__()
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
        if not self.tally.problems and error is None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def crash(self, kills: int) -> Tally:
        """Kill that many times, then let everything come to rest and close the accounts."""
        for _ in range(kills):
            if self._books.most_interrupted() >= _BORNE:
                await self._rest()
            await self._round()
        await self._rest()
        self._books.close(self.tally)
        if self.tally.problems:
            self.tally.problems.append(f"seed {self._seed}: its home is kept in {self._folder}")
        return self.tally

    async def _round(self) -> None:
        """Say something, and kill at a moment of what follows."""
        moment = pick(self._rng)
        crash = _Crash(children=[])
        self._wire.arm(moment, lambda: self._kill(crash))
        await self._talk.say()
        if not self._daemon.running:
            self._daemon.start()
        await asyncio.sleep(self._rng.uniform(0, 0.8))
        await self._talk.tap_open_cards()
        if self._rng.random() < 0.5:
            await self._talk.say()
        if not await _within(crash.happened, _ROUND):
            # What was waited for does not come, a tap for example: then what comes next.
            moment = soon(self._rng)
            self._wire.arm(moment, lambda: self._kill(crash))
            await self._talk.say()
            if not await _within(crash.happened, _ROUND):
                self._wire.disarm()
                self._kill(crash)
        self.tally.moments[moment.label] += 1
        await self._look_at_the_dead(crash, moment)

    def _kill(self, crash: _Crash) -> None:
        """Stop it where it is, see what it had started, and end it."""
        if crash.happened.is_set():
            return
        if self._daemon.running:
            os.kill(self._daemon.pid, signal.SIGSTOP)
            crash.children = psutil.Process(self._daemon.pid).children(recursive=True)
            self._daemon.kill()
        crash.happened.set()

    async def _look_at_the_dead(self, crash: _Crash, moment: Moment) -> None:
        self.tally.kills += 1
        self.tally.orphans += len(alive(self._lingering))
        self._lingering = []
        began = time.monotonic()
        while left := alive(crash.children):
            if time.monotonic() - began > _DEATH.total_seconds():
                # The next start has to end them.
                self.tally.lingered += len(left)
                self._lingering = left
                break
            await asyncio.sleep(0.02)
        self._books.after_kill(self.tally, at=moment.label)
        self._books.note_calls(await self._owner.calls(since=self._books.calls_seen))

    async def _rest(self) -> None:
        """Let everything be done and said."""
        if not self._daemon.running:
            self._daemon.start()
        await self._daemon.answers()
        deadline = time.monotonic() + _REST.total_seconds()
        while waiting := self._books.waiting():
            if time.monotonic() > deadline:
                self.tally.problems.append(f"does not come to rest: {waiting}")
                break
            await self._talk.tap_open_cards()
            await asyncio.sleep(0.15)
        self.tally.orphans += len(alive(self._lingering))
        self._lingering = []
        self._books.note_calls(await self._owner.calls(since=self._books.calls_seen))


async def _within(happened: asyncio.Event, patience: timedelta) -> bool:
    try:
        await asyncio.wait_for(happened.wait(), patience.total_seconds())
    except TimeoutError:
        return False
    return True


async def crash_homes(seeds: list[int], *, kills: int) -> Tally:
    """That many kills in each of several homes, one home after the other."""
    total = Tally(moments=Counter())
    for seed in seeds:
        async with Sitting(seed) as sitting:
            total.add(await sitting.crash(kills))
    return total
