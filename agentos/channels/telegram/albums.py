"""Several files of one job as one album, instead of one message each."""

import asyncio
from functools import partial
from pathlib import Path

from sqlalchemy import Connection
from telegram import Bot, InputMediaDocument, InputMediaPhoto, Message, ReplyParameters
from telegram.error import BadRequest as Refused
from telegram.error import TelegramError

from agentos import log as logs
from agentos.channels.telegram import words
from agentos.channels.telegram.address import Address
from agentos.channels.telegram.formatting import CAPTION_LIMIT, Piece, pieces, shifted
from agentos.channels.telegram.pace import Pace
from agentos.channels.telegram.refusals import (
    answered_with_failure,
    is_too_large,
    is_unknown_method,
    translate,
)
from agentos.domain.ports import Clock
from agentos.domain.talk import OutboxKind, Outgoing
from agentos.errors import StoreUnusable
from agentos.store import outbox, rows
from agentos.store.database import Database

log = logs.get(__name__)

_MOST = 10
_PHOTO_LIMIT = 10 * 1024 * 1024
# All of an album goes up in one request.
_REQUEST_LIMIT = 45 * 1024 * 1024
_SETTLE_AGAIN_SECONDS = 0.5


class Albums:
    """Sends a row together with those behind it; each stays a row of its own.

    They are taken for sending in one transaction and settled in one. So a crash between leaves all
    of them uncertain, as it leaves a single one, and after it none of them is sent again.
    """

    def __init__(self, bot: Bot, *, database: Database, clock: Clock, pace: Pace) -> None:
        self._bot = bot
        self._database = database
        self._clock = clock
        self._pace = pace
        self._are_known = True
        # Rows whose album was refused: they go one by one.
        self._alone: set[int | None] = set()

    async def send(
        self, row: Outgoing, *, at: Address, reply: ReplyParameters | None
    ) -> str | None:
        """Send the row and what belongs to it; its message's id, or None when it has to go alone.

        Raises ChannelDown.
        """
        if not self._are_known or row.id in self._alone or not _can_join(row):
            return None
        taken = await self._database.write(partial(self._take, row=row))
        if len(taken) < 2:
            return None
        try:
            sent = await self._post(taken, at=at, reply=reply)
        except (TelegramError, OSError) as error:
            await self._failed(taken, error=error)
            return None
        for _ in sent:
            self._pace.spend(at.chat_id)
        await self._settle(partial(self._sent, taken=taken, sent=sent))
        return str(sent[0].message_id)

    def _take(self, connection: Connection, *, row: Outgoing) -> list[Outgoing]:
        """The row and those behind it that fit into one album, taken for sending."""
        taken, size = [row], _size(row)
        for other in outbox.list_behind(connection, row):
            fits = other.id not in self._alone and _can_join(other) and other.kind is row.kind
            if not fits or size + _size(other) > _REQUEST_LIMIT or len(taken) == _MOST:
                continue
            if len(_caption([*taken, other])) > 1:
                break
            if outbox.mark_sending(connection, other.id or 0):
                taken.append(other)
                size += _size(other)
        return taken

    async def _post(
        self, taken: list[Outgoing], *, at: Address, reply: ReplyParameters | None
    ) -> tuple[Message, ...]:
        caption = next(iter(_caption(taken)), Piece(""))
        if any(row.uncertain for row in taken):
            caption = shifted(caption, note=words.SENT_AGAIN)
        contents = await asyncio.to_thread(lambda: [_path(row).read_bytes() for row in taken])
        media = [
            _media(row, content, caption=caption if row is taken[0] else Piece(""))
            for row, content in zip(taken, contents, strict=True)
        ]
        return await self._bot.send_media_group(
            at.chat_id,
            media,
            disable_notification=taken[0].silent,
            reply_parameters=reply,
            read_timeout=60,
            **at.fields,
        )

    async def _failed(self, taken: list[Outgoing], *, error: TelegramError | OSError) -> None:
        """Give the others back; and let all go alone if no album of them will ever be taken."""
        down = translate(error, repeatable=False) if isinstance(error, TelegramError) else None
        uncertain = bool(getattr(down, "uncertain", False))
        await self._settle(partial(self._back, taken=taken, error=error, uncertain=uncertain))
        if isinstance(error, TelegramError) and is_unknown_method(error):
            self._are_known = False
        elif isinstance(error, TelegramError) and not (
            isinstance(error, Refused) or is_too_large(error) or answered_with_failure(error)
        ):
            assert down is not None
            raise down from error
        log.info("telegram_refused_album", files=len(taken), error=str(error))
        self._alone.update(row.id for row in taken)

    def _back(
        self, connection: Connection, *, taken: list[Outgoing], error: Exception, uncertain: bool
    ) -> None:
        now, told = self._clock.now(), logs.redact(str(error))
        for row in taken[1:]:
            outbox.mark_retry(connection, row.id or 0, at=now, error=told, uncertain=uncertain)

    def _sent(
        self, connection: Connection, *, taken: list[Outgoing], sent: tuple[Message, ...]
    ) -> None:
        """All are said; the first is marked as one that has nothing left to say."""
        now = self._clock.now()
        first, *others = zip(taken, sent, strict=False)
        said = f"1/{first[1].message_id}"
        rows.change(connection, Outgoing, first[0].id or 0, external_id=said)
        for row, message in others:
            told = str(message.message_id)
            outbox.mark_sent(connection, row.id or 0, external_id=told, at=now)

    async def _settle(self, write: "partial[None]") -> None:
        """Write down what became of the others, waiting out a full disk."""
        while True:
            try:
                await self._database.write(write)
                return
            except StoreUnusable as error:
                log.warning("album_unwritten", error=str(error))
            await asyncio.sleep(_SETTLE_AGAIN_SECONDS)


def _can_join(row: Outgoing) -> bool:
    """Whether a row is a file that Telegram takes, and nothing but that."""
    if row.file_path is None or row.buttons or row.job_id is None or row.edits_id is not None:
        return False
    limit = _PHOTO_LIMIT if row.kind is OutboxKind.photo else _REQUEST_LIMIT
    return row.kind is not OutboxKind.text and 0 < _size(row) <= limit


def _media(
    row: Outgoing, content: bytes, *, caption: Piece
) -> InputMediaPhoto | InputMediaDocument:
    name, said, found = _path(row).name, caption.text or None, caption.entities or None
    if row.kind is OutboxKind.photo:
        return InputMediaPhoto(content, filename=name, caption=said, caption_entities=found)
    return InputMediaDocument(content, filename=name, caption=said, caption_entities=found)


def _path(row: Outgoing) -> Path:
    return Path(row.file_path or "")


def _size(row: Outgoing) -> int:
    try:
        return _path(row).stat().st_size if _path(row).is_file() else 0
    except OSError:
        return 0


def _caption(taken: list[Outgoing]) -> list[Piece]:
    """What is said with the files; a document shows its name by itself."""
    said = [
        row.text
        for row in taken
        if row.kind is OutboxKind.photo or row.text.strip() != _path(row).name
    ]
    return pieces("\n".join(dict.fromkeys(said)), first=CAPTION_LIMIT)
