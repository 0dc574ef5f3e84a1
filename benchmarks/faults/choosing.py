"""Which fault it is."""

from random import Random

from benchmarks.faults.freezes import FreezeChild, FreezeCli, FreezeDaemon, FreezeForkServer
from benchmarks.faults.kills import (
    KillChild,
    KillCli,
    KillDaemon,
    KillForkServer,
    KillGateway,
    KillPm,
    KillStarting,
    StopDaemon,
    TakeOver,
)
from benchmarks.faults.pipes import CutChildPipe, CutForkPipe
from benchmarks.faults.scene import Fault
from benchmarks.faults.surroundings import DropApi, FillDisk, JumpClock, jump, storm

_TWO_AT_ONCE = 0.2


def choose(rng: Random) -> list[Fault]:
    """What happens in one run: a fault, at times two at once."""
    return [_pick(rng) for _ in range(2 if rng.random() < _TWO_AT_ONCE else 1)]


def _pick(rng: Random) -> Fault:
    thaws = rng.random() < 0.5
    choices: list[tuple[Fault, int]] = [
        (KillDaemon(), 5),
        (KillStarting(), 1),
        (StopDaemon(), 1),
        (TakeOver(), 1),
        (KillForkServer(), 3),
        (KillChild(), 3),
        (KillCli(), 3),
        (KillGateway(), 1),
        (KillPm(), 2),
        (FreezeDaemon(thaws), 3),
        (FreezeForkServer(thaws), 3),
        (FreezeChild(thaws), 4),
        (FreezeCli(thaws), 2),
        (FillDisk(), 4),
        (JumpClock(jump(rng)), 4),
        (DropApi(storm(rng)), 5),
        (CutChildPipe(), 4),
        (CutForkPipe(), 2),
    ]
    faults, weights = zip(*choices, strict=True)
    return rng.choices(faults, weights=weights)[0]  # type: ignore[no-any-return]
