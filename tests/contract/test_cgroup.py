"""A child's control group: whatever it holds ends with it, where there are such groups."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentos.worker.cgroup import Cgroup, _own_group

# Wipes its environment, leaves its session and its group, and would live for a minute.
FUGITIVE = (
    "import os, time; os.fork() and os._exit(0); os.setsid(); "
    "print(os.getpid(), flush=True); time.sleep(60)"
)


def kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split(".")[:2])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_what_wiped_its_traces_ends_with_its_group() -> None:
    group = Cgroup.make("agentos-test-fugitive")
    if group is None:  # then marks and the adoption of orphans have to do
        own = _own_group(Path("/proc/self"))
        assert own is None or not os.access(own, os.W_OK) or kernel() < (5, 14)
        return
    command = [sys.executable, "-c", "input()\n" + FUGITIVE]
    try:
        with subprocess.Popen(
            command, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as waiting:
            assert waiting.stdin is not None and waiting.stdout is not None
            group.enter("7", pid=waiting.pid)
            waiting.stdin.write("go\n")
            waiting.stdin.flush()
            fugitive = int(waiting.stdout.readline())
            waiting.wait(5)
            assert alive(fugitive)
            group.kill("7")
            deadline = time.monotonic() + 3
            while alive(fugitive) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not alive(fugitive)
    finally:
        group.close()


@pytest.mark.parametrize(
    ("mountinfo", "cgroup"),
    [
        ("25 1 0:22 / /sys/fs/cgroup rw - cgroup cgroup rw\n", "9:name=systemd:/\n"),
        ("25 1 0:22 / {root} rw - cgroup2 cgroup2 rw\n", "0::/not/there\n"),
        ("", ""),
    ],
)
def test_without_groups_of_our_own_there_is_none(
    tmp_path: Path, mountinfo: str, cgroup: str
) -> None:
    (tmp_path / "mountinfo").write_text(mountinfo.format(root=tmp_path / "mount"))
    (tmp_path / "cgroup").write_text(cgroup)
    assert Cgroup.make("agentos-test", proc=tmp_path) is None


def test_a_system_without_proc_has_none(tmp_path: Path) -> None:
    assert Cgroup.make("agentos-test", proc=tmp_path / "missing") is None
