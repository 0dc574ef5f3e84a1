"""The echo backend through the real engine: forked children that do drills, and misbehave."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from agentos.backends.claude_access import open_access
from agentos.config import Config
from agentos.domain.clock import SystemClock
from agentos.domain.states import JobState
from agentos.domain.work import Job
from agentos.home import Home
from agentos.store.database import Database
from tests.engine_room import EngineRoom, running


@asynccontextmanager
async def opened(database: Database, home: Home) -> AsyncIterator[EngineRoom]:
    access = open_access("http://127.0.0.1:9", config_folder=home.claude_config)
    config = Config.model_validate(
        {
            "engine": {"slots": 3, "tick_seconds": 1, "max_attempts": 1},
            "capacity": {"most_load": 10_000, "least_memory_mb": 0},
        }
    )
    made = EngineRoom(database, clock=SystemClock(), home=home, access=access, config=config)
    async with running(made):
        yield made


@pytest.fixture
async def room(database: Database, home: Home) -> AsyncIterator[EngineRoom]:
    async with opened(database, home) as made:
        yield made


async def drill(room: EngineRoom, *lines: str, seconds: float = 30) -> Job:
    """A job that does these lines, at its end."""
    job = await room.add("\n".join(lines), title="a drill", backend="echo")
    return await room.ended(job, seconds=seconds)


async def test_it_says_what_it_was_told_for_nothing(any_database: Database, home: Home) -> None:
    async with opened(any_database, home) as room:
        job = await drill(room, "how do you do")
        assert job.state is JobState.done
        assert "how do you do" in (job.result or "")
        (run,) = await room.runs(job.id)
        assert run.session_id == f"echo-{run.token}"


async def test_a_line_it_appends_names_its_run(room: EngineRoom) -> None:
    job = await drill(room, "append: lines", "sleep: 0.01", "append: lines")
    assert job.state is JobState.done
    (run,) = await room.runs(job.id)
    written = (room.home.job_folder(job.id or 0) / "work" / "lines").read_text().splitlines()
    assert [line.split()[0] for line in written] == [str(run.id)] * 2


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("append: ../../../agentos.log", "Writing is allowed in"),
        ("sleep: a while", "no number of seconds"),
    ],
)
async def test_a_drill_that_it_may_not_or_cannot_do_fails_in_words(
    room: EngineRoom, line: str, problem: str
) -> None:
    job = await drill(room, line)
    assert job.state is JobState.failed
    assert problem in (job.error or "")


@pytest.mark.parametrize("line", ["exit", "garbage", "flood", "close"])
async def test_a_child_that_misbehaves_ends_its_job_and_the_engine_goes_on(
    room: EngineRoom, line: str
) -> None:
    job = await drill(room, line, seconds=60)
    assert job.state is JobState.failed
    assert job.error
    assert (await drill(room, "still there?")).state is JobState.done
    server = psutil.Process(room.forks.plain.pid)

    async def alone() -> bool:
        return not server.children()

    await room.until(alone)


async def test_a_child_that_hangs_is_ended_when_its_time_is_over(room: EngineRoom) -> None:
    job = await room.add("hang", title="a drill", backend="echo", timeout_seconds=1)
    ended = await room.ended(job)
    assert ended.state is JobState.failed
    assert (await drill(room, "still there?")).state is JobState.done


async def test_drills_are_forked_from_a_server_that_never_saw_the_sdk(room: EngineRoom) -> None:
    await room.forks.start()
    await drill(room, "append: lines")
    plain, full = (psutil.Process(each.pid) for each in (room.forks.plain, room.forks))
    assert plain.memory_info().rss < full.memory_info().rss * 0.7
    plain.kill()
    assert (await drill(room, "append: lines")).state is JobState.done


async def test_forty_drills_at_once_each_run_once(room: EngineRoom) -> None:
    added = [await room.add("append: lines", title="a drill", backend="echo") for _ in range(40)]
    for job in added:
        assert (await room.ended(job, seconds=60)).state is JobState.done
        file = room.home.job_folder(job.id or 0) / "work" / "lines"
        assert len(file.read_text().splitlines()) == 1
        assert len(await room.runs(job.id)) == 1
