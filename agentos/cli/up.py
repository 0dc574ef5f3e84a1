"""`agentos up`: the daemon, in the foreground, until it is stopped."""

import asyncio
import gc
import importlib
import sys
from contextlib import suppress
from datetime import timedelta

from agentos import config as configuration
from agentos.cli.takeover import take_over
from agentos.home import Home

# To end what does not drain: the front desk's sessions, the fork server, the servers on loopback.
_MARGIN = timedelta(seconds=10)


def run(*, home: Home, takeover: bool) -> int:
    """Run the daemon; what it has to say at its start goes to standard output.

    Raises Misconfigured before the daemon's modules are imported: that takes a second.
    """
    home.make()
    config = configuration.load(config_file=home.config_file, secrets_file=home.secrets_file)
    if takeover:
        drain = timedelta(seconds=config.engine.drain_seconds)
        take_over(home, patience=drain + _MARGIN, say=_say)
    gc.disable()  # what is imported stays: looking for garbage in it takes a tenth of the time
    serve = importlib.import_module("agentos.app").serve
    gc.freeze()
    gc.enable()
    asyncio.run(serve(home, config, announce=_say))
    return 0


def _say(line: str) -> None:
    # A full disk, or a reader that is gone, must not end the daemon: the log has it, too.
    with suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
