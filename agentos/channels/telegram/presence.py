"""Signs of life: a message was seen, an answer is being written. Best effort, all of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from telegram import Bot, ReactionTypeEmoji
from telegram.constants import ChatAction, ReactionEmoji
from telegram.error import TelegramError

from agentos import log as logs
from agentos.channels.telegram.address import Address
from agentos.channels.telegram.refusals import is_unknown_method
from agentos.domain.progress import Mark

log = logs.get(__name__)

# Telegram shows "typing" for five seconds; nobody believes it for more than a minute and a half.
_TYPING_SECONDS = 4.5
_TYPING_TIMES = 20
# Of the emoji that Telegram lets a bot react with; signs such as ⚙, ✅ and ⚠ are not among them.
_SIGNS = {
    Mark.seen: ReactionEmoji.EYES,
    Mark.working: ReactionEmoji.MAN_TECHNOLOGIST,
    Mark.asking: ReactionEmoji.THINKING_FACE,
    Mark.done: ReactionEmoji.THUMBS_UP,
    Mark.failed: ReactionEmoji.CRYING_FACE,
    Mark.stopped: ReactionEmoji.OK_HAND_SIGN,
}


class Presence:
    """Reactions and "typing…" in the chats of one bot."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._typing: dict[Address, asyncio.Task[None]] = {}
        self._missing: set[str] = set()

    async def seen(self, at: Address, *, message_id: int | None) -> None:
        """Show 👀 at the message, and that an answer is on its way."""
        self.quiet(at)
        typing = asyncio.create_task(self._type(at))
        self._typing[at] = typing
        typing.add_done_callback(lambda task: self._forget(at, task=task))
        await self.mark(at, message_id=message_id, mark=Mark.seen)

    async def mark(self, at: Address, *, message_id: int | None, mark: Mark) -> None:
        """Show how far it is as the one reaction at a message."""
        if message_id is None:
            return
        sign = [ReactionTypeEmoji(_SIGNS[mark])]
        await self.try_call(
            "setMessageReaction",
            lambda: self._bot.set_message_reaction(at.chat_id, message_id, sign),
        )

    def quiet(self, at: Address) -> None:
        """The answer is there: stop typing."""
        if task := self._typing.pop(at, None):
            task.cancel()

    async def try_call(self, method: str, call: Callable[[], Awaitable[Any]]) -> bool:
        """Make a call that may fail, and none again of a kind that the server does not know."""
        if method in self._missing:
            return False
        try:
            await call()
        except TelegramError as error:
            if is_unknown_method(error):
                self._missing.add(method)
            log.debug("telegram_nicety_failed", method=method, error=error.message)
            return False
        return True

    async def close(self) -> None:
        """Stop typing everywhere."""
        tasks = list(self._typing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _type(self, at: Address) -> None:
        for _ in range(_TYPING_TIMES):
            await self.try_call(
                "sendChatAction",
                lambda: self._bot.send_chat_action(
                    at.chat_id, ChatAction.TYPING, message_thread_id=at.thread
                ),
            )
            if "sendChatAction" in self._missing:
                return
            await asyncio.sleep(_TYPING_SECONDS)

    def _forget(self, at: Address, *, task: asyncio.Task[None]) -> None:
        if self._typing.get(at) is task:
            del self._typing[at]
