"""`agentos up`: the daemon, in the foreground, until it is stopped."""

import asyncio
import sys

from agentos.app import serve
from agentos.home import Home


def run(*, home: Home) -> int:
    """Run the daemon; what it has to say at its start goes to standard output."""
    _say(f"agentos runs in {home.root}; its log is {home.log_file}")
    asyncio.run(serve(home, announce=_say))
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
