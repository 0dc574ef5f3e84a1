"""`agentos demo` as a newcomer runs it: a process with a path, a temporary folder and no more."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentos.demo import picture
from agentos.demo.programs import sign
from agentos.demo.report import Check, Report, Step, Totals

ROOT = Path(__file__).resolve().parents[2]
OUTCOMES = ["respond", "quick_work", "clarify", "defer", "big_work"]
STEPS = ["start", *OUTCOMES, "stop"]
PATIENCE = timedelta(seconds=200)


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        **more,
    }


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the demo puts its home; no process of it may be left when a test ends."""
    folder = tmp_path_factory.mktemp("d")
    yield folder
    left = [process.cmdline() for process in psutil.process_iter() if runs_in(folder, process)]
    assert left == []


def runs_in(folder: Path, process: psutil.Process) -> bool:
    try:
        return any(str(folder) in value for value in process.environ().values())
    except (psutil.Error, OSError):
        return False


def demo(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [sys.executable, "-m", "agentos.cli", "demo", *arguments],
        env=environment(folder, **more),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE.total_seconds(),
        check=False,
    )


@asynccontextmanager
async def playing(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run it and watch it play."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "agentos.cli", "demo"),
        env=environment(folder),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def read_until(process: asyncio.subprocess.Process, words: str) -> str:
    """What it prints up to a line with these words."""
    assert process.stdout is not None
    read = ""
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while words not in read:
            line = (await process.stdout.readline()).decode()
            assert line, f"it ended before {words!r}: {read}"
            read += line
    return read


async def rest_of(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(PATIENCE.total_seconds()):
        output, _ = await process.communicate()
    return output.decode()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_step_of_the_story_passes_without_a_key(folder: Path) -> None:
    done = demo(folder, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert {step["step"]: step["verdict"] for step in told["steps"]} == dict.fromkeys(STEPS, "ok")
    claims = {step["step"]: [one["claim"] for one in step["checks"]] for step in told["steps"]}
    assert all(any("👀" in claim for claim in claims[name]) for name in OUTCOMES)
    assert (told["ok"], told["failed"], told["kept"]) == (True, [], None)
    totals = told["totals"]
    assert (totals["messages_in"], totals["jobs"], totals["files"]) == (7, 6, 5)
    assert totals["tool_calls"] == 10
    assert totals["input_tokens"] > 0 < totals["output_tokens"]
    assert list(folder.iterdir()) == []


def test_a_service_that_does_not_start_is_named_and_the_rest_is_skipped(folder: Path) -> None:
    done = demo(folder, "--json", AGENTOS_ENGINE__SLOTS="0")
    assert done.returncode == 1, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["failed"] == ["start"]
    assert "AGENTOS_ENGINE__SLOTS" in told["steps"][0]["problem"]
    assert {step["verdict"] for step in told["steps"][1:]} == {"skipped"}
    assert Path(told["kept"]).is_dir()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_service_that_breaks_down_fails_the_step_it_was_in(folder: Path) -> None:
    async with playing(folder) as process:
        await read_until(process, "Make me a recipe card")
        (lock,) = folder.glob("agentos-demo-*/home/run/daemon.lock")
        os.kill(int(lock.read_text()), signal.SIGKILL)
        output = await rest_of(process)
    assert process.returncode == 1
    assert "Failed in" in output and "seconds: quick_work." in output
    assert "What it left is in" in output
    assert "Traceback" not in output


@pytest.mark.slow
async def test_ctrl_c_puts_everything_away(folder: Path) -> None:
    async with playing(folder) as process:
        await read_until(process, "My starter doubled")
        process.send_signal(signal.SIGINT)
        output = await rest_of(process)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert list(folder.iterdir()) == []


def test_a_step_without_a_check_has_not_passed() -> None:
    claimed, denied = Check("so it is", holds=True), Check("so it is", holds=False)
    assert Step("a", "", checks=[claimed]).verdict == "ok"
    assert Step("a", "", checks=[claimed, denied]).verdict == "failed"
    assert Step("a", "", checks=[claimed], problem="it stopped").verdict == "failed"
    assert Step("a", "").verdict == "failed"
    skipped = Report([Step("a", "", skipped=True)], Totals(), seconds=0)
    assert (skipped.passed, skipped.failed) == (False, [])


def test_a_picture_is_read_pixel_by_pixel_and_a_damaged_one_is_refused() -> None:
    content = sign.png(sign.picture())
    read = picture.read(content)
    assert (read.width, read.height) == (640, 260)
    assert read.colour(0, 0) == "#{:02x}{:02x}{:02x}".format(*sign.NIGHT)
    rows = picture.drawn(read, columns=64).plain.splitlines()
    assert [len(row) for row in rows] == [64] * 13
    for broken in (b"", b"no picture", content[:-20], content.replace(b"IDAT", b"IDAX")):
        with pytest.raises(picture.NoPicture):
            picture.read(broken)
