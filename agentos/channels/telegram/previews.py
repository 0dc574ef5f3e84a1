"""Answers while they are being written: Telegram's own drafts, or edits where there are none."""

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial

from telegram import Bot
from telegram.error import BadRequest, RetryAfter, TelegramError

from agentos import log as logs
from agentos.channels.telegram.address import Address
from agentos.channels.telegram.formatting import Piece, styled, tail
from agentos.channels.telegram.leniency import UNNUMBERED
from agentos.channels.telegram.pace import Pace
from agentos.channels.telegram.parts import preview_of
from agentos.channels.telegram.refusals import (
    is_topic_gone,
    is_unknown_method,
    may_have_arrived,
    seconds_to_wait,
)
from agentos.domain.talk import Message
from agentos.store import messages
from agentos.store.database import Database

log = logs.get(__name__)

_DRAFT_SECONDS = 0.5
_EDIT_SECONDS = 1.0
_REMEMBERED = 200


@dataclass
class _Preview:
    """What is known of one answer's preview. The lock keeps it from overtaking the answer."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    closed: bool = False
    not_before: float = 0.0
    # The message that shows it, when it is one.
    external_id: str | None = None


class Previews:
    """The half-written answers of one bot."""

    def __init__(self, bot: Bot, *, database: Database, pace: Pace) -> None:
        self._bot = bot
        self._database = database
        self._pace = pace
        self._drafts = True
        self._open: dict[int, _Preview] = {}

    async def show(self, message: Message, *, at: Address, text: str) -> None:
        """Show the answer so far; dropped when the last one is still on its way or just came."""
        assert message.id is not None
        preview = self._of(message.id)
        too_soon = preview.closed or preview.lock.locked()
        if too_soon or time.monotonic() < preview.not_before or not text.strip():
            return
        async with preview.lock:
            try:
                await self._show(message.id, preview, at=at, piece=tail(styled(text)))
            except TelegramError as error:
                self._failed(preview, at=at, error=error)
        # Counted from the end, so that a slow server is not asked more often than it answers.
        pause = _DRAFT_SECONDS if self._can_draft(at) else _EDIT_SECONDS
        preview.not_before = max(preview.not_before, time.monotonic() + pause)

    async def finish(self, message_id: int) -> str | None:
        """No more previews of this answer; returns the message that shows one, if that is known."""
        preview = self._of(message_id)
        preview.closed = True
        async with preview.lock:
            return preview.external_id

    def forget(self, message_id: int) -> None:
        """The answer has taken the preview's place."""
        self._of(message_id).external_id = None

    async def _show(self, message_id: int, preview: _Preview, *, at: Address, piece: Piece) -> None:
        chat_id = at.chat_id
        if self._can_draft(at):
            # Within the id's 31 bits, and never 0.
            draft_id = message_id % 2**31 or 1
            await self._bot.send_message_draft(
                chat_id,
                draft_id,
                piece.text,
                message_thread_id=at.thread,
                entities=piece.entities or None,
                read_timeout=5,
            )
        elif not self._pace.spare(chat_id):
            return
        elif preview.external_id is not None:
            await self._bot.edit_message_text(
                piece.text,
                chat_id,
                int(preview.external_id),
                entities=piece.entities or None,
                link_preview_options=preview_of(piece),
            )
            self._pace.spend(chat_id)
        else:
            sent = await self._bot.send_message(
                chat_id,
                piece.text,
                entities=piece.entities or None,
                link_preview_options=preview_of(piece),
                **at.fields,
            )
            self._pace.spend(chat_id)
            if sent.message_id == UNNUMBERED:
                preview.closed = True  # it could never be edited
                return
            preview.external_id = str(sent.message_id)
            await self._database.write(
                partial(
                    messages.set_preview, message_id=message_id, external_id=preview.external_id
                )
            )

    def _can_draft(self, at: Address) -> bool:
        """There are no drafts in groups, which have negative ids."""
        return self._drafts and at.chat_id > 0 and not at.direct

    def _failed(self, preview: _Preview, *, at: Address, error: TelegramError) -> None:
        log.debug("telegram_preview_failed", error=error.message)
        if isinstance(error, RetryAfter):
            preview.not_before = time.monotonic() + seconds_to_wait(error)
        elif is_topic_gone(error):
            preview.closed = True  # the answer is said elsewhere
        elif self._can_draft(at) and (is_unknown_method(error) or isinstance(error, BadRequest)):
            log.info("telegram_drafts_unsupported", error=error.message)
            self._drafts = False
        elif not self._can_draft(at) and preview.external_id is None and may_have_arrived(error):
            # A half-written answer may stand there under an id that is not known: not another.
            preview.closed = True

    def _of(self, message_id: int) -> _Preview:
        if message_id not in self._open and len(self._open) >= _REMEMBERED:
            del self._open[next(iter(self._open))]
        return self._open.setdefault(message_id, _Preview())
