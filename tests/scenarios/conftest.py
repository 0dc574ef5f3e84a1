"""What the scenarios share: a stage each, and one pair of far ends for all tests of a process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.stage import FarEnds, Stage


@pytest.fixture(scope="session")
def far_ends() -> Iterator[FarEnds]:
    """A Messages API and a Bot API."""
    ends = FarEnds.start()
    yield ends
    ends.stop()


@pytest.fixture
async def stage(tmp_path: Path, far_ends: FarEnds) -> AsyncIterator[Stage]:
    """A home whose daemon is not started yet; nothing that happens on it may look like a crash."""
    async with Stage.open(tmp_path, far=far_ends) as stage:
        yield stage
        assert "Traceback" not in stage.output + stage.log


@pytest.fixture
async def live(stage: Stage) -> Stage:
    """The same with its daemon running."""
    await stage.start()
    return stage
