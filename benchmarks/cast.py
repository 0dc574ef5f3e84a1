"""Who plays a part in a running system: each process by its role, and the pipes between them."""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_PIDFD_GETFD = 438  # the same on every architecture; since Linux 5.6
_FORK_SERVER = "fork server"
_GATEWAY = "agentos.backends.gateway"
_CLI = "claude"


class Cast:
    """The processes below one daemon, looked at once."""

    def __init__(self, daemon: int) -> None:
        self.daemon = daemon
        self.all: list[psutil.Process] = []
        with suppress(psutil.Error):
            self.all = psutil.Process(daemon).children(recursive=True)

    @property
    def fork_servers(self) -> list[int]:
        """The fork servers that are there."""
        return [pid for pid, parent, line in self._lines() if self._is_server(parent, line)]

    @property
    def gateways(self) -> list[int]:
        """The processes that know the keys."""
        return [pid for pid, _, line in self._lines() if _GATEWAY in line]

    @property
    def children(self) -> list[int]:
        """What the fork servers have forked."""
        servers = self.fork_servers
        return [pid for pid, parent, _ in self._lines() if parent in servers]

    def clis(self, child: int) -> list[int]:
        """The CLIs that a child has started."""
        with suppress(psutil.Error):
            return [
                each.pid
                for each in psutil.Process(child).children(recursive=True)
                if each.name() == _CLI
            ]
        return []

    def _is_server(self, parent: int, line: str) -> bool:
        # By its parent, too: a child that was just forked still bears the title of the server.
        return parent == self.daemon and _FORK_SERVER in line

    def _lines(self) -> Iterator[tuple[int, int, str]]:
        for each in self.all:
            with suppress(psutil.Error):
                yield each.pid, each.ppid(), " ".join(each.cmdline())


def cut_pipe(pid: int, *, made_by: int) -> bool:
    """Shut down the sockets of a process that another has made for it; whether there was one.

    Through a copy of its descriptor, which Linux gives to whoever may trace the process. Raises
    PermissionError where that is not allowed.
    """
    found = False
    holder = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                if not str(entry.readlink()).startswith("socket:"):
                    continue
                with socket.socket(fileno=_borrowed(holder, int(entry.name))) as pipe:
                    if pipe.family is socket.AF_UNIX and _maker(pipe) == made_by:
                        pipe.shutdown(socket.SHUT_RDWR)
                        found = True
    finally:
        os.close(holder)
    return found


def _borrowed(holder: int, descriptor: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    number = int(libc.syscall(_PIDFD_GETFD, holder, descriptor, 0))
    if number < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return number


def _maker(pipe: socket.socket) -> int:
    """Who made a pair of sockets."""
    told = pipe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", told)[0])
