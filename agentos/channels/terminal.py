"""The terminal as a channel. It has no socket of its own: it adds its words to the control socket.

A terminal attaches with `chat.attach` and from then on is told what is said ("said", confirmed with
`chat.got`), what is being written ("preview") and what has arrived ("ack"). While nobody is
attached, what is to be said waits in the outbox.
"""

import asyncio
import mimetypes
import shutil
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection

from agentos import log
from agentos.channels.terminal_work import work_of
from agentos.control.operations.operation import Params, RowId, validated
from agentos.control.peer import Peer
from agentos.control.server import AsyncOperation
from agentos.control.wire import TERMINAL
from agentos.domain.ports import Clock, Reception
from agentos.domain.progress import Mark
from agentos.domain.states import OutboxState
from agentos.domain.talk import Message, Outgoing
from agentos.errors import BadRequest, ChannelDown
from agentos.store import rows
from agentos.store.database import Database

_CONFIRM_SECONDS = 30.0
_LARGEST_FILE = 100 * 1024 * 1024
_MOST_REPEATED = 200
_FIRST_PROGRESS = timedelta(seconds=10)
_PROGRESS_SECONDS = 60.0
_log = log.get(__name__)


class Say(Params):
    """Something the owner typed. The same key again changes nothing."""

    text: Annotated[str, Field(max_length=8_000_000)]
    key: Annotated[str, Field(min_length=1, max_length=200)]
    files: Annotated[list[str], Field(default_factory=list, max_length=20)]


class Attach(Params):
    """A terminal that wants to be told; what was said after an outbox row is said to it again."""

    since_outbox_id: Annotated[int, Field(ge=0)] | None = None


class Got(Params):
    """The terminal has shown an outbox row."""

    outbox_id: RowId


class Tap(Params):
    """The owner chose an option of a card."""

    card_id: RowId
    key: Annotated[str, Field(min_length=1, max_length=64)]


class State(Params):
    """How far a message is."""

    message_id: RowId


class TerminalChannel:
    """Talking through `agentos chat`."""

    name = "terminal"
    # What is printed stays; the result says how it ended.
    edits_in_place = False

    def __init__(self, database: Database, *, clock: Clock, reception: Reception) -> None:
        self._database = database
        self._clock = clock
        self._reception = reception
        self._peers: set[Peer] = set()
        self._somebody = asyncio.Event()
        # By outbox row, when its progress may be told again.
        self._progress_due: dict[int, float] = {}
        # Outbox rows that were pushed and not confirmed yet.
        self._pushed: dict[int, asyncio.Future[None]] = {}

    @property
    def status(self) -> str:
        """Always there: what is to be said waits until somebody attaches."""
        return "ready"

    def operations(self) -> dict[str, AsyncOperation]:
        """What this channel adds to the control socket."""
        return {
            "chat.say": self._say,
            "chat.attach": self._attach,
            "chat.got": self._got,
            "chat.tap": self._tap,
            "chat.state": self._state,
        }

    async def run(self) -> None:
        """Wait until cancelled: what comes in comes by the control socket."""
        await asyncio.get_running_loop().create_future()

    async def acknowledge(self, message: Message) -> None:
        """Tell the terminals that a message has arrived."""
        self._offer("ack", message_id=message.id)

    async def preview(self, message: Message, *, text: str) -> None:
        """Show the answer so far to whoever is attached and keeps up."""
        self._offer("preview", message_id=message.id, text=text)

    async def mark(self, message: Message, mark: Mark) -> None:
        """There is no sign at what was typed."""

    async def progress(self, row: Outgoing, *, text: str) -> bool:
        """Tell whoever is attached how the work of a row is getting on: a line now and then.

        What is printed stays, and somebody may be typing.
        """
        assert row.id is not None
        now = time.monotonic()
        is_new = self._clock.now() - row.created_at < _FIRST_PROGRESS
        if not self._peers or is_new or now < self._progress_due.get(row.id, 0.0):
            return False
        if len(self._progress_due) > _MOST_REPEATED:
            self._progress_due.clear()
        self._progress_due[row.id] = now + _PROGRESS_SECONDS
        self._offer("progress", job_id=row.job_id, text=text)
        return True

    async def fetch(self, attachment: dict[str, Any], *, folder: Path) -> Path:
        """Copy a file that was named in the terminal. Raises BadRequest when that cannot be."""
        return await asyncio.to_thread(_copy, Path(attachment["path"]), folder)

    async def ready(self, conversation: str) -> None:
        """Return when a terminal is attached."""
        await self._somebody.wait()

    async def deliver(self, row: Outgoing) -> str | None:
        """Push a row to all terminals; returns when the first has shown it. Raises ChannelDown."""
        assert row.id is not None
        shown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pushed[row.id] = shown
        try:
            if not await self._push(row):
                raise ChannelDown(channel=self.name, problem="no terminal is attached")
            async with asyncio.timeout(_CONFIRM_SECONDS):
                await shown
        except TimeoutError as error:
            problem = "no terminal said that it has shown it"
            raise _uncertain(ChannelDown(channel=self.name, problem=problem)) from error
        finally:
            self._pushed.pop(row.id, None)
        return str(row.id)

    async def _push(self, row: Outgoing) -> bool:
        """Send a row to everybody attached; whether anybody was."""
        sent = False
        for peer in list(self._peers):
            with suppress(ConnectionError):
                await peer.push("said", **_told(row))
                sent = True
        return sent

    def _offer(self, event: str, **fields: Any) -> None:
        for peer in self._peers:
            peer.offer(event, **fields)

    async def _attach(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        words = validated(Attach, params, op="chat.attach")
        # What is in the outbox already was meant for whoever came next.
        newest = await self._database.query(_newest_id)
        self._peers.add(peer)
        peer.on_close(lambda: self._detach(peer))
        self._somebody.set()
        if (since := words.since_outbox_id) is not None:
            # A row that is delivered meanwhile may come twice; none is missed.
            for row in await self._database.query(lambda c: _said_since(c, since)):
                await peer.push("said", **_told(row))
        return {"conversation": TERMINAL, "newest_outbox_id": newest}

    def _detach(self, peer: Peer) -> None:
        self._peers.discard(peer)
        if self._peers:
            return
        self._somebody.clear()
        gone = ChannelDown(channel=self.name, problem="the terminal was closed")
        for shown in self._pushed.values():
            if not shown.done():
                shown.set_exception(_uncertain(gone))

    async def _say(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        words = validated(Say, params, op="chat.say")
        message = Message(
            channel=self.name,
            conversation=TERMINAL,
            external_id=words.key,
            external_message_id=words.key,
            text=words.text,
            attachments=[_attachment(Path(file)) for file in words.files],
            received_at=self._clock.now(),
        )
        stored = await self._reception.receive(message)
        if stored is None:
            stored = await self._database.query(lambda c: _known(c, words.key))
        return {"message_id": stored.id}

    async def _got(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        words = validated(Got, params, op="chat.got")
        shown = self._pushed.get(words.outbox_id)
        if shown is not None and not shown.done():
            shown.set_result(None)
        return {}

    async def _tap(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        words = validated(Tap, params, op="chat.tap")
        toast = await self._reception.tapped(card_id=words.card_id, key=words.key, via=self.name)
        return {"toast": toast}

    async def _state(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        words = validated(State, params, op="chat.state")
        return await self._database.query(lambda c: work_of(c, words.message_id))


def _told(row: Outgoing) -> dict[str, Any]:
    return {
        "outbox_id": row.id,
        "key": row.key,
        "text": row.text,
        "buttons": row.buttons,
        "file": row.file_path,
        "message_id": row.message_id,
        "job_id": row.job_id,
        "card_id": row.card_id,
        "edits_id": row.edits_id,
        "uncertain": row.uncertain,
    }


def _uncertain(error: ChannelDown) -> ChannelDown:
    error.uncertain = True
    return error


def _said_since(connection: Connection, outbox_id: int) -> list[Outgoing]:
    said = rows.newest(
        connection, Outgoing, limit=_MOST_REPEATED, conversation=TERMINAL, state=OutboxState.sent
    )
    return [row for row in reversed(said) if (row.id or 0) > outbox_id]


def _newest_id(connection: Connection) -> int:
    newest = rows.newest(connection, Outgoing, limit=1, conversation=TERMINAL)
    return newest[0].id or 0 if newest else 0


def _known(connection: Connection, key: str) -> Message:
    channel = TerminalChannel.name
    return rows.newest(connection, Message, limit=1, channel=channel, external_id=key)[0]


def _attachment(file: Path) -> dict[str, Any]:
    if not file.is_absolute() or not file.is_file():
        raise BadRequest(problem=f"there is no file {file}")
    size = file.stat().st_size
    mime = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    kind = "photo" if mime.startswith("image/") else "document"
    return {
        "kind": kind,
        "path": str(file),
        "name": file.name,
        "size": size,
        "mime": mime,
        "too_big": size > _LARGEST_FILE,
        "limit_megabytes": _LARGEST_FILE >> 20,
    }


def _copy(source: Path, folder: Path) -> Path:
    try:
        if (size := source.stat().st_size) > _LARGEST_FILE:
            limit = _LARGEST_FILE >> 20
            raise BadRequest(problem=f"{source.name} has {size >> 20} MB; I can take {limit} MB")
        target = folder / source.name
        shutil.copyfile(source, target)
    except OSError as error:
        problem = f"{source.name} cannot be read ({error.strerror or error})"
        raise BadRequest(problem=problem) from error
    return target
