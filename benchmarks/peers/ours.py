"""This engine, put to the same measures: jobs of the echo backend, each in a forked child."""

import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from agentos.domain.work import Job
from agentos.home import Home
from agentos.store import jobs
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate
from benchmarks.peers.measures import rate
from benchmarks.peers.port import Peer, python
from benchmarks.peers.record import Line
from benchmarks.rig import Rig, rig

# What a job of ours writes, in its own working folder.
_NO_OP = "append: began"


class Ours(Peer):
    """`agentos up`, whole, on a home of its own."""

    name: ClassVar[str] = "agentos on SQLite"

    def open(self) -> None:
        """A home with an empty database. The daemon finds no key, no Telegram, no model."""
        self._home = Home(self.folder / "home")
        self._home.make()
        self._database = Database(sqlite_url(self._home.database_file))
        migrate(self._database)
        self._ids: dict[int, int] = {}
        for name in [name for name in os.environ if name.startswith(("AGENTOS_", "ANTHROPIC_"))]:
            del os.environ[name]
        os.environ["AGENTOS_HOME"] = str(self._home.root)
        os.environ["AGENTOS_CLAUDE__BASE_URL"] = "http://127.0.0.1:9"
        os.environ["AGENTOS_ENGINE__SLOTS"] = "2"
        os.environ["AGENTOS_CAPACITY__MOST_LOAD"] = "10000"

    def enqueue(self, number: int, seconds: float) -> None:
        """One job in one transaction."""
        drills = [_NO_OP, f"sleep: {seconds}", "append: ended"] if seconds else [_NO_OP]
        job = Job(
            title=f"drill {number}",
            prompt="\n".join(drills),
            backend="echo",
            created_at=datetime.now(UTC),
        )
        with self._database.begin() as connection:
            jobs.enqueue(connection, job)
        self._ids[job.id or 0] = number

    def commands(self) -> list[list[str]]:
        """The daemon; all else is its child."""
        return [python("-m", "agentos.cli", "up")]

    def lines(self) -> list[Line]:
        """What the jobs wrote into their folders."""
        return read(self._home.jobs, self._ids)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def read(folder: Path, numbers: dict[int, int]) -> list[Line]:
    """The lines that drills have appended, all jobs together."""
    found = []
    for word in ("began", "ended"):
        files = [each / "work" / word for each in folder.iterdir()]
        for file in filter(Path.is_file, files):
            number = numbers[int(file.parts[-3])]
            for line in file.read_text().splitlines():
                found.append(Line(number, word == "began", float(line.split()[1])))
    return sorted(found, key=lambda line: line.at)


async def delays(samples: int) -> tuple[list[float], list[float]]:
    """Milliseconds from a commit to the run's claim, and to the child's first instruction."""
    async with rig(slots=2) as bench, bench.running():
        claimed, began = [], []
        for number in range(-5, samples):
            job = bench.drill(_NO_OP, number=number)
            queued = await bench.enqueue(job)
            assert job.id is not None
            await asyncio.sleep(0.03)
            await bench.finished(number + 6)
            if number >= 0:
                claimed.append(max(0.0, bench.claimed[job.id] - queued) * 1000)
                (line,) = _lines_of(bench, job.id)
                began.append((line.at - queued) * 1000)
    return claimed, began


def _lines_of(bench: Rig, job_id: int) -> list[Line]:
    file = bench.home.job_folder(job_id) / "work" / "began"
    return [Line(job_id, True, float(line.split()[1])) for line in file.read_text().splitlines()]


async def drain(count: int, *, slots: int) -> float:
    """No-op jobs a second, through the whole engine, all queued before."""
    async with rig(slots=slots) as bench:
        for number in range(count):
            await bench.enqueue(bench.drill(_NO_OP, number=number))
        async with bench.running():
            await bench.finished(count)
        ids = range(1, count + 1)
        return rate([line for job_id in ids for line in _lines_of(bench, job_id)])


async def enqueues_at_once(count: int, *, writers: int) -> float:
    """Jobs queued a second by so many tasks of one daemon, each in its own transaction."""
    async with rig(slots=1) as bench:

        async def write(number: int) -> None:
            for each in range(number, count, writers):
                await bench.enqueue(bench.drill(_NO_OP, number=each))

        before = time.perf_counter()
        await asyncio.gather(*(write(number) for number in range(writers)))
        return count / (time.perf_counter() - before)
