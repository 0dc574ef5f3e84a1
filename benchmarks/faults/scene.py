"""What a fault may reach, and what all faults need."""

import asyncio
import os
import signal
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Protocol

import psutil

from benchmarks.cast import Cast
from benchmarks.load import Load
from benchmarks.stage import Daemon
from benchmarks.watch import Seen, Watch
from benchmarks.weather import Weather


@dataclass
class Scene:
    """What a fault may reach."""

    daemon: Daemon
    watch: Watch
    weather: Weather
    load: Load
    rng: Random
    lease: timedelta
    # A disk of its own, small enough to be filled; None where that cannot be had.
    small_disk: Path | None = None
    # Processes of daemons that are dead: they have to go.
    doomed: list[psutil.Process] = field(default_factory=list)
    # Whoever ends the daemon starts it again before another does.
    hands: asyncio.Lock = field(default_factory=asyncio.Lock)
    # What the hits of this moment are counted as; empty for each fault's own label.
    label: str = ""

    @property
    def cast(self) -> Cast:
        """Who is there now."""
        return Cast(self.daemon.pid)

    def moment(self, most: float) -> timedelta:
        """Some time, up to so many seconds."""
        return timedelta(seconds=self.rng.uniform(0, most))

    def hit(self, runs: list[Seen], *, label: str) -> None:
        """These runs are interrupted."""
        self.watch.hit(runs, label=self.label or label)

    async def live_child(self) -> tuple[int, Seen] | None:
        """A child in the middle of a job, once there is one; it may be that none comes."""
        for _ in range(60):
            children = set(self.cast.children)
            doing = [run for run in self.watch.live() if run.pid in children]
            if doing:
                run = self.rng.choice(doing)
                assert run.pid is not None
                return run.pid, run
            await self.load.some_work()
            await pass_by(timedelta(milliseconds=50))
        return None


class Fault(Protocol):
    """Something that happens."""

    @property
    def label(self) -> str:
        """What it is counted as."""
        ...

    async def strike(self, scene: Scene) -> None:
        """Happen, and be over."""
        ...


async def pass_by(time: timedelta) -> None:
    """Let time pass."""
    await asyncio.sleep(time.total_seconds())


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; whether there was somebody to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


async def end_daemon(scene: Scene, *, label: str) -> None:
    """kill -9, a look at what it leaves, and the next start."""
    async with scene.hands:
        scene.watch.pause()
        try:
            if scene.daemon.running:
                # Stopped first, so that nothing begins between the look and the kill.
                os.kill(scene.daemon.pid, signal.SIGSTOP)
                scene.hit(scene.watch.live(), label=label)
                left = scene.cast.all
                scene.daemon.kill()
                scene.doomed += left
            await pass_by(scene.moment(0.3))
            scene.daemon.start()
            await scene.daemon.answers()
        finally:
            scene.watch.resume()


async def live_cli(scene: Scene) -> tuple[int, Seen] | None:
    """A CLI in the middle of a job, once there is one."""
    await scene.load.some_work(model=True)
    for _ in range(80):
        cast = scene.cast
        for run in scene.watch.live():
            if run.pid in cast.children and (clis := cast.clis(run.pid)):
                await pass_by(scene.moment(0.5))
                return clis[0], run
        await pass_by(timedelta(milliseconds=50))
    return None
