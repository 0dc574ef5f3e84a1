"""Running an operation: by the daemon when it answers, else straight on the rows."""

import importlib
from datetime import timedelta
from typing import Any

from agentos.control.client import ControlClient
from agentos.errors import DaemonUnreachable
from agentos.home import Home, default_home

_PATIENCE = timedelta(seconds=30)
_LONG = timedelta(minutes=30)


def call(op: str, **params: Any) -> Any:
    """Run an operation; params that are None are left out. Raises AgentosError."""
    return _call(op, params, patience=_PATIENCE)


def call_slowly(op: str, **params: Any) -> Any:
    """The same for what may take minutes."""
    return _call(op, params, patience=_LONG)


def ask_daemon(op: str, **params: Any) -> Any:
    """Ask what only the running daemon can do. Raises DaemonUnreachable when there is none."""
    with ControlClient(Home(default_home()).socket) as client:
        return client.call(op, **params)


def _call(op: str, params: dict[str, Any], *, patience: timedelta) -> Any:
    home = Home(default_home())
    words = {name: value for name, value in params.items() if value is not None}
    try:
        client = ControlClient(home.socket, patience=patience)
    except DaemonUnreachable:
        # The tables cost half a second to import: only a call that needs them pays for it.
        direct = importlib.import_module("agentos.control.direct")
        return direct.run(home, op, words)
    with client:
        return client.call(op, **words)
