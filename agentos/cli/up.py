"""`agentos up`: the daemon, in the foreground, until it is stopped."""

import asyncio
import sys
from contextlib import suppress

from agentos.app import serve
from agentos.home import Home


def run(*, home: Home) -> int:
    """Run the daemon; what it has to say at its start goes to standard output."""
    asyncio.run(serve(home, announce=_say))
    return 0


def _say(line: str) -> None:
    # A full disk, or a reader that is gone, must not end the daemon: the log has it, too.
    with suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
