"""Progress on Telegram: a message that is changed in place while the work goes on. Best effort."""

import asyncio
import time

from telegram import Bot, LinkPreviewOptions
from telegram.error import BadRequest, RetryAfter, TelegramError

from agentos import log as logs
from agentos.channels.telegram.formatting import Piece, clean, tail
from agentos.channels.telegram.pace import Pace
from agentos.channels.telegram.parts import keyboard
from agentos.channels.telegram.refusals import is_gone, is_unmodified, seconds_to_wait
from agentos.domain.talk import Outgoing

log = logs.get(__name__)
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


class Live:
    """Changes messages of one bot; in each chat one at a time, and none when there is no hurry."""

    def __init__(self, bot: Bot, *, pace: Pace) -> None:
        self._bot = bot
        self._pace = pace
        self._locks: dict[int, asyncio.Lock] = {}
        self._not_before: dict[int, float] = {}
        # What the owner has deleted cannot be changed any more.
        self._gone: set[str] = set()

    async def show(self, row: Outgoing, *, chat_id: int, text: str) -> bool:
        """Let the message of a row show this; False when it was left as it is."""
        lock = self._locks.setdefault(chat_id, asyncio.Lock())
        shown = row.external_id or ""
        if lock.locked() or not shown.isdigit() or shown in self._gone:
            return False
        async with lock:
            if time.monotonic() < self._not_before.get(chat_id, 0.0):
                return False
            if not self._pace.spare(chat_id):
                return False
            try:
                await self._bot.edit_message_text(
                    tail(Piece(clean(text))).text,
                    chat_id,
                    int(shown),
                    reply_markup=keyboard(row.buttons) if row.buttons else None,
                    link_preview_options=_NO_PREVIEW,
                    read_timeout=5,
                )
            except TelegramError as error:
                return self._refused(error, chat_id=chat_id, shown=shown)
            self._pace.spend(chat_id)
            return True

    def _refused(self, error: TelegramError, *, chat_id: int, shown: str) -> bool:
        log.debug("telegram_progress_failed", error=error.message)
        if isinstance(error, RetryAfter):
            self._not_before[chat_id] = time.monotonic() + seconds_to_wait(error)
        elif isinstance(error, BadRequest):
            if is_gone(error):
                self._gone.add(shown)
            return is_unmodified(error)
        return False
