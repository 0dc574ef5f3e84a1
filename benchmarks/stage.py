"""The whole system as real processes on loopback: a home, the stand-ins and the daemon."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from agentos.control.client import ControlClient
from agentos.errors import DaemonUnreachable
from agentos.home import Home
from agentos.standins.bot.world import OWNER_ID
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import TelegramUser

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "1000001:stand-in"
_START_WITHIN = timedelta(seconds=60)
_STOP_WITHIN = timedelta(seconds=15)


def variables(home: Home, *, bot_url: str, model_url: str, **more: str) -> dict[str, str]:
    """The environment of the daemon and of `pm`: nothing of the person who runs this."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home.root.parent),
        "PYTHONPATH": str(ROOT),
        "AGENTOS_HOME": str(home.root),
        "AGENTOS_OWNER__TIMEZONE": "Europe/Berlin",
        "AGENTOS_TELEGRAM__TOKEN": TOKEN,
        "AGENTOS_TELEGRAM__BASE_URL": bot_url,
        "AGENTOS_TELEGRAM__OWNER_ID": str(OWNER_ID),
        "AGENTOS_CLAUDE__BASE_URL": model_url,
        # Each message is counted by its own answer.
        "AGENTOS_TALK__DEBOUNCE_SECONDS": "0",
        **more,
    }


class Daemon:
    """`agentos up` as a child process with a session of its own."""

    def __init__(self, home: Home, *, environment: Mapping[str, str]) -> None:
        self.home = home
        self.environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id, of the last start."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> Path:
        """What it said at its starts."""
        return self.home.root.parent / "up.out"

    def start(self, *, takeover: bool = False) -> None:
        """Start it; it is not awaited."""
        more = ["--takeover"] if takeover else []
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "agentos.cli", "up", *more],
                env=self.environment,
                cwd=self.home.root.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def answers(self) -> None:
        """Return when it takes requests. Raises TimeoutError, or RuntimeError when it ended."""
        deadline = time.monotonic() + _START_WITHIN.total_seconds()
        while time.monotonic() < deadline:
            if not self.running:
                raise RuntimeError(f"the daemon ended: {self.output.read_text()[-2000:]}")
            try:
                await self.call("daemon.status")
            except DaemonUnreachable:
                await asyncio.sleep(0.02)
            else:
                return
        raise TimeoutError("the daemon does not answer")

    async def call(self, op: str, **params: Any) -> Any:
        """One operation over its control socket."""

        def ask() -> Any:
            with ControlClient(self.home.socket) as client:
                return client.call(op, **params)

        return await asyncio.to_thread(ask)

    async def take_over(self) -> None:
        """Have a new one take the place of the one that runs; returns when that has ended."""
        before = self._process
        self.start(takeover=True)
        if before is not None:
            await asyncio.to_thread(before.wait, _START_WITHIN.total_seconds())

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait()

    async def stop(self) -> None:
        """End it as its owner does; kill it when it does not go."""
        if self._process is None or not self.running:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, _STOP_WITHIN.total_seconds())
        except subprocess.TimeoutExpired:
            self.kill()


class Stage:
    """A home in a temporary folder, both stand-ins, the person, and the daemon (not started).

    Use as a context manager; nothing of it is left behind.
    """

    def __init__(self, **settings: str) -> None:
        self._settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="agentos-bench-"))
        self.home = Home(self.folder / "home")

    async def __aenter__(self) -> Self:
        self.bot = await StandinProcess.start("bot")
        self.model = await StandinProcess.start("messages")
        self.owner = TelegramUser(self.bot.url)
        self.script = MessagesControl(self.model.url)
        environment = variables(
            self.home, bot_url=self.bot.url, model_url=self.model.url, **self._settings
        )
        self.daemon = Daemon(self.home, environment=environment)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.daemon.stop()
        await self.owner.close()
        await self.script.close()
        await self.bot.stop()
        await self.model.stop()
        end_marked(self.home.mark)
        if error is not None and self.home.log_file.is_file():
            sys.stderr.write(self.home.log_file.read_text()[-4000:])
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, module: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run `python -m module` as the owner's shell would, to its end."""
        return subprocess.run(
            [sys.executable, "-P", "-m", module, *arguments],
            env=self.daemon.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=True,
        )


def marked(mark: str) -> list[psutil.Process]:
    """The processes that a daemon of this home has started, and what these have started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AGENTOS_CHILD", "").startswith(f"{mark}:"):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_marked(mark: str) -> None:
    """End what is left of a home's children."""
    for process in marked(mark):
        try:
            process.kill()
        except psutil.Error:
            continue


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that still run. A zombie does not."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
