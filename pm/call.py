"""Running an operation: by the daemon when it answers, else straight on the rows."""

import importlib
from typing import Any

from agentos.control.client import ControlClient
from agentos.errors import DaemonUnreachable
from agentos.home import Home, default_home


def call(op: str, **params: Any) -> Any:
    """Run an operation; params that are None are left out. Raises AgentosError."""
    home = Home(default_home())
    words = {name: value for name, value in params.items() if value is not None}
    try:
        client = ControlClient(home.socket)
    except DaemonUnreachable:
        # The tables cost half a second to import: only a call that needs them pays for it.
        direct = importlib.import_module("agentos.control.direct")
        return direct.run(home, op, words)
    with client:
        return client.call(op, **words)
