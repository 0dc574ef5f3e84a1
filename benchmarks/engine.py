"""The engine beside the queues that others would pick: huey, procrastinate, RQ. One run, one disk.

All commit to the disk before they say so: SQLite with synchronous=FULL, Postgres with
synchronous_commit, Redis with appendfsync always. A job writes a line when it begins and, in the
kill test, when it ends; that is what is counted. "Start" is the job's own first instruction, for
ours also the commit that claimed its run. Ours and RQ fork a process for each job; huey and
procrastinate call a function in a process that is there.

The floor is what SQLite and fork alone do in the same minutes: where a commit takes 4 ms, nobody
makes 2,000 of them a second.

In the kill test the whole worker side is killed with -9 three times and started again at once;
what is not done when the patience is over counts as lost.
"""

import asyncio
import importlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import Report, parser, percentile, say
from benchmarks.peers import floor, measures, ours
from benchmarks.peers.port import Peer

_PEERS = {
    "huey_sqlite": "Huey",
    "procrastinate_postgres": "Procrastinate",
    "rq_redis": "Rq",
}
_KILLS = 3


@dataclass
class Figures:
    """What was measured of one queue."""

    name: str
    enqueues: float
    p50: float
    p99: float
    rate: float
    crashes: measures.Crashes


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    enqueues: int
    samples: int
    jobs: int
    killed: int
    patience: float


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--without-peers", action="store_true", help="measure ours alone")
    options.add_argument("--enqueues", type=int, default=2000, help="jobs queued one by one")
    options.add_argument("--samples", type=int, default=300, help="jobs on an idle queue")
    options.add_argument("--jobs", type=int, default=1500, help="no-op jobs (RQ: a fifth of them)")
    options.add_argument("--killed", type=int, default=200, help="jobs of the kill test")
    options.add_argument("--patience", type=float, default=90, help="seconds; see above")
    given = options.parse_args()
    sizes = Sizes(given.enqueues, given.samples, given.jobs, given.killed, given.patience)
    peers = [] if given.without_peers else _peers()
    report = Report("engine")
    _measure_floor(report, sizes)
    here = _measure_ours(report, sizes)
    for peer in peers:
        _compare(report, here, _measure(report, peer, sizes))
    report.show(as_json=given.json)


def _peers() -> list[type[Peer]]:
    # One of them complains of a runtime folder that a container has not.
    warnings.simplefilter("ignore")
    try:
        return [
            getattr(importlib.import_module(f"benchmarks.peers.{module}"), kind)
            for module, kind in _PEERS.items()
        ]
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"{error.name} is not installed: `pip install --group peers -c constraints.txt` brings "
            "all peers; --without-peers measures ours alone."
        ) from error


@contextmanager
def _opened(kind: type[Peer]) -> Iterator[Peer]:
    """A queue in a folder of its own; nothing of it is left behind."""
    # Short: there will be sockets in it.
    folder = Path(tempfile.mkdtemp(prefix="aos-peer-"))
    peer = kind(folder)
    try:
        peer.open()
        try:
            yield peer
        finally:
            peer.kill()
            peer.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(report: Report, kind: type[Peer], sizes: Sizes) -> Figures:
    jobs = sizes.jobs // 5 if kind.name.startswith("RQ") else sizes.jobs
    say(f"{kind.name}: queueing {sizes.enqueues}, one by one")
    with _opened(kind) as peer:
        enqueues = measures.enqueues(peer, sizes.enqueues)
    say(f"{kind.name}: {sizes.samples} on an idle queue")
    with _opened(kind) as peer:
        delays = measures.delays(peer, sizes.samples)
    say(f"{kind.name}: {jobs} no-op jobs")
    with _opened(kind) as peer:
        measures.enqueues(peer, jobs)
        rate = measures.drain(peer, jobs, patience=sizes.patience)
    crashes = _crash(kind, sizes)
    report.add(f"{kind.name}: enqueues one by one", enqueues, "/s")
    report.spread(f"{kind.name}: enqueue → start", delays, "ms", quantiles=(50, 99))
    report.add(f"{kind.name}: no-op jobs, 2 workers", rate, "/s")
    _tell_crashes(report, kind.name, crashes)
    p50, p99 = percentile(delays, 50), percentile(delays, 99)
    return Figures(kind.name, enqueues, p50, p99, rate, crashes)


def _measure_floor(report: Report, sizes: Sizes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        commits = floor.commits(Path(folder), sizes.enqueues)
        forks = floor.forks(Path(folder), 200)
    report.add("floor: commits of SQLite alone", commits, "/s")
    report.add("floor: forks of this process, one after the other", forks, "/s")


def _measure_ours(report: Report, sizes: Sizes) -> Figures:
    kind = ours.Ours
    say(f"{kind.name}: queueing {sizes.enqueues}, one by one")
    with _opened(kind) as peer:
        enqueues = measures.enqueues(peer, sizes.enqueues)
    at_once = asyncio.run(ours.enqueues_at_once(sizes.enqueues, writers=8))
    say(f"{kind.name}: {sizes.samples} on an idle queue")
    claimed, began = asyncio.run(ours.delays(sizes.samples))
    say(f"{kind.name}: {sizes.jobs} no-op jobs, with 2 and with 8 slots")
    rate = asyncio.run(ours.drain(sizes.jobs, slots=2))
    rate_of_8 = asyncio.run(ours.drain(sizes.jobs, slots=8))
    crashes = _crash(kind, sizes)
    name = kind.name
    report.add(f"{name}: enqueues one by one", enqueues, "/s", at_least=2000)
    report.add(f"{name}: enqueues by 8 writers", at_once, "/s")
    goals = {50: 3.0, 99: 10.0}
    report.spread(f"{name}: enqueue → run claimed", claimed, "ms", quantiles=(50, 99), goals=goals)
    report.spread(f"{name}: enqueue → start", began, "ms", quantiles=(50, 99))
    report.add(f"{name}: no-op jobs, 2 workers", rate, "/s", at_least=300)
    report.add(f"{name}: no-op jobs, 8 workers", rate_of_8, "/s", at_least=300)
    _tell_crashes(report, name, crashes, goals=(0, 0, 5.0))
    p50, p99 = percentile(began, 50), percentile(began, 99)
    return Figures(name, enqueues, p50, p99, rate, crashes)


def _crash(kind: type[Peer], sizes: Sizes) -> measures.Crashes:
    say(f"{kind.name}: {sizes.killed} jobs, killed {_KILLS} times")
    with _opened(kind) as peer:
        return measures.crashes(peer, sizes.killed, kills=_KILLS, patience=sizes.patience)


def _tell_crashes(
    report: Report,
    name: str,
    crashes: measures.Crashes,
    *,
    goals: tuple[float | None, float | None, float | None] = (None, None, None),
) -> None:
    lost, doubled, recovery = goals
    report.add(f"{name}: killed {_KILLS} times, lost", crashes.lost, "jobs", at_most=lost)
    report.add(
        f"{name}: killed {_KILLS} times, done twice", crashes.doubled, "jobs", at_most=doubled
    )
    report.add(
        f"{name}: killed {_KILLS} times, recovered after",
        crashes.recovery_seconds,
        "s",
        at_most=recovery,
    )


def _compare(report: Report, here: Figures, there: Figures) -> None:
    """Ratios; above 1 ours does more, or is sooner."""
    name = f"ours against {there.name}"
    report.add(f"{name}: enqueues", here.enqueues / there.enqueues, "×")
    report.add(f"{name}: start, p50", there.p50 / here.p50, "×")
    report.add(f"{name}: start, p99", there.p99 / here.p99, "×")
    report.add(f"{name}: no-op jobs", here.rate / there.rate, "×")


if __name__ == "__main__":
    main()
