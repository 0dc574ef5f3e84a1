"""What goes wrong around a running system: its disk, its clock, its model.

A full disk is a limit on the size of files (`RLIMIT_FSIZE`) that is put on the running processes
from outside, which needs no root; or, where a trial has a small disk of its own, one that is full.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import psutil

from agentos.errors import AgentosError
from agentos.standins.script import Fault as Storm
from agentos.standins.script import FaultKind
from benchmarks.faults.scene import Scene, pass_by

_BALLAST_BYTES = 1 << 20


class FillDisk:
    """Nothing can be written for a while, by the daemon and its workers."""

    label = "fill disk"

    async def strike(self, scene: Scene) -> None:
        """Fill it, and free it again."""
        scene.watch.pause()
        try:
            if scene.small_disk is not None:
                await _fill(scene.small_disk, scene.moment(4))
            else:
                _limit_files(scene, 4096)
                await pass_by(scene.moment(4))
                _limit_files(scene, None)
        finally:
            scene.watch.resume()


@dataclass(frozen=True)
class JumpClock:
    """The clock is wrong, and then it is right again."""

    by: timedelta

    @property
    def label(self) -> str:
        """With its direction."""
        return "clock " + ("forward" if self.by > timedelta() else "back")

    async def strike(self, scene: Scene) -> None:
        """Move it, and for half of the time leave it there until the next start."""
        await _move_clock(scene, self.by)
        if scene.rng.random() < 0.5:
            await pass_by(scene.moment(2))
            await _move_clock(scene, -self.by)


@dataclass(frozen=True)
class DropApi:
    """The model cannot be reached, or not be used."""

    storm: Storm

    @property
    def label(self) -> str:
        """With what its callers see."""
        return f"API {self.storm.kind}"

    async def strike(self, scene: Scene) -> None:
        """For some seconds every request meets the storm."""
        await scene.load.some_work(model=True)
        scene.weather.storm = self.storm
        await pass_by(scene.moment(6))
        scene.weather.storm = None


async def _move_clock(scene: Scene, span: timedelta) -> None:
    with suppress(AgentosError):  # it has just been killed, and its clock is right again
        await scene.daemon.call("clock.advance", seconds=span.total_seconds())


def _limit_files(scene: Scene, size: int | None) -> None:
    """Let no file of theirs grow beyond a size; None lifts it.

    Python turns the limit into an error as a full disk is. Other programs would die of its signal,
    so it is put on ours alone, and taken off all that have inherited it.
    """
    cast = scene.cast
    ours = [scene.daemon.pid, *cast.children]
    everybody = [scene.daemon.pid, *(each.pid for each in cast.all)]
    for pid in everybody if size is None else ours:
        with suppress(psutil.Error):
            process: Any = psutil.Process(pid)
            _, most = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (most if size is None else size, most))


async def _fill(disk: Path, time: timedelta) -> None:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * _BALLAST_BYTES)
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while True:  # what is left is less than a piece
            file.write(b"x" * 512)
    await pass_by(time)
    ballast.unlink()


def jump(rng: Random) -> timedelta:
    """By how much a clock may be wrong."""
    far = rng.choice((timedelta(minutes=3), timedelta(hours=6), timedelta(days=2)))
    return far * rng.choice((1, -1))


def storm(rng: Random) -> Storm:
    """What the callers of a model may meet."""
    kind = rng.choice(
        (
            FaultKind.drop,
            FaultKind.drop_before,
            FaultKind.server_error,
            FaultKind.overloaded,
            FaultKind.rate_limit,
        )
    )
    if kind is FaultKind.rate_limit and rng.random() < 0.5:
        return Storm(kind=kind, reset_at=datetime.now(UTC) + timedelta(seconds=8))
    return Storm(kind=kind, status=rng.choice((500, 502, 503)), retry_after=1)
