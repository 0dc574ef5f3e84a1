"""The webhook: Telegram brings each update, and is answered when it is kept."""

import asyncio
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from telegram import Update
from telegram.error import RetryAfter, TelegramError

from agentos import log as logs
from agentos.channels.telegram.connection import Connection
from agentos.channels.telegram.leniency import complete
from agentos.channels.telegram.polling import KINDS
from agentos.channels.telegram.refusals import in_words, seconds_to_wait
from agentos.channels.telegram.standing import Standing
from agentos.errors import StoreUnusable
from agentos.loopback.listening import Call, Listener, Reply

log = logs.get(__name__)

_HEADER = "x-telegram-bot-api-secret-token"
# Far more than an update is ever long.
_LARGEST = 1_000_000
# How often it is asked whether the webhook is still ours.
_LOOK_SECONDS = 120.0


class Webhook:
    """Has the updates of one bot brought, in order: one connection, one update at a time.

    The secret is a new one with each start. An update that comes with the old one is refused, and
    comes again with the new.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        url: str,
        listener: Listener,
        take: Callable[[Update], Awaitable[None]],
        standing: Standing,
    ) -> None:
        self._connection = connection
        self._url = url
        self._take = take
        self._standing = standing
        self._secret = secrets.token_urlsafe(32)
        self._turn = asyncio.Lock()
        listener.add(urlsplit(url).path or "/", self.answer, method="POST")

    async def run(self) -> None:
        """See to it that Telegram knows where to bring the updates, until cancelled."""
        is_set = False
        while True:
            try:
                if not is_set:
                    await self._set()
                    is_set = True
                else:
                    is_set = await self._is_ours()
                    if not is_set:
                        continue
            except RetryAfter as error:
                await asyncio.sleep(seconds_to_wait(error))
                continue
            except TelegramError as error:
                self._standing.trouble(f"it cannot be reached ({in_words(error)}); I keep trying")
                await self._standing.pause()
                continue
            await asyncio.sleep(_LOOK_SECONDS)

    async def answer(self, call: Call) -> Reply:
        """One request. The update is kept before 200 is answered; else it comes again."""
        told = call.headers.get(_HEADER, "")
        if not hmac.compare_digest(told.encode("utf-8", "replace"), self._secret.encode()):
            return Reply(403)
        body = await call.read(most=_LARGEST)
        if body is None:
            return Reply(413)
        try:
            raw = json.loads(body)
            number = int(raw["update_id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return Reply(400)
        async with self._turn:
            return await self._kept(raw, number=number)

    async def _kept(self, raw: object, *, number: int) -> Reply:
        try:
            await self._take(self._read(raw))
        except StoreUnusable as error:
            self._standing.trouble(f"messages wait at Telegram: {error}")
            return Reply(503)
        except Exception:  # the channel edge: one update must not stop those after it
            log.exception("update_failed", update_id=number, update=raw)
        self._standing.well()
        return Reply()

    def _read(self, raw: object) -> Update:
        """The update, with what it lacks filled in, as in an answer to a poll."""
        reply = json.dumps({"ok": True, "result": [raw]}).encode()
        (whole,) = json.loads(complete("getUpdates", reply))["result"]
        return Update.de_json(whole, self._connection.bot)

    async def _set(self) -> None:
        await self._connection.bot.set_webhook(
            self._url, allowed_updates=KINDS, secret_token=self._secret, max_connections=1
        )
        log.info("webhook_set", url=self._url)
        self._standing.well()

    async def _is_ours(self) -> bool:
        """Whether updates still come here; why they do not is told."""
        info = await self._connection.bot.get_webhook_info()
        if info.url != self._url:
            self._standing.trouble("another program took this bot's messages; I take them back")
            await self._standing.pause()
            return False
        if info.last_error_message and info.pending_update_count:
            self._standing.trouble(f"Telegram cannot reach the webhook: {info.last_error_message}")
        else:
            self._standing.well()
        return True
