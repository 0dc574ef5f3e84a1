"""Running the real commands as a person would, beside the small daemon."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agentos.control.client import ControlClient
from agentos.errors import DaemonUnreachable
from agentos.home import Home

ROOT = Path(__file__).resolve().parent.parent


def environment(home: Home, **more: str) -> dict[str, str]:
    """Only what a command needs, so that nothing of this machine's owner reaches it."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "AGENTOS_HOME": str(home.root),
        "AGENTOS_OWNER__TIMEZONE": "Europe/Berlin",
        "AGENTOS_TALK__DEBOUNCE_SECONDS": "0",
        "HOME": str(home.root),
        **more,
    }


def run(
    module: str,
    *arguments: str,
    home: Home,
    typed: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment(home, **(variables or {})),
        cwd=ROOT,
        input="" if typed is None else typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def daemon(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """The small daemon on this home, answering."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.control_room"], env=environment(home), cwd=ROOT
    )
    try:
        wait_for_socket(home, process)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def wait_for_socket(home: Home, process: subprocess.Popen[bytes]) -> None:
    """Return when the daemon answers."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            ControlClient(home.socket).close()
        except DaemonUnreachable:
            assert process.poll() is None, "the daemon has ended"
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the daemon does not answer")
