"""The terminal's side of a conversation: what was said, which options are open, what is done."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from agentos.control.link import Link

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Option:
    """One button of a card."""

    label: str
    card_id: int
    key: str


@dataclass(frozen=True)
class Said:
    """One outbox row, as a terminal is told it."""

    outbox_id: int
    text: str
    options: tuple[Option, ...] = ()
    file: Path | None = None
    message_id: int | None = None
    job_id: int | None = None
    card_id: int | None = None
    edits_id: int | None = None
    uncertain: bool = False
    # What is new in it: all of it, or the lines in which it differs from the row that it edits.
    news: str = ""


class Listener(Protocol):
    """Who is shown what comes in."""

    async def said(self, said: Said) -> None:
        """Show a row. It counts as delivered when this returns."""
        ...

    def preview(self, message_id: int, text: str) -> None:
        """Show the answer so far."""
        ...

    def arrived(self, message_id: int) -> None:
        """Show that a message has arrived."""
        ...

    def working(self, text: str) -> None:
        """Show how some work is getting on."""
        ...


class Conversation:
    """Talks over a link that is attached; `listen` runs beside everything else."""

    def __init__(self, link: Link, *, listener: Listener) -> None:
        self._link = link
        self._listener = listener
        self._seen: set[int] = set()
        self._cards: dict[int, tuple[Option, ...]] = {}
        self._texts: dict[int, str] = {}
        self._heard = asyncio.Event()
        # Rows up to this one were in the outbox before this terminal came.
        self.newest_before = 0

    async def attach(self) -> None:
        """Say that we are here; from now on we are told what is said."""
        told = await self._link.call("chat.attach")
        self.newest_before = int(told.get("newest_outbox_id", 0))

    async def listen(self) -> None:
        """Show what comes in, and confirm it, until the daemon is gone: then DaemonUnreachable."""
        while (event := await self._link.events.get()) is not None:
            match event.get("event"):
                case "said":
                    await self._take(read_said(event))
                case "preview":
                    self._listener.preview(int(event["message_id"]), str(event["text"]))
                case "ack":
                    self._listener.arrived(int(event["message_id"]))
                case "progress":
                    self._listener.working(str(event["text"]))
                case _:  # a daemon of a newer version
                    pass
        await self._link.call("daemon.status")  # says why it is gone

    async def say(self, text: str, *, files: list[Path] | None = None) -> int:
        """Send a message; returns its id. The key makes a repeated call change nothing."""
        paths = [str(path) for path in files or ()]
        # What a shell hands on may not be text; it must not be refused for that.
        text = text.encode("utf-8", "replace").decode()
        told = await self._link.call("chat.say", text=text, key=uuid4().hex, files=paths)
        return int(told["message_id"])

    async def tap(self, option: Option) -> str:
        """Choose an option; returns the few words it brings."""
        told = await self._link.call("chat.tap", card_id=option.card_id, key=option.key)
        self._cards.pop(option.card_id, None)
        return str(told.get("toast") or "")

    async def state(self, message_id: int) -> dict[str, Any]:
        """How far a message is; `done` says whether anything is still to come."""
        told: dict[str, Any] = await self._link.call("chat.state", message_id=message_id)
        return told

    async def until_done(self, message_id: int, *, within: timedelta) -> dict[str, Any]:
        """Wait until all that a message started has ended and was said. Raises TimeoutError."""
        pause = _FIRST_PAUSE_SECONDS
        async with asyncio.timeout(within.total_seconds()):
            while not (state := await self.state(message_id))["done"]:
                self._heard.clear()
                # Something that was said is a hint that something has ended.
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._heard.wait()
                pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
        return state

    def choice(self, typed: str) -> Option | None:
        """The option that was typed: its number on the newest card, or its label on any."""
        words = typed.strip().casefold()
        cards = list(reversed(self._cards.values()))
        if words.isdecimal() and cards and 1 <= int(words) <= len(cards[0]):
            return cards[0][int(words) - 1]
        for options in cards:
            for option in options:
                if words and words in (option.label.strip().casefold(), option.key.casefold()):
                    return option
        return None

    async def _take(self, said: Said) -> None:
        if said.outbox_id not in self._seen:
            self._seen.add(said.outbox_id)
            self._remember_card(said)
            await self._listener.said(replace(said, news=self._news(said)))
        await self._link.call("chat.got", outbox_id=said.outbox_id)
        self._heard.set()

    def _news(self, said: Said) -> str:
        """A terminal cannot change what it has printed, so of an edit it prints what changed."""
        before = self._texts.get(said.edits_id or 0, "")
        self._texts[said.edits_id or said.outbox_id] = said.text
        if said.file is not None and said.text == said.file.name:
            return ""
        known = set(before.split("\n"))
        return "\n".join(line for line in said.text.split("\n") if not line or line not in known)

    def _remember_card(self, said: Said) -> None:
        """Keep the options of a newly shown card; forget those that an edit took away."""
        if said.options:
            card_id = said.options[0].card_id
            self._cards.pop(card_id, None)
            self._cards[card_id] = said.options
        elif said.edits_id is not None and said.card_id is not None:
            self._cards.pop(said.card_id, None)


def read_said(event: dict[str, Any]) -> Said:
    """A pushed row as we know it."""
    buttons = [button for line in event.get("buttons") or () for button in line]
    file = event.get("file")
    return Said(
        outbox_id=int(event["outbox_id"]),
        text=str(event.get("text") or ""),
        options=tuple(option for button in buttons if (option := _option(button)) is not None),
        file=Path(file) if file else None,
        message_id=event.get("message_id"),
        job_id=event.get("job_id"),
        card_id=event.get("card_id"),
        edits_id=event.get("edits_id"),
        uncertain=bool(event.get("uncertain")),
    )


def _option(button: dict[str, str]) -> Option | None:
    """The option behind a button: its data is "card:<id>:<key>"."""
    kind, _, rest = str(button.get("data", "")).partition(":")
    card_id, _, key = rest.partition(":")
    if kind != "card" or not card_id.isdecimal() or not key:
        return None
    return Option(label=str(button.get("label", key)), card_id=int(card_id), key=key)


async def attached(conversation: Conversation, talk: Callable[[], Awaitable[int]]) -> int:
    """Listen while talking. Raises DaemonUnreachable when the daemon goes away meanwhile."""
    await conversation.attach()
    talking = asyncio.ensure_future(talk())
    listening = asyncio.ensure_future(conversation.listen())
    try:
        await asyncio.wait({talking, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not talking.done():
            await listening  # raises why
        return await talking
    finally:
        for task in (talking, listening):
            task.cancel()
        # What a cancelled task still has to say was said above, or is of no interest any more.
        await asyncio.gather(talking, listening, return_exceptions=True)
