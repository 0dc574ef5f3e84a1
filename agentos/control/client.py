"""Asking the daemon, one call at a time. Standard library only: `pm` starts with this."""

import os
import socket
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentos.control import wire
from agentos.errors import DaemonUnreachable

_CONNECT = timedelta(seconds=5)
_PATIENCE = timedelta(seconds=30)


class ControlClient:
    """A connection to the daemon of one home. Raises DaemonUnreachable when nobody listens."""

    def __init__(self, path: Path, *, patience: timedelta = _PATIENCE) -> None:
        self._path = path
        self._socket = connect(path, patience=patience)
        self._file = self._socket.makefile("rb")
        self._last_id = 0

    def call(self, op: str, **params: Any) -> Any:
        """Run an operation of the daemon. Raises what it raises, or DaemonUnreachable."""
        self._last_id += 1
        line = wire.encode({"id": self._last_id, "op": op, "params": params})
        try:
            self._socket.sendall(line)
            while True:
                reply = self._read()
                if reply.get("id") in (self._last_id, None) and "event" not in reply:
                    break
        except TimeoutError as error:
            problem = "it took the request but gave no answer in time, so look before you repeat it"
            raise DaemonUnreachable(socket=self._path, problem=problem) from error
        except OSError as error:
            raise self._lost() from error
        if "error" in reply:
            raise wire.error_of(reply["error"])
        return reply.get("result")

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> dict[str, Any]:
        line = self._file.readline(wire.LINE_LIMIT)
        if not line.endswith(b"\n"):
            raise self._lost()
        return wire.decode(line)

    def _lost(self) -> DaemonUnreachable:
        return DaemonUnreachable(socket=self._path, problem="it ended before it answered")


def connect(path: Path, *, patience: timedelta = _PATIENCE) -> socket.socket:
    """A connected socket. Raises DaemonUnreachable; a socket file nobody listens on counts too."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # In a shared temporary folder somebody else could have made a socket of this name.
        if path.stat().st_uid not in (os.getuid(), 0) and os.getuid() != 0:
            raise DaemonUnreachable(socket=path, problem="it belongs to another user")
        connection.settimeout(_CONNECT.total_seconds())
        connection.connect(str(path))
        connection.settimeout(patience.total_seconds())
    except (OSError, DaemonUnreachable) as error:
        connection.close()
        if isinstance(error, DaemonUnreachable):
            raise
        raise DaemonUnreachable(socket=path, problem=_why(error)) from error
    return connection


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "nobody listens there"
    return error.strerror or str(error)
