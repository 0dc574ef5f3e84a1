"""The whole system for a test: the daemon as a real process, and a stand-in at each far end.

    async with Stage.open(tmp_path) as stage:
        await stage.start()
        await stage.user.say("Hello")
        await stage.user.wait_for("Hello!")

`start`, `stop` (SIGTERM) and `kill` (SIGKILL) may follow each other as often as a test likes: home
and the far ends stay.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import psutil

from agentos.control.client import ControlClient
from agentos.engine.recovery import end_orphans
from agentos.errors import DaemonUnreachable
from agentos.home import Home
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import ChatView, TelegramUser
from tests.forked import Forked

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "1000001:stand-in"
OWNER_ID = "7001"
PATIENCE = timedelta(seconds=45)


@dataclass(frozen=True)
class FarEnds:
    """A Messages API and a Bot API, both stand-ins. Stages may share a pair one after the other."""

    messages: StandinProcess
    bot: StandinProcess

    @classmethod
    def start(cls) -> Self:
        """Start both."""
        return cls(
            messages=StandinProcess.start_blocking("messages"),
            bot=StandinProcess.start_blocking("bot"),
        )

    def stop(self) -> None:
        """End both."""
        self.messages.stop_blocking()
        self.bot.stop_blocking()


class Stage:
    """One home, its daemon, and its far ends. `environment` may be changed before a start."""

    def __init__(self, root: Path, far: FarEnds, *, environment: dict[str, str]) -> None:
        self.home = Home(root / "home")
        self.far = far
        self.user = TelegramUser(far.bot.url, patience=PATIENCE)
        self.model = MessagesControl(far.messages.url)
        self.environment = {**_environment(self.home, far), **environment}
        self.process: subprocess.Popen[bytes] | Forked | None = None
        self._root = root
        self._starts = 0
        self._drain: threading.Thread | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, root: Path, *, far: FarEnds | None = None, **environment: str
    ) -> AsyncIterator[Self]:
        """A stage in a folder, with more variables for the daemon. Nothing is left running.

        A given pair of far ends is emptied first, and kept; else a pair is started for this stage.
        """
        ends = await asyncio.to_thread(FarEnds.start) if far is None else far
        stage = cls(root, ends, environment=environment)
        try:
            if far is not None:
                await stage.user.reset()
                await stage.model.reset()
            yield stage
        finally:
            await stage.kill()
            await asyncio.to_thread(end_orphans, stage.home.mark)
            await stage.user.close()
            await stage.model.close()
            if far is None:
                await asyncio.to_thread(ends.stop)

    @property
    def output(self) -> str:
        """What all daemons of this stage have written to stdout and stderr."""
        files = sorted(self._root.glob("daemon-*.out"))
        return "".join(file.read_text(errors="replace") for file in files)

    @property
    def log(self) -> str:
        """The daemon's log."""
        file = self.home.log_file
        return file.read_text(errors="replace") if file.is_file() else ""

    def begin(
        self, *, before: Callable[[], None] | None = None, takeover: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start the daemon's process and return at once; `before` runs in it first of all."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agentos.cli", "up", *["--takeover"] * takeover],
            env=self.environment,
            cwd=self._root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before,
        )
        self._follow(process)
        return process

    def _follow(self, process: subprocess.Popen[bytes] | Forked) -> None:
        assert self.process is None or self.process.poll() is not None, "it is running already"
        self.process = process
        self._starts += 1
        # A pipe and not the file itself: what is done to the daemon's files must not touch it.
        file = self._root / f"daemon-{self._starts:03d}.out"
        self._drain = threading.Thread(target=_drain, args=(process, file), daemon=True)
        self._drain.start()

    async def start(self, *, within: timedelta = PATIENCE) -> dict[str, Any]:
        """Start the daemon, forked, and wait until it answers; returns its status."""
        process = Forked.agentos("up", environment=self.environment, folder=self._root)
        self._follow(process)
        deadline = time.monotonic() + within.total_seconds()
        while time.monotonic() < deadline:
            with suppress(DaemonUnreachable):
                status: dict[str, Any] = await self.control("daemon.status")
                if status["pid"] == process.pid:
                    return status
            if process.poll() is not None:
                raise AssertionError(f"the daemon has ended ({process.returncode}): {self.output}")
            await asyncio.sleep(0.03)
        raise AssertionError(f"the daemon does not answer: {self.output}")

    async def ended(self, *, within: timedelta = PATIENCE) -> int:
        """Wait for the daemon's end; returns its exit status."""
        assert self.process is not None and self._drain is not None, "it was never started"
        status = await asyncio.to_thread(self.process.wait, within.total_seconds())
        await asyncio.to_thread(self._drain.join, 2)  # its last words
        return status

    async def stop(self, *, within: timedelta = PATIENCE) -> int:
        """End the daemon as a service manager does; returns its exit status."""
        assert self.process is not None, "it was never started"
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(within=within)

    async def kill(self) -> None:
        """End the daemon with SIGKILL; what it started is left to itself. Again does nothing."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
        await asyncio.to_thread(self.process.wait)

    def children(self) -> list[psutil.Process]:
        """The processes that daemons of this home have started and that are still there."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                mark = process.environ().get("AGENTOS_CHILD", "")
                if mark.startswith(f"{self.home.mark}:"):
                    found.append(process)
        return found

    async def control(self, op: str, **params: Any) -> Any:
        """Run an operation of the daemon over its socket."""

        def call() -> Any:
            with ControlClient(self.home.socket) as client:
                return client.call(op, **params)

        return await asyncio.to_thread(call)

    async def advance(self, span: timedelta) -> None:
        """Move the daemon's clock; it has to run with AGENTOS_STANDINS__CLOCK=true."""
        await self.control("clock.advance", seconds=span.total_seconds())

    async def said(self) -> list[str]:
        """The texts of all that the bot has said to the owner, as they look now."""
        return by_bot(await self.user.chat())

    def listed(self, noun: str) -> list[dict[str, Any]]:
        """The newest rows of a noun (job, task, project), as `pm` tells them."""
        told = self.pm(noun, "list", "--json")
        assert told.returncode == 0, told.stderr
        rows: list[dict[str, Any]] = json.loads(told.stdout)
        return rows

    def pm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `pm` to its end."""
        return self.run("pm", *arguments)

    def agentos(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `agentos` to its end."""
        return self.run("agentos.cli", *arguments)

    def run(
        self, module: str, *arguments: str, typed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of this home to its end."""
        return subprocess.run(
            [sys.executable, "-P", "-m", module, *arguments],
            env=self.environment,
            cwd=self._root,
            input=typed,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


def by_bot(view: ChatView) -> list[str]:
    """The texts of all that the bot has said in a chat, as they look now."""
    return [message.text for message in view.messages if message.by == "bot"]


def _drain(process: subprocess.Popen[bytes] | Forked, file: Path) -> None:
    """Copy what a process says into a file, until it and all it has started are gone."""
    assert process.stdout is not None
    with process.stdout as pipe, file.open("wb", buffering=0) as copy:
        while part := os.read(pipe.fileno(), 65536):
            copy.write(part)


def _environment(home: Home, far: FarEnds) -> dict[str, str]:
    """Nothing of this machine's owner, and quick loops."""
    outside = home.root.parent / "user"
    outside.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(outside),
        "LANG": "C.UTF-8",
        "AGENTOS_HOME": str(home.root),
        "AGENTOS_OWNER__TIMEZONE": "Europe/Berlin",
        "AGENTOS_TELEGRAM__TOKEN": TOKEN,
        "AGENTOS_TELEGRAM__BASE_URL": far.bot.url,
        "AGENTOS_TELEGRAM__OWNER_ID": OWNER_ID,
        "AGENTOS_CLAUDE__BASE_URL": far.messages.url,
        "AGENTOS_ENGINE__TICK_SECONDS": "1",
        # A machine that is busy with tests must not keep work from starting.
        "AGENTOS_CAPACITY__MOST_LOAD": "1000",
        "AGENTOS_STANDINS__CLOCK": "true",
        # Who tests memory turns it on: a clock that is moved makes each talk one that is over.
        "AGENTOS_MEMORY__CAPTURE": "false",
        "AGENTOS_MEMORY__EMBEDDER": "",
    }
