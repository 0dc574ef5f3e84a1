"""What the story is played on: an empty home, the real daemon in it, a stand-in at each far end."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from agentos.control.client import ControlClient
from agentos.control.plain import clean
from agentos.demo.report import Stuck
from agentos.engine.recovery import end_orphans
from agentos.errors import DaemonUnreachable
from agentos.home import Home
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import Document, TelegramUser

OWNER = "Mila"
_TOKEN = "1000001:stand-in"  # noqa: S105 - the stand-in's, and good for nothing else
_OWNER_ID = "7001"
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")
# Whoever looks for a fault can turn these; tokens, keys and addresses of the owner stay outside.
_KEPT_SETTINGS = ("AGENTOS_ENGINE__", "AGENTOS_LOG__", "AGENTOS_OWNER__TIMEZONE")
_START_WITHIN = timedelta(seconds=30)
_STOP_WITHIN = timedelta(seconds=10)


class Stage:
    """A home, its daemon and those it talks with."""

    def __init__(self, root: Path, *, bot: StandinProcess, messages: StandinProcess) -> None:
        self.home = Home(root / "home")
        self.root = root
        # Whether the home stays behind, for whoever wants to see what went wrong.
        self.keep = False
        self.user = TelegramUser(bot.url)
        self.model = MessagesControl(messages.url)
        self._files = httpx.AsyncClient(base_url=bot.url, trust_env=False, timeout=20)
        self._environment = _environment(
            self.home, base=os.environ, bot=bot.url, messages=messages.url
        )
        self._daemon: subprocess.Popen[bytes] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Stage"]:
        """A stage in a new temporary folder; everything that runs on it is ended at the end."""
        async with (
            await StandinProcess.start("bot") as bot,
            await StandinProcess.start("messages") as messages,
        ):
            root = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="agentos-demo-"))
            stage = cls(root, bot=bot, messages=messages)
            try:
                yield stage
            finally:
                await stage._close()

    @property
    def is_up(self) -> bool:
        """Whether the daemon runs."""
        return self._daemon is not None and self._daemon.poll() is None

    async def start(self) -> dict[str, Any]:
        """Start the daemon and wait until it answers; returns its status. Raises Stuck."""
        output = self.root / "daemon.out"
        self._daemon = self._spawn(output)
        deadline = time.monotonic() + _START_WITHIN.total_seconds()
        while self.is_up and time.monotonic() < deadline:
            with suppress(DaemonUnreachable):
                status: dict[str, Any] = await self.control("daemon.status")
                return status
            await asyncio.sleep(0.05)
        said = clean(output.read_text(encoding="utf-8", errors="replace")).strip().splitlines()
        raise Stuck(f"the service did not start: {said[-1] if said else 'it said nothing'}")

    def _spawn(self, output: Path) -> subprocess.Popen[bytes]:
        with output.open("wb") as file:
            return subprocess.Popen(
                # -P: a file of the folder we are in must not take the place of a library.
                [sys.executable, "-P", "-m", "agentos.cli", "up"],
                env=self._environment,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                # Our Ctrl-C is not its: it is stopped in order.
                start_new_session=True,
            )

    async def stop(self) -> int | None:
        """End the daemon as a service manager does; returns its exit status, None when killed."""
        if self._daemon is None:
            return None
        with suppress(ProcessLookupError):
            self._daemon.terminate()
        try:
            return await asyncio.to_thread(self._daemon.wait, _STOP_WITHIN.total_seconds())
        except subprocess.TimeoutExpired:
            return None

    async def control(self, op: str, **params: Any) -> Any:
        """Run an operation of the daemon, as `pm` does."""

        def call() -> Any:
            with ControlClient(self.home.socket) as client:
                return client.call(op, **params)

        return await asyncio.to_thread(call)

    async def download(self, document: Document) -> bytes:
        """A file of the chat, fetched as any Telegram app does: getFile, then its content."""
        asked = await self._files.get(f"/bot{_TOKEN}/getFile", params={"file_id": document.file_id})
        asked.raise_for_status()
        path = asked.json()["result"]["file_path"]
        fetched = await self._files.get(f"/file/bot{_TOKEN}/{path}")
        fetched.raise_for_status()
        return fetched.content

    async def _close(self) -> None:
        await self.stop()
        if self._daemon is not None and self.is_up:
            self._daemon.kill()
            await asyncio.to_thread(self._daemon.wait)
        await asyncio.to_thread(end_orphans, self.home.mark)
        await self.user.close()
        await self.model.close()
        await self._files.aclose()
        if not self.keep:
            await asyncio.to_thread(shutil.rmtree, self.root, ignore_errors=True)


def _environment(home: Home, *, base: Mapping[str, str], bot: str, messages: str) -> dict[str, str]:
    """All that the daemon gets to see: nothing of a key, and a home of its own."""
    kept = {
        name: value
        for name, value in base.items()
        if name in _KEPT or name.upper().startswith(_KEPT_SETTINGS)
    }
    temporary = _temporary_folder(home)
    roots = [str(_PACKAGE_ROOT), *filter(None, [base.get("PYTHONPATH")])]
    return {
        "LANG": "C.UTF-8",
        **kept,
        "HOME": str(home.root.parent),
        "TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join(roots),
        "AGENTOS_HOME": str(home.root),
        "AGENTOS_OWNER__NAME": OWNER,
        "AGENTOS_TELEGRAM__TOKEN": _TOKEN,
        "AGENTOS_TELEGRAM__BASE_URL": bot,
        "AGENTOS_TELEGRAM__OWNER_ID": _OWNER_ID,
        "AGENTOS_CLAUDE__BASE_URL": messages,
        "AGENTOS_STANDINS__CLOCK": "true",
        "AGENTOS_TALK__DEBOUNCE_SECONDS": "0",
        # The clock is moved, and what is told here is nobody's to be remembered.
        "AGENTOS_MEMORY__CAPTURE": "false",
        "AGENTOS_MEMORY__EMBEDDER": "",
    }


def _temporary_folder(home: Home) -> Path:
    """One of its own, so that what programs leave there goes away with the rest."""
    if not home.socket.is_relative_to(home.root):
        # The socket of a home with a long name is in the temporary folder: we must share it then.
        return Path(tempfile.gettempdir())
    folder = home.root.parent / "tmp"
    folder.mkdir()
    return folder
