"""The real CLIs of other backends for a test: installed once into the virtual environment."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentos.backends import npm
from agentos.backends.reach import Reach
from agentos.domain.frames import Access, Assignment, SessionOpened, Turn, TurnEnded
from agentos.domain.ports import Backend, Event
from agentos.standins.messages_control import MessagesControl, SeenRequest
from agentos.standins.script import Rule

# Beside the packages of the tests, so that a fresh environment fetches them once.
CLIS = Path(sys.prefix) / "clis"


async def installed(name: str) -> Path:
    """The program of a backend's pinned CLI; who comes first installs it, the others wait."""
    return await npm.install(name, folder=CLIS)


class CliRoom:
    """One backend's reach to a stand-in, and short ways to take turns on it."""

    def __init__(self, name: str, *, program: Path, url: str, tmp_path: Path) -> None:
        self.folder = tmp_path / "work"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url = url
        self.reach = Reach(
            backend=name,
            program=program,
            path=npm.path_with_node(CLIS),
            url=url,
            token="only-for-the-gateway",
            model="",
            state=tmp_path / "state",
        )

    def assignment(self, **fields: Any) -> Assignment:
        """Who the session is; its working folder is the room's."""
        return Assignment(
            **{
                "backend": self.reach.backend,
                "model": "test-model",
                "system_prompt": "You are a careful worker.",
                "access": Access.work,
                "working_folder": str(self.folder),
                **fields,
            }
        )

    async def rules(self, *rules: dict[str, Any]) -> None:
        """What the stand-in plays from now on."""
        async with MessagesControl(self.url) as control:
            await control.add_rules([Rule.model_validate(rule) for rule in rules], replace=True)

    async def reset(self) -> None:
        """A stand-in that others have used before is as new."""
        async with MessagesControl(self.url) as control:
            await control.reset()

    async def requests(self) -> list[SeenRequest]:
        """What the stand-in was asked."""
        async with MessagesControl(self.url) as control:
            return await control.requests()


def turn(prompt: str, **fields: Any) -> Turn:
    """A turn with a number of its own."""
    return Turn(turn_id=os.urandom(4).hex(), prompt=prompt, **fields)


async def take(backend: Backend, asked: Turn, *, seconds: float = 60) -> list[Event]:
    """All events of a turn; its last is its end."""
    async with asyncio.timeout(seconds):
        events = [event async for event in backend.turn(asked)]
    assert isinstance(events[-1], TurnEnded)
    assert sum(isinstance(event, TurnEnded) for event in events) == 1
    return events


def ended(events: Sequence[Event]) -> TurnEnded:
    """The end of a turn."""
    assert isinstance(events[-1], TurnEnded)
    return events[-1]


def opened(events: Sequence[Event]) -> SessionOpened:
    """The session a turn was done in."""
    return next(event for event in events if isinstance(event, SessionOpened))


async def until_event(events: AsyncIterator[Event], kind: type[Event]) -> None:
    """Go through a turn up to its first event of a kind, and leave it there."""
    async with asyncio.timeout(60):
        async for event in events:
            if isinstance(event, kind):
                return
    raise AssertionError(f"no {kind.__name__} came")


async def cut_short(backend: Backend, asked: Turn, *, at: type[Event]) -> None:
    """Cancel a turn at its first event of a kind, as the engine does."""
    async with aclosing(backend.turn(asked)) as events:  # type: ignore[type-var]
        await until_event(events, at)


def processes_in(folder: Path) -> list[str]:
    """What runs with a working folder at or below this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(" ".join(process.cmdline())[:120])
        except (psutil.Error, OSError):
            continue
    return found


def script(path: Path, *lines: str) -> Path:
    """A program of ours to take for a CLI: shell lines."""
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def says(*objects: Any) -> list[str]:
    """Shell lines that print JSON lines."""
    return [f"cat <<'END'\n{json.dumps(one)}\nEND" for one in objects]


@asynccontextmanager
async def watched_way_out(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[bytes]]:
    """The only way out of this machine is a proxy that lets nothing through: what it was asked."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "npm_config_registry"):
        monkeypatch.setenv(name, url)
        monkeypatch.setenv(name.lower(), url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    async with server:
        yield asked
