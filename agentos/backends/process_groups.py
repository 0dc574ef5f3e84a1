"""A child process in a group of its own: started, ended and reaped whole."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

_REAP_POLL = 0.005


async def spawn(*words: str | Path, **options: Any) -> asyncio.subprocess.Process:
    """Start a process in a group of its own. Who is cancelled meanwhile leaves none behind."""
    making = asyncio.create_subprocess_exec(*words, start_new_session=True, **options)
    starting = asyncio.ensure_future(making)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(OSError, ValueError):
            process = await starting
            end_group(process.pid)
            await reap(process)
        raise


def end_group(pid: int) -> None:
    """End a process and all of its group, now."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def reap(process: asyncio.subprocess.Process) -> None:
    """Wait for a process that was killed, and let go of its pipes, whoever else holds them."""
    await gone(process, within=None)
    # asyncio's own `wait` would wait for the pipes' other ends, too; nothing public closes them.
    process._transport.close()  # type: ignore[attr-defined]


async def gone(process: asyncio.subprocess.Process, *, within: timedelta | None) -> bool:
    """Wait until a process has ended; False when it did not in time."""
    deadline = None if within is None else time.monotonic() + within.total_seconds()
    while process.returncode is None:
        if deadline is not None and time.monotonic() > deadline:
            return False
        await asyncio.sleep(_REAP_POLL)
    return True
