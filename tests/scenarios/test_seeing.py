"""What people and scripts see of the running engine, through the whole process."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.lines import long_work, text, works
from tests.stage import Stage


async def pm(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(stage.pm, *arguments)


async def told(stage: Stage, *arguments: str) -> Any:
    done = await pm(stage, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def until(stage: Stage, state: str, job: int, *, seconds: float = 40) -> dict[str, Any]:
    """Wait for a job's state; returns what the engine says of it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found: dict[str, Any] = (await stage.control("engine.status", job=job))["job"]
        if found["state"] == state:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"job {job} is {found['state']}: {found['why']}")


async def add(stage: Stage, title: str, *more: str) -> int:
    job = await told(stage, "job", "add", "--title", title, "--prompt", title, *more)
    number: int = job["id"]
    return number


async def test_the_status_says_what_runs_and_why_the_others_wait(stage: Stage) -> None:
    stage.environment["AGENTOS_ENGINE__SLOTS"] = "1"
    await stage.start()
    await stage.model.add_rules([works("Dig", long_work())])
    await pm(stage, "worker", "add", "mole", "--model", "sonnet")
    digging = await add(stage, "Dig", "--worker", "mole")
    await until(stage, "running", digging)
    waiting = await add(stage, "Plant")
    after = await add(stage, "Water", "--needs", str(waiting))
    again = await add(stage, "Dig more", "--worker", "mole")
    status = (await pm(stage, "engine", "status")).stdout
    assert "slots  ● ○  1 of 1 busy, the urgent one is free" in status
    assert f"#{digging} Dig" in status
    for job, why in (
        (waiting, "the one slot is taken"),
        (after, f"needs #{waiting} Plant, which waits, too"),
        (again, f"waits for worker mole, busy with #{digging}"),
    ):
        line = (await pm(stage, "engine", "status", "--job", str(job))).stdout
        assert f"why       {why}\n" in line
        assert why in status
    (mole,) = await told(stage, "worker", "list")
    assert (mole["state"], mole["working_on"]["id"]) == ("working", digging)


async def test_a_poked_job_goes_on_at_once_in_its_session(live: Stage) -> None:
    await live.model.add_rules([works("Hang", long_work(), text("Back."))])
    job = await add(live, "Hang")
    running = await until(live, "running", job)
    assert running["run"] == 1
    done = await pm(live, "job", "poke", str(job))
    assert done.stdout.startswith(f"Poked job {job}: Hang.")
    while (await until(live, "running", job))["run"] != 2:
        await asyncio.sleep(0.05)
    await pm(live, "job", "cancel", str(job))
    refused = await pm(live, "job", "poke", str(job))
    assert refused.stderr == f"job {job} is cancelled: only a job that runs can be poked.\n"


async def test_without_a_daemon_nothing_can_be_poked_and_the_queue_can_be_seen(
    stage: Stage,
) -> None:
    job = await add(stage, "Wait")
    refused = await pm(stage, "job", "poke", str(job))
    assert refused.returncode == 1
    assert refused.stderr.endswith("nobody listens there. Start it with `agentos up`.\n")
    assert len(refused.stderr.splitlines()) == 1
    status = (await pm(stage, "engine", "status")).stdout
    assert status.startswith("agentos is not running: `agentos up` starts it\n")
    assert f"#{job} Wait" in status


async def test_a_retired_worker_ends_its_process_and_finishes_what_it_has(live: Stage) -> None:
    await live.model.add_rules(
        [works("Short", text("Done.")), works("Long", long_work(3), text("Dug."))]
    )
    await pm(live, "worker", "add", "idle", "--model", "sonnet")
    await pm(live, "worker", "add", "busy", "--model", "sonnet")
    await until(live, "done", await add(live, "Short", "--worker", "idle"))
    job = await add(live, "Long", "--worker", "busy")
    await until(live, "running", job)
    kept = (await live.control("engine.status"))["workers"]
    assert [row["warm"] for row in kept if row["name"] == "idle"] == [True]
    assert "has retired" in (await pm(live, "worker", "retire", "idle")).stdout
    finishing = (await pm(live, "worker", "retire", "busy")).stdout
    assert f"as soon as #{job} Long has ended" in finishing
    await until(live, "done", job)
    assert (await live.control("engine.status"))["workers"] == []
    async with asyncio.timeout(20):
        while any("agentos: job" in " ".join(one.cmdline()) for one in live.children()):
            await asyncio.sleep(0.1)


async def test_the_stream_of_events_loses_nothing_and_goes_on_by_its_ids(live: Stage) -> None:
    await live.model.add_rules([works("Note", text("Noted."))])
    words = ("engine", "events", "--json", "--follow", "--since", "0")
    following = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "pm", *words),
        env={**live.environment, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert following.stdout is not None
    jobs = [await add(live, "Note") for _ in range(3)]
    for job in jobs:
        await until(live, "done", job)
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(40):
        while sum(event["key"] == "job_done" for event in seen) < 3:
            seen.append(json.loads(await following.stdout.readline()))
    following.send_signal(signal.SIGINT)
    await following.wait()
    ids = [event["id"] for event in seen]
    assert ids == list(range(1, len(ids) + 1))
    keys = [event["key"] for event in seen if event["job_id"] == jobs[0]]
    assert keys == ["job_queued", "run_started", "run_running", "run_settled", "job_done"]
    rest = await pm(live, "engine", "events", "--json", "--since", str(ids[2]))
    assert json.loads(rest.stdout.splitlines()[0])["id"] == ids[3]


def watched(
    stage: Stage, *, keys: bytes, rows: int, columns: int, file: Path
) -> tuple[int, list[Any]]:
    """Look at the live status for two frames in a terminal of this size, then press keys."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    before = termios.tcgetattr(follower)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "pm", "engine", "watch"],
        env={**stage.environment, "TERM": "xterm"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        # Ctrl-C reaches it as from a keyboard.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    shown = b""
    with file.open("wb") as copy:
        while shown.count(b"\x1b[?2026l") < 2:
            part = os.read(leader, 65536)
            shown += part
            copy.write(part)
    os.write(leader, keys)
    status = process.wait(20)
    os.set_blocking(leader, False)
    shown += os.read(leader, 65536)
    after = termios.tcgetattr(follower)
    os.close(follower)
    os.close(leader)
    assert shown.endswith(b"\x1b[?25h\x1b[?1049l")
    frame = shown.split(b"\x1b[?2026h\x1b[H")[2].split(b"\x1b[J")[0].decode()
    return status, [before == after, frame.replace("\x1b[K", "").split("\r\n")]


@pytest.mark.parametrize(
    ("keys", "rows", "columns"), [(b"xq", 24, 80), (b"\x03", 16, 40)], ids=["q", "ctrl-c"]
)
async def test_the_live_status_fits_the_terminal_and_gives_it_back(
    live: Stage, tmp_path: Path, keys: bytes, rows: int, columns: int
) -> None:
    live.environment["NO_COLOR"] = "1"
    await live.model.add_rules([works("Dig", long_work())])
    job = await add(live, "Dig")
    await until(live, "running", job)
    status, (restored, lines) = await asyncio.to_thread(
        watched, live, keys=keys, rows=rows, columns=columns, file=tmp_path / "screen"
    )
    assert (status, restored) == (0, True)
    assert len(lines) <= rows and max(map(len, lines)) <= columns
    assert any(f"#{job} Dig" in line for line in lines)
    assert lines[-1].endswith("q ends this")


async def test_the_live_status_needs_a_terminal(live: Stage) -> None:
    done = await pm(live, "engine", "watch")
    assert done.returncode == 1
    assert "pm engine status --json" in done.stderr


async def test_tidying_by_hand_works_with_the_daemon_up_and_down(stage: Stage) -> None:
    assert (await told(stage, "engine", "tidy"))["days"] == 90
    await stage.start()
    assert (await told(stage, "engine", "tidy", "--days", "7"))["jobs"] == 0
    refused = await pm(stage, "engine", "tidy", "--days", "0")
    assert refused.returncode == 2
