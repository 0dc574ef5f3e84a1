"""The four measures that every queue is put to."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.peers.port import Peer, within
from benchmarks.peers.record import Line

# Long enough for a kill to find jobs in the middle of it.
NAP_SECONDS = 0.02
_IDLE_SECONDS = 0.03
_START_SECONDS = 60.0


@dataclass(frozen=True)
class Crashes:
    """What became of jobs whose workers were killed."""

    lost: int
    doubled: int
    # From a kill until the last job that it interrupted, and that was not lost, began again.
    recovery_seconds: float


def enqueues(peer: Peer, count: int) -> float:
    """Jobs queued a second, one by one; nobody works meanwhile."""
    before = time.perf_counter()
    for number in range(count):
        peer.enqueue(number, 0)
    return count / (time.perf_counter() - before)


def rate(lines: Sequence[Line]) -> float:
    """Jobs begun a second, without the first tenth, in which workers still start."""
    times = sorted(line.at for line in lines if line.began)
    first = len(times) // 10
    return (len(times) - 1 - first) / (times[-1] - times[first])


def drain(peer: Peer, count: int, *, patience: float) -> float:
    """Have the workers do what is queued, so many jobs; jobs a second."""
    peer.start()
    try:
        if not within(lambda: len(peer.lines()) >= count, seconds=patience, step=0.2):
            raise RuntimeError(f"{peer.name} did {len(peer.lines())} of {count} jobs only")
    finally:
        peer.stop()
    return rate(peer.lines())


def delays(peer: Peer, samples: int) -> list[float]:
    """Milliseconds from the return of an enqueue to the first instruction of its job, when idle."""
    peer.start()
    try:
        found = []
        for number in range(-5, samples):  # the first ones wait for the workers to start
            peer.enqueue(number, 0)
            queued = time.monotonic()
            time.sleep(_IDLE_SECONDS)
            began = _began(peer, number)
            if number >= 0:
                found.append(max(0.0, (began - queued) * 1000))
    finally:
        peer.stop()
    return found


def _began(peer: Peer, number: int) -> float:
    found: list[float] = []

    def look() -> bool:
        found.extend(line.at for line in peer.lines()[-4:] if line.number == number)
        return bool(found)

    if not within(look, seconds=_START_SECONDS, step=0.005):
        raise RuntimeError(f"{peer.name} did not start job {number}")
    return found[0]


def crashes(peer: Peer, count: int, *, kills: int, patience: float) -> Crashes:
    """Queue jobs, kill the worker side in the middle of them, count what became of them."""
    for number in range(count):
        peer.enqueue(number, NAP_SECONDS)
    killed = []
    for kill in range(kills):
        peer.start()
        due = count * (kill + 1) // (kills + 1)
        within(lambda due=due: _done(peer) >= due, seconds=patience, step=0.005)  # type: ignore[misc]
        killed.append((time.monotonic(), peer.lines()))
        peer.kill()
    peer.start()
    within(lambda: _done(peer) >= count, seconds=patience, step=0.1)
    time.sleep(1)  # so that what is done twice can be seen
    peer.stop()
    lines = peer.lines()
    ended = Counter(line.number for line in lines if not line.began)
    return Crashes(
        lost=count - len(ended),
        doubled=sum(times > 1 for times in ended.values()),
        recovery_seconds=max((_recovered(at, before, lines) for at, before in killed), default=0.0),
    )


def _done(peer: Peer) -> int:
    return len({line.number for line in peer.lines() if not line.began})


def _recovered(killed: float, before: Sequence[Line], after: Sequence[Line]) -> float:
    ended = {line.number for line in before if not line.began}
    open_ = {line.number for line in before if line.began} - ended
    again = [line for line in after if line.began and line.at > killed and line.number in open_]
    return max((at - killed for at in _first(again, lambda line: line.number)), default=0.0)


def _first(lines: Sequence[Line], key: Callable[[Line], int]) -> list[float]:
    found: dict[int, float] = {}
    for line in sorted(lines, key=lambda line: line.at):
        found.setdefault(key(line), line.at)
    return list(found.values())
