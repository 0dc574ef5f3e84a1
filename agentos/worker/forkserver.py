"""The fork server: imports what a child needs once, and forks a child for each request.

Run as `python -m agentos.worker.forkserver FD MODULE`, where FD is its end of a socket pair and the
module has the `main` of a child. One JSON object a line each way; a request brings the child's own
socket along. It has one thread and no event loop, because a fork copies both badly. When the other
end closes, the daemon is gone: it ends all children and itself.

What a fork costs is the memory of the server. So backends that are `plain` have a server of their
own that never imports the SDK; their children start no processes, and are spared what is there to
catch those: a group, a control group, an environment, a title.

    →  {"spawn": 7, "env": {...}, "stderr": "/path", "title": "…"}   + one file descriptor
    ←  {"forked": 7, "pid": 4711}      or {"failed": 7, "problem": "…"}
    ←  {"exited": 4711, "status": 0}
"""

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from setproctitle import setproctitle

from agentos.domain.frames import MARK
from agentos.worker import descendants
from agentos.worker.cgroup import Cgroup

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PLAIN = "agentos.worker.plain"

Main = Callable[[socket.socket], int]


def main(argv: list[str]) -> None:
    """Serve until the daemon's end of the socket closes."""
    control, module = socket.socket(fileno=int(argv[1])), argv[2]
    plain = module == _PLAIN
    setproctitle(f"agentos: {'plain ' if plain else ''}fork server")
    home, _, _ = os.environ.get(MARK, "").partition(":")
    group = Cgroup.make(f"agentos-{home}") if home and not plain else None
    # While it imports it hears nothing; a daemon that is killed meanwhile takes it along.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    gc.disable()  # what is imported stays: looking for garbage in it takes a tenth of the time
    child_main: Main = importlib.import_module(module).main
    _prctl(_PR_SET_PDEATHSIG, 0)  # from here on it ends its children first
    ForkServer(control, child_main=child_main, plain=plain, group=group).serve()
    os._exit(0)  # there is nothing to put away, and taking the modules apart takes a quarter


class ForkServer:
    """The requests, and the children that live."""

    def __init__(
        self,
        control: socket.socket,
        *,
        child_main: Main,
        plain: bool = False,
        group: Cgroup | None = None,
    ) -> None:
        self._control = control
        self._child_main = child_main
        self._plain = plain
        self._group = group
        self._buffer = b""
        self._descriptors: list[int] = []
        # pid → the mark that this child and all that it starts carry in their environment
        self._children: dict[int, str] = {}

    def serve(self) -> None:
        """The loop: a request, or a child that ended."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        if self._group is not None:
            self._group.sweep()
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon says when
        gc.freeze()  # what is loaded now stays shared with the children
        gc.enable()
        self._tell({"ready": os.getpid()})
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == wake_read:
                        with suppress(BlockingIOError):
                            os.read(wake_read, 4096)
                        self._reap()
                    elif not self._receive():
                        self._end_all()
                        return

    def _receive(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 16)
        except ConnectionError:
            return False
        if not data:
            return False
        self._buffer += data
        self._descriptors += descriptors
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            self._spawn(json.loads(line))
        return True

    def _spawn(self, request: dict[str, Any]) -> None:
        descriptor = self._descriptors.pop(0)
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or too many processes: that costs this child alone
            os.close(descriptor)
            self._tell({"failed": request["spawn"], "problem": str(error)})
            return
        if pid == 0:
            self._become_child(request, descriptor)
        os.close(descriptor)
        self._children[pid] = request.get("env", {}).get(MARK, "")
        self._tell({"forked": request["spawn"], "pid": pid})

    def _become_child(self, request: dict[str, Any], descriptor: int) -> NoReturn:
        status = 1
        try:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            if not self._plain:
                self._furnish(request)
            status = self._child_main(socket.socket(fileno=descriptor))
        finally:
            # Not sys.exit: the child must not unwind into the server's loop.
            os._exit(status)

    def _furnish(self, request: dict[str, Any]) -> None:
        """What a child needs that starts processes of its own."""
        os.setsid()
        if self._group is not None:
            self._group.enter(_name(request["env"]), pid=os.getpid())
        os.environ.clear()
        os.environ.update(request["env"])
        _point_output_at(Path(request["stderr"]))
        setproctitle(f"agentos: {request['title']}")

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            mark = self._children.pop(pid, None)
            if mark is None:
                continue
            if not self._plain:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
            if self._group is not None:
                self._group.kill(_name({MARK: mark}))
            self._tell({"exited": pid, "status": os.waitstatus_to_exitcode(status)})
        if not self._plain:
            self._kill_orphans()

    def _kill_orphans(self) -> None:
        """End what a dead child left behind; as their subreaper, we have inherited it."""
        for pid in descendants.children_of_self():
            if pid not in self._children and descendants.mark_of(pid) not in self._marks():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _marks(self) -> set[str]:
        return set(self._children.values())

    def _end_all(self) -> None:
        for pid in self._children:
            for kill in (os.killpg, os.kill):  # a plain child leads no group
                with suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)
        while self._children:
            with suppress(ChildProcessError):
                pid, _ = os.waitpid(-1, 0)
                self._children.pop(pid, None)
                continue
            break
        # Two rounds: what we kill may leave children of its own, which we then inherit.
        for _ in range(2):
            self._kill_orphans()
        if self._group is not None:
            self._group.close()

    def _tell(self, message: dict[str, Any]) -> None:
        with suppress(ConnectionError):
            self._control.sendall(json.dumps(message).encode() + b"\n")


def _name(environment: Mapping[str, str]) -> str:
    """What a child's group is called: its number, from the mark it carries."""
    return environment.get(MARK, "").rpartition(":")[2] or "none"


def _point_output_at(path: Path) -> None:
    """Standard input from nowhere; output and errors to the end of a file."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    try:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:  # a full disk must not keep the child from working
        target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 1)
    os.dup2(target, 2)


def _prctl(option: int, value: int) -> None:
    """A Linux process setting; elsewhere nothing happens, and the sockets' ends do the work."""
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv)
