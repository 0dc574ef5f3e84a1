"""Which Claude CLI is run: the one that comes with the SDK, or one that the owner names."""

import asyncio
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from agentos.errors import BackendMissing

# In the environment of a worker: the program to run instead of the one that comes with the SDK.
PROGRAM = "AGENTOS_CLAUDE_PROGRAM"
# The first that takes what the SDK sends.
_OLDEST = (2, 1, 248)
_VERSION_SECONDS = 10.0
_LONGEST = 200
_VERSION = re.compile(r"\b(\d{1,9})\.(\d{1,9})\.(\d{1,9})\b")


async def find(environment: Mapping[str, str]) -> Path:
    """The program to run. Raises BackendMissing when there is none, or it is not what it should be.

    Only one that did not come with the SDK is asked for its version: that costs its start.
    """
    ours = _bundled()
    named = environment.get(PROGRAM)
    if not named and ours is not None:
        return _runnable(ours)
    found = named or shutil.which("claude", path=environment.get("PATH", os.defpath))
    if found is None:
        raise _missing("the Claude CLI is missing; reinstall claude-agent-sdk")
    program = _runnable(Path(found))
    _check(await asyncio.to_thread(_version_of, program), program=program)
    return program


def _bundled() -> Path | None:
    spec = importlib.util.find_spec("claude_agent_sdk")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder) / "_bundled" / "claude"
        if program.is_file():
            return program
    return None


def _runnable(program: Path) -> Path:
    if not program.is_file():
        raise _missing(f"the Claude CLI is missing: there is no {program}")
    if not os.access(program, os.X_OK):
        raise _missing(f"the Claude CLI {program} may not be run; make it executable")
    return program


def _version_of(program: Path) -> str:
    """The first line of what it says of its version, whatever it is."""
    # Into a file: a pipe stays open for as long as anything that it has started.
    with tempfile.TemporaryFile() as said:
        try:
            # One that does not end may have said it all the same.
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    [program, "-v"],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.DEVNULL,
                    timeout=_VERSION_SECONDS,
                    check=False,
                )
        except OSError as error:
            words = error.strerror or str(error)
            raise _missing(f"the Claude CLI {program} cannot be started: {words}") from error
        said.seek(0)
        return said.readline(_LONGEST).decode(errors="replace").strip()


def _check(said: str, *, program: Path) -> None:
    match = _VERSION.search(said)
    if match is None:
        raise _missing(f"{program} is not the Claude CLI: asked for its version, it says {said!r}")
    if tuple(int(part) for part in match.groups()) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise _missing(f"the Claude CLI {program} is too old: {match[0]}; {oldest} is needed")


def _missing(problem: str) -> BackendMissing:
    return BackendMissing(backend="claude", problem=problem[:500])
