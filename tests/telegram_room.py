"""The Telegram channel for a test: real library, real database, a Bot API server to talk to."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from pydantic import SecretStr
from sqlalchemy import select

from agentos.channels.delivery import Deliverer
from agentos.channels.telegram.channel import TelegramChannel
from agentos.domain.clock import SystemClock
from agentos.domain.people import Person
from agentos.domain.states import OutboxState
from agentos.domain.talk import Card, CardKind, Message, OutboxKind, Outgoing
from agentos.errors import StoreUnusable
from agentos.settings import Telegram
from agentos.standins.bot.world import OWNER_ID
from agentos.store import cards, messages, outbox, rows
from agentos.store.database import Database

TOKEN = "1000001:stand-in"
CODE = "482-913"
CHAT = f"telegram:{OWNER_ID}"


class Desk:
    """A reception that keeps what it gets, and acknowledges it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.channel: TelegramChannel | None = None
        self.full_disk = False
        self.poison = ""
        self.taps: list[tuple[int, str, str]] = []
        self.presses: list[tuple[int, str, str]] = []

    async def receive(self, message: Message) -> Message | None:
        """Store it."""
        if self.full_disk:
            raise StoreUnusable(url="sqlite", problem="disk is full", mend="Free some space.")
        if self.poison and self.poison in message.text:
            raise ZeroDivisionError(self.poison)
        stored = await self.database.write(lambda c: messages.receive(c, message))
        if stored is not None and self.channel is not None:
            await self.channel.acknowledge(stored)
        return stored

    async def edited(
        self,
        *,
        channel: str,
        external_message_id: str,
        text: str,
        conversation: str | None = None,
    ) -> None:
        """Change it."""
        await self.database.write(
            lambda c: messages.edit(
                c,
                channel=channel,
                external_message_id=external_message_id,
                text=text,
                conversation=conversation,
            )
        )

    async def tapped(self, *, card_id: int, key: str, via: str) -> str:
        """Answer the card."""
        self.taps.append((card_id, key, via))
        at = SystemClock().now()
        fresh = await self.database.write(lambda c: cards.answer(c, card_id, key, via=via, at=at))
        return "Noted." if fresh else "That was answered before."

    async def pressed(self, *, job_id: int, verb: str, via: str) -> str:
        """Keep it."""
        self.presses.append((job_id, verb, via))
        return "Pressed."


class TelegramRoom(AbstractAsyncContextManager["TelegramRoom"]):
    """A channel with its deliverer, and short ways to ask about them. Entering starts them."""

    def __init__(
        self,
        database: Database,
        url: str,
        *,
        owner_id: int | None = OWNER_ID,
        token: str = TOKEN,
    ) -> None:
        self.database = database
        self.settings = Telegram(token=SecretStr(token), base_url=url, owner_id=owner_id)
        self.desk = Desk(database)
        self.announced: list[str] = []
        self.channel = TelegramChannel(
            self.settings,
            database=database,
            clock=SystemClock(),
            pairing_code=CODE,
            announce=self.announced.append,
            longest_pause=timedelta(seconds=0.5),
        )
        self.channel.attach(self.desk)
        self.desk.channel = self.channel
        self.deliverer = Deliverer(
            database,
            clock=SystemClock(),
            channel=self.channel,
            first_pause=timedelta(milliseconds=100),
            longest_pause=timedelta(seconds=1),
        )
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.receive()
        self.deliver()
        return self

    def receive(self) -> None:
        """Start receiving."""
        self._loops.append(asyncio.create_task(self.channel.run()))

    def deliver(self) -> None:
        """Start delivering."""
        self._loops.append(asyncio.create_task(self.deliverer.run()))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for loop in self._loops:
            loop.cancel()
        ended = await asyncio.gather(*self._loops, return_exceptions=True)
        await self.channel.close()
        faults = [one for one in ended if isinstance(one, Exception)]
        assert not faults, faults

    async def say(self, text: str, *, key: str, conversation: str = CHAT, **more: Any) -> int:
        """Put something into the outbox."""
        at = SystemClock().now()
        row = await self.database.write(
            lambda c: outbox.say(c, key=key, conversation=conversation, text=text, at=at, **more)
        )
        assert row.id is not None
        return row.id

    async def ask(self, question: str, *, options: list[str]) -> int:
        """Open a card and show it with a row of buttons; returns the card's id."""
        keys = [{"key": one.lower(), "label": one, "consequence": ""} for one in options]
        card = Card(
            kind=CardKind.ask,
            channel="telegram",
            conversation=CHAT,
            question=question,
            options=keys,
            created_at=SystemClock().now(),
        )
        made = await self.database.write(lambda c: cards.open_card(c, card))
        buttons = [
            [{"label": one["label"], "data": f"card:{made.id}:{one['key']}"} for one in keys]
        ]
        await self.say(question, key=f"card:{made.id}", buttons=buttons, card_id=made.id)
        assert made.id is not None
        return made.id

    async def row(self, outbox_id: int) -> Outgoing:
        """An outbox row as it is now."""
        return await self.database.query(lambda c: outbox.get(c, outbox_id))

    async def sent(self, outbox_id: int, *, seconds: float = 15) -> Outgoing:
        """Wait until a row is said."""
        return await self.becomes(outbox_id, OutboxState.sent, seconds=seconds)

    async def becomes(self, outbox_id: int, state: OutboxState, *, seconds: float = 15) -> Outgoing:
        """Wait until a row is in a state."""

        async def there() -> Outgoing | None:
            row = await self.row(outbox_id)
            return row if row.state is state else None

        found: Outgoing = await until(there, seconds=seconds)
        return found

    async def received(self) -> list[Message]:
        """All messages that are stored."""
        return await self.database.query(lambda c: messages.list_open(c))

    async def message(self, text: str, *, seconds: float = 15) -> Message:
        """Wait for the stored message with this text."""

        async def there() -> Message | None:
            return next((one for one in await self.received() if one.text == text), None)

        found: Message = await until(there, seconds=seconds)
        return found

    async def all_said(self) -> list[Outgoing]:
        """The whole outbox."""
        statement = select(outbox.OUTBOX).order_by(outbox.OUTBOX.c.id)
        return await self.database.query(lambda c: rows.fetch(c, Outgoing, statement))

    async def people(self) -> list[Person]:
        """Everybody who was met."""
        return await self.database.query(lambda c: rows.newest(c, Person, limit=100))

    async def send_file(self, path: Any, *, caption: str = "", photo: bool = False) -> int:
        """Put a file into the outbox."""
        kind = OutboxKind.photo if photo else OutboxKind.document
        return await self.say(caption, key=f"file:{path}", kind=kind, file_path=str(path))


async def until(true: Callable[[], Awaitable[Any]], *, seconds: float = 15) -> Any:
    """Wait until something holds; returns it."""
    async with asyncio.timeout(seconds):
        while not (found := await true()):
            await asyncio.sleep(0.02)
    return found


def free_port() -> int:
    """A port that nobody listens on, for now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
