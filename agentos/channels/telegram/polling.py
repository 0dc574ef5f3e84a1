"""The long poll: an update is taken in first, and only then confirmed by asking for the next."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from telegram import Update
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from agentos import log as logs
from agentos.channels.telegram.connection import Connection
from agentos.channels.telegram.refusals import seconds_to_wait
from agentos.errors import StoreUnusable

log = logs.get(__name__)

_WAIT = timedelta(seconds=25)
# How long to wait in the first poll after trouble, to know soon that it is over. Of two programs
# that poll, the newer poll wins: only one that ran undisturbed for a while says we are alone.
_AT_ONCE = timedelta(0)
_UNDISTURBED = timedelta(seconds=5)
_KINDS = (Update.MESSAGE, Update.EDITED_MESSAGE, Update.CALLBACK_QUERY)
_CONNECTED = "connected"


class Poller:
    """Asks one bot for its updates, for as long as it lives, whatever the other side does."""

    def __init__(
        self,
        connection: Connection,
        *,
        take: Callable[[Update], Awaitable[None]],
        announce: Callable[[str], None],
        longest_pause: timedelta = timedelta(seconds=30),
    ) -> None:
        self._connection = connection
        self._take = take
        self._announce = announce
        self._longest_pause = longest_pause.total_seconds()
        self._offset: int | None = None
        self._failures = 0
        self._wait = _AT_ONCE
        # How it stands, in a few words for people.
        self.status = "connecting"

    def expect_trouble(self) -> None:
        """It is known, and said, that the server does not answer: it is not said again."""
        self._failures = max(self._failures, 1)

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            try:
                updates = await self._ask()
            except TelegramError as error:
                await self._bear(error)
                continue
            # Nothing is unconfirmed after an empty answer. Without an offset the next numbers may
            # be lower: Telegram starts anew after a week without updates.
            self._offset = self._offset if updates else None
            for update in updates:
                if not await self._taken(update):
                    break
                self._offset = max(self._offset or 0, update.update_id + 1)
            else:
                if not (updates and self._wait == _UNDISTURBED):
                    self._well()

    async def _taken(self, update: Update) -> bool:
        """Take an update in; False when it must be delivered again, since it was not kept."""
        try:
            await self._take(update)
        except StoreUnusable as error:
            self._trouble(f"messages wait at Telegram: {error}")
            await self._pause()
            return False
        except Exception:  # the channel edge: one update must not stop those after it
            log.exception("update_failed", update_id=update.update_id, update=update.to_json())
        return True

    async def _ask(self) -> list[Update]:
        bot = self._connection.bot
        try:
            return list(
                await bot.get_updates(
                    offset=self._offset, timeout=self._wait, allowed_updates=_KINDS
                )
            )
        except TelegramError:
            raise
        except Exception:  # noqa: BLE001 - the channel edge: the library could not read one
            return self._readable()

    def _readable(self) -> list[Update]:
        """The updates of the last reply one by one; one that is not readable is only logged."""
        found = []
        try:
            listed = list(json.loads(self._connection.polls.last_reply)["result"])
        except (ValueError, KeyError, TypeError) as error:
            raise TelegramError("the answer is not one of the Bot API's") from error
        for raw in listed:
            try:
                update = Update.de_json(raw, self._connection.bot)
            except Exception:  # the channel edge
                log.exception("update_unreadable", update_id=raw["update_id"], update=raw)
                update = Update(int(raw["update_id"]))
            found.append(update)
        return found

    async def _bear(self, error: TelegramError) -> None:
        """Wait for what is wrong to pass, and say once what it is."""
        self._wait = _UNDISTURBED if isinstance(error, Conflict) else _AT_ONCE
        match error:
            case RetryAfter():
                await asyncio.sleep(seconds_to_wait(error))
                return
            case Conflict() if "webhook" in error.message.lower():
                self._trouble("a webhook is set for this bot; I take it off and ask myself")
                await self._drop_webhook()
            case Conflict():
                self._trouble("another program reads this bot's messages; I take over when it ends")
            case InvalidToken():
                self._trouble("the bot token is refused; get a new one from @BotFather")
            case _:
                self._trouble(f"Telegram cannot be reached ({error.message}); I keep trying")
        await self._pause()

    async def _drop_webhook(self) -> None:
        try:
            await self._connection.bot.delete_webhook(drop_pending_updates=False)
        except TelegramError as error:
            log.debug("webhook_stays", error=error.message)

    async def _pause(self) -> None:
        pause = min(0.5 * 2 ** min(self._failures, 10), self._longest_pause)
        self._failures += 1
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - it spreads load

    def _trouble(self, words: str) -> None:
        if self._failures == 0:
            log.warning("telegram_trouble", problem=words)
            self._announce(f"Telegram: {words.rstrip('.')}.")
        self.status = words

    def _well(self) -> None:
        if self._failures:
            log.info("telegram_recovered", failures=self._failures)
            self._announce("Telegram: connected again.")
        self._failures = 0
        self._wait = _WAIT
        self.status = _CONNECTED
