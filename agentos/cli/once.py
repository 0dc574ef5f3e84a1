"""`agentos chat --message`: one message, its replies, and what came of it. For scripts."""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from agentos.cli.conversation import Conversation, Option, Said, attached
from agentos.cli.reach import reach
from agentos.cli.screen import describe
from agentos.control.plain import clean, one_line
from agentos.home import Home

DONE, FAILED, TIMED_OUT = 0, 1, 3


def run(
    *, home: Home, text: str, files: list[Path], wait: bool, within: timedelta, as_json: bool
) -> int:
    """Send one message; the status says how it went."""
    words = sys.stdin.read() if text == "-" else text
    return asyncio.run(_run(home, words, files=files, wait=wait, within=within, as_json=as_json))


async def _run(
    home: Home, text: str, *, files: list[Path], wait: bool, within: timedelta, as_json: bool
) -> int:
    async with reach(home, tell=_progress) as link:
        script = Script(quiet=as_json)
        script.conversation = Conversation(link, listener=script)

        async def talk() -> int:
            await script.send(text, files=files)
            return await script.wait(everything=wait, within=within)

        status = await attached(script.conversation, talk)
        if as_json:
            sys.stdout.write(json.dumps(script.report(), indent=2, ensure_ascii=False) + "\n")
        return status


class Script:
    """Follows one message: prints what belongs to it, and keeps the rest apart."""

    conversation: Conversation

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._replied = asyncio.Event()
        self._said: list[Said] = []
        self._other: list[Said] = []
        self._state: dict[str, Any] = {}
        self._sending: asyncio.Event | None = None
        self.message_id: int | None = None

    async def send(self, text: str, *, files: list[Path] | None = None) -> None:
        """Send a message; from now on this is the one that is followed."""
        self._sending = asyncio.Event()
        self.message_id = await self.conversation.say(text, files=files)
        self._sending.set()

    async def wait(self, *, everything: bool, within: timedelta) -> int:
        """Wait for the first reply, or for everything; the status says how it went."""
        assert self.message_id is not None
        try:
            if everything:
                await self.conversation.until_done(self.message_id, within=within)
            else:
                async with asyncio.timeout(within.total_seconds()):
                    await self._replied.wait()
        except TimeoutError:
            self._state = await self.conversation.state(self.message_id)
            _complain(f"Still not done after {within.total_seconds():g} s; it goes on.")
            return TIMED_OUT
        self._state = await self.conversation.state(self.message_id)
        return self._status(everything=everything)

    async def tap(self, option: Option) -> None:
        """Choose an option, as a person would."""
        if toast := await self.conversation.tap(option):
            self._print(toast)

    async def said(self, said: Said) -> None:
        """Print a row when it belongs to our message; another one goes to the error output."""
        if await self._is_ours(said):
            self._said.append(said)
            self._show(said)
            self._replied.set()
        else:
            self._other.append(said)
            if not self._quiet and said.text:
                _complain(f"(meanwhile) {one_line(said.text)}")
            if not self._quiet and said.file is not None:
                _complain(f"(meanwhile) {describe(said.file)}")

    def preview(self, message_id: int, text: str) -> None:
        """A script waits for the whole answer."""

    def arrived(self, message_id: int) -> None:
        """A script knows."""

    def working(self, text: str) -> None:
        """A script waits for the end."""

    def report(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "message_id": self.message_id,
            "done": bool(self._state.get("done")),
            "replies": [_told(said) for said in self._said],
            "files": [str(said.file) for said in self._said if said.file is not None],
            "jobs": self._state.get("jobs", []),
            "cards": self._state.get("cards", []),
            "other": [_told(said) for said in self._other],
        }

    async def _is_ours(self, said: Said) -> bool:
        if self._sending is not None:
            # A reply may be here before we are told what our message is called.
            await self._sending.wait()
        if self.message_id is None or said.outbox_id <= self.conversation.newest_before:
            return False
        if said.message_id == self.message_id:
            return True
        state = await self.conversation.state(self.message_id)
        if said.job_id is not None:
            return said.job_id in [job["id"] for job in state["jobs"]]
        # What names nothing, such as a note of the front desk, came because of what we said.
        return said.message_id is None or said.message_id in state["messages"]

    def _status(self, *, everything: bool) -> int:
        agents = [job for job in self._state["jobs"] if job["kind"] == "agent"]
        failed = [job for job in agents if job["state"] in ("failed", "cancelled")]
        for job in failed if everything else ():
            why = f": {one_line(job['error'])}" if job.get("error") else ""
            _complain(f"Job {job['id']} {job['state']}{why}")
        if not everything and any(not job["ended"] for job in agents):
            _complain("Its work goes on; --wait waits for it.")
        return FAILED if failed and everything else DONE

    def _show(self, said: Said) -> None:
        self._print(clean(said.news).strip())
        for number, option in enumerate(said.options, start=1):
            self._print(f"  {number} {one_line(option.label)}")
        if said.file is not None:
            self._print(describe(said.file))

    def _print(self, text: str) -> None:
        if text and not self._quiet:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()


def _told(said: Said) -> dict[str, Any]:
    return {
        "text": said.text,
        "file": None if said.file is None else str(said.file),
        "options": [
            {"label": option.label, "card_id": option.card_id, "key": option.key}
            for option in said.options
        ],
        "message_id": said.message_id,
        "job_id": said.job_id,
        "card_id": said.card_id,
        "edits_id": said.edits_id,
    }


def _complain(words: str) -> None:
    sys.stderr.write(words + "\n")


def _progress(words: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(words + "\n")
