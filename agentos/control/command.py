"""Running a command line: errors are one line, a closed pipe and Ctrl-C are quiet.

Standard library only.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from agentos.errors import AgentosError

FAILED = 1
INTERRUPTED = 130


def run(command: Callable[[], object]) -> NoReturn:
    """Run a command and end the process with its status.

    At once: all is written, and taking the modules apart takes longer than most commands.
    """
    status = _status(command)
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(status)


def _status(command: Callable[[], object]) -> int:
    try:
        status = _called(command)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python must not complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _called(command: Callable[[], object]) -> int:
    for stream in (sys.stdout, sys.stderr):
        # A screen that cannot show a letter gets its number instead of an error.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        command()
    except AgentosError as error:
        sys.stdout.flush()
        sys.stderr.write(f"{error}\n")
        return FAILED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    return 0
