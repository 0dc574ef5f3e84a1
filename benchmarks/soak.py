"""Twenty thousand no-op jobs: does anything grow that should not?

Drills of the echo backend go through the whole engine in this process, a few hundred waiting at a
time. After a warm-up, memory, open files, threads and child processes are looked at again and
again; at the end they are held against what they were. The rows and folders of jobs that are done
are what retention clears away, so their growth a job is told, too.
"""

import asyncio
import gc
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.common import Report, parser, run, say
from benchmarks.rig import Rig, rig

_WAITING = 400
_LOOKS = 10


@dataclass(frozen=True)
class Footprint:
    """What the daemon and its fork server hold."""

    daemon_mb: float
    server_mb: float
    files: int
    server_files: int
    threads: int
    children: int
    rows_mb: float

    @classmethod
    def of(cls, engine: Rig) -> "Footprint":
        """What they hold now."""
        gc.collect()
        daemon, server = psutil.Process(), psutil.Process(engine.forks.plain.pid)
        return cls(
            daemon_mb=daemon.memory_info().rss / 1e6,
            server_mb=server.memory_info().rss / 1e6,
            files=daemon.num_fds(),
            server_files=server.num_fds(),
            threads=daemon.num_threads(),
            children=len(server.children(recursive=True)),
            rows_mb=engine.home.database_file.stat().st_size / 1e6,
        )


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=20_000, help="jobs after the warm-up")
    options.add_argument("--warm-up", type=int, default=1_000, help="jobs before the first look")
    options.add_argument("--slots", type=int, default=8, help="how many run at once")
    given = options.parse_args()
    report = Report("soak")
    run(_measure(report, count=given.jobs, warm_up=given.warm_up, slots=given.slots))
    report.show(as_json=given.json)


async def _measure(report: Report, *, count: int, warm_up: int, slots: int) -> None:
    async with rig(slots=slots) as engine, engine.running():
        await engine.forks.plain.start()
        done = await _do(engine, warm_up, so_far=0)
        before = Footprint.of(engine)
        say(f"after {done} jobs: {before}")
        for _ in range(_LOOKS):
            done = await _do(engine, count // _LOOKS, so_far=done)
            after = Footprint.of(engine)
            say(f"after {done} jobs: {after}")
        folders = sum(_size(folder) for folder in list(engine.home.jobs.iterdir())[:100]) / 100
    ran = done - warm_up
    report.add("jobs done", ran, "jobs")
    report.add(
        "daemon, growth of memory", _growth(before.daemon_mb, after.daemon_mb), "%", at_most=10
    )
    report.add("fork server, growth", _growth(before.server_mb, after.server_mb), "%", at_most=10)
    report.add("daemon, memory at the end", after.daemon_mb, "MB")
    report.add("daemon, more open files", after.files - before.files, "files", at_most=0)
    more = after.server_files - before.server_files
    report.add("fork server, more open files", more, "files", at_most=0)
    report.add("daemon, more threads", after.threads - before.threads, "threads", at_most=0)
    report.add("children left", after.children, "processes", at_most=0)
    report.add("rows, a job", (after.rows_mb - before.rows_mb) * 1e6 / ran, "bytes")
    report.add("folder, a job", folders, "bytes")


async def _do(engine: Rig, count: int, *, so_far: int) -> int:
    """Do that many more, never too many waiting; returns how many are done then."""
    for first in range(0, count, _WAITING):
        numbers = range(first, min(count, first + _WAITING))
        await asyncio.gather(
            *(engine.enqueue(engine.drill("append: line", number=each)) for each in numbers)
        )
        await engine.finished(so_far + numbers[-1] + 1)
        engine.claimed.clear()  # what we know ourselves is not to be taken for a leak
    await asyncio.sleep(0.5)  # the last children are reaped
    return so_far + count


def _growth(before: float, after: float) -> float:
    return (after - before) / before * 100


def _size(folder: Path) -> int:
    """Bytes on the disk, in blocks, as a file system counts them."""
    return sum(
        os.lstat(Path(place) / name).st_blocks * 512
        for place, folders, files in os.walk(folder)
        for name in [*folders, *files]
    )


if __name__ == "__main__":
    main()
