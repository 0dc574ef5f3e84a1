"""The Telegram channel: one bot, one owner, behind the port that all channels share."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from telegram import BotCommand
from telegram.error import InvalidToken, TelegramError

from agentos import log as logs
from agentos.channels.telegram import files
from agentos.channels.telegram.address import Address
from agentos.channels.telegram.connection import connect, unknown_token
from agentos.channels.telegram.door import Door
from agentos.channels.telegram.groups import Groups
from agentos.channels.telegram.intake import Intake
from agentos.channels.telegram.live import Live
from agentos.channels.telegram.pace import Pace
from agentos.channels.telegram.polling import Poller
from agentos.channels.telegram.presence import Presence
from agentos.channels.telegram.previews import Previews
from agentos.channels.telegram.sending import Sender
from agentos.domain.ports import Clock, Reception
from agentos.domain.progress import Mark
from agentos.domain.talk import Message, Outgoing
from agentos.errors import StoreUnusable
from agentos.settings import Telegram
from agentos.store.database import Database

log = logs.get(__name__)

_COMMANDS = (
    BotCommand("help", "What I can do"),
    BotCommand("status", "What is going on"),
    BotCommand("jobs", "The last jobs"),
    BotCommand("stop", "Stop what is running"),
    BotCommand("cards", "What waits for you"),
    BotCommand("remember", "Remember something"),
    BotCommand("forget", "Forget something"),
    BotCommand("why", "What I had in mind"),
)


def _silent(_words: str) -> None:
    """Announce to nobody; the log has it."""


class TelegramChannel:
    """One bot. `attach` it to a reception before `run`.

    `announce` gets a line for people, once at each turn of events: cannot be reached, is back.
    """

    name = "telegram"
    edits_in_place = True

    def __init__(
        self,
        settings: Telegram,
        *,
        database: Database,
        clock: Clock,
        pairing_code: str,
        announce: Callable[[str], None] = _silent,
        longest_pause: timedelta = timedelta(seconds=30),
    ) -> None:
        self._settings = settings
        self._connection = connect(settings)
        bot = self._connection.bot
        self._door = Door(
            database, clock=clock, owner_id=settings.owner_id, pairing_code=pairing_code
        )
        self._pace = Pace()
        self._presence = Presence(bot)
        self._previews = Previews(bot, database=database, pace=self._pace)
        self._live = Live(bot, pace=self._pace)
        self._sender = Sender(bot, database=database, previews=self._previews, pace=self._pace)
        self._groups = Groups(bot)
        self._intake = Intake(
            bot, clock=clock, door=self._door, groups=self._groups, presence=self._presence
        )
        self._username: str | None = None
        self._poller = Poller(
            self._connection,
            take=self._intake.take,
            announce=announce,
            longest_pause=longest_pause,
        )

    @property
    def status(self) -> str:
        """How it stands, in a few words: "connected", or what is wrong."""
        return self._poller.status

    @property
    def owner(self) -> int | None:
        """The owner's Telegram id; None before the pairing."""
        return self._door.owner

    def pairing_link(self, code: str) -> str | None:
        """A link that opens the chat and sends the code; None while the bot's name is unknown."""
        return f"https://t.me/{self._username}?start={code}" if self._username else None

    def attach(self, reception: Reception) -> None:
        """Say where messages, edits and taps are brought."""
        self._intake.reception = reception

    async def check(self) -> str:
        """Ask the server who we are; a line for people. An unreachable server is only told of.

        Raises Misconfigured when the server does not know the token.
        """
        try:
            me = await self._connection.bot.get_me()
        except InvalidToken as error:
            raise unknown_token(self._settings) from error
        except TelegramError as error:
            self._poller.expect_trouble()
            log.warning("telegram_unreachable", error=error.message)
            return f"Telegram cannot be reached now ({error.message}); I keep trying."
        self._groups.introduce(me)
        self._username = me.username
        return f"Telegram: @{me.username}" if me.username else f"Telegram: {me.first_name}"

    async def run(self) -> None:
        """Receive until cancelled; an update is committed before it is confirmed."""
        greeting = asyncio.create_task(self._introduce())
        try:
            await self._know_owner()
            await self._poller.run()
        finally:
            greeting.cancel()
            await asyncio.gather(greeting, return_exceptions=True)

    async def close(self) -> None:
        """Let go of the connections. What is not delivered stays in the outbox."""
        await self._intake.close()
        await self._presence.close()
        await self._connection.close()

    async def acknowledge(self, message: Message) -> None:
        """Show 👀 at the message and "typing…" in its chat. Best effort."""
        await self._presence.seen(Address.parse(message.conversation), message_id=_id_of(message))

    async def mark(self, message: Message, mark: Mark) -> None:
        """Let the reaction at the message follow what comes of it. Best effort."""
        at = Address.parse(message.conversation)
        await self._presence.mark(at, message_id=_id_of(message), mark=mark)

    async def progress(self, row: Outgoing, *, text: str) -> bool:
        """Change what a row shows; its buttons stay. False when it was left as it is."""
        at = Address.parse(row.conversation)
        return await self._live.show(row, chat_id=at.chat_id, text=text)

    async def preview(self, message: Message, *, text: str) -> None:
        """Show the answer so far. Best effort: too fast or refused, and it is dropped."""
        try:
            at = Address.parse(message.conversation)
            await self._previews.show(message, at=at, text=text)
        except StoreUnusable as error:
            log.debug("telegram_preview_failed", error=str(error))

    async def fetch(self, attachment: dict[str, Any], *, folder: Path) -> Path:
        """Bring a file of a message into a folder. Raises BadRequest or ChannelDown."""
        return await files.fetch(self._connection.bot, attachment, folder=folder)

    async def ready(self, conversation: str) -> None:
        """Return when the chat may be written to without going too fast."""
        await self._pace.turn(Address.parse(conversation).chat_id)

    async def deliver(self, row: Outgoing) -> str | None:
        """Say one outbox row; returns the id of its last message."""
        at = Address.parse(row.conversation)
        self._presence.quiet(at)
        return await self._sender.send(row, at=at)

    async def _know_owner(self) -> None:
        """Read who the owner is, however long the database takes."""
        while True:
            try:
                await self._door.look()
                return
            except StoreUnusable as error:
                log.warning("owner_unknown", error=str(error))
                await asyncio.sleep(1)

    async def _introduce(self) -> None:
        """Put the commands into the bot's menu."""
        await self._presence.try_call(
            "setMyCommands", lambda: self._connection.bot.set_my_commands(_COMMANDS)
        )


def _id_of(message: Message) -> int | None:
    """Telegram's id of a message; one that a card's answer became has none."""
    told = message.external_message_id or ""
    return int(told) if told.isdigit() else None
