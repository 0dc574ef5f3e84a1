"""The long poll: an update is taken in first, and only then confirmed by asking for the next."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

from telegram import Update
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from agentos import log as logs
from agentos.channels.telegram.connection import Connection
from agentos.channels.telegram.refusals import in_words, seconds_to_wait
from agentos.channels.telegram.standing import Standing
from agentos.errors import StoreUnusable

log = logs.get(__name__)

_WAIT = timedelta(seconds=25)
# How long to wait in the first poll after trouble, to know soon that it is over. Of two programs
# that poll, the newer poll wins: only one that ran undisturbed for a while says we are alone.
_AT_ONCE = timedelta(0)
_UNDISTURBED = timedelta(seconds=5)
KINDS = (Update.MESSAGE, Update.EDITED_MESSAGE, Update.CALLBACK_QUERY)


class Poller:
    """Asks one bot for its updates, for as long as it lives, whatever the other side does."""

    def __init__(
        self,
        connection: Connection,
        *,
        take: Callable[[Update], Awaitable[None]],
        standing: Standing,
    ) -> None:
        self._connection = connection
        self._take = take
        self._standing = standing
        self._offset: int | None = None
        self._wait = _AT_ONCE

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
                    self._wait = _WAIT
                    self._standing.well()

    async def _taken(self, update: Update) -> bool:
        """Take an update in; False when it must be delivered again, since it was not kept."""
        try:
            await self._take(update)
        except StoreUnusable as error:
            self._standing.trouble(f"messages wait at Telegram: {error}")
            await self._standing.pause()
            return False
        except Exception:  # the channel edge: one update must not stop those after it
            log.exception("update_failed", update_id=update.update_id, update=update.to_json())
        return True

    async def _ask(self) -> list[Update]:
        bot = self._connection.bot
        try:
            return list(
                await bot.get_updates(
                    offset=self._offset, timeout=self._wait, allowed_updates=KINDS
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
                self._standing.trouble(
                    "a webhook is set for this bot; I take it off and ask myself"
                )
                await self._drop_webhook()
            case Conflict():
                self._standing.trouble(
                    "another program reads this bot's messages; I take over when it ends"
                )
            case InvalidToken():
                self._standing.trouble("the bot token is refused; get a new one from @BotFather")
            case _:
                self._standing.trouble(
                    f"Telegram cannot be reached ({in_words(error)}); I keep trying"
                )
        await self._standing.pause()

    async def _drop_webhook(self) -> None:
        try:
            await self._connection.bot.delete_webhook(drop_pending_updates=False)
        except TelegramError as error:
            log.debug("webhook_stays", error=error.message)
