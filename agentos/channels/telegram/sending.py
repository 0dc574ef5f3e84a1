"""Saying outbox rows on Telegram: new messages, edits, files, long texts in parts."""

import asyncio
import dataclasses
import re
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection
from telegram import Bot, Message, ReplyParameters
from telegram.error import BadRequest as Refused
from telegram.error import TelegramError

from agentos import log as logs
from agentos.channels.telegram import words
from agentos.channels.telegram.address import Address
from agentos.channels.telegram.formatting import shifted
from agentos.channels.telegram.leniency import UNNUMBERED
from agentos.channels.telegram.pace import Pace
from agentos.channels.telegram.parts import Part, contents_of, parts_of, preview_of
from agentos.channels.telegram.previews import Previews
from agentos.channels.telegram.refusals import (
    answered_with_failure,
    is_gone,
    is_too_large,
    is_topic_gone,
    is_unknown_method,
    is_unmodified,
    translated,
)
from agentos.domain.talk import OutboxKind, Outgoing
from agentos.errors import BadRequest, StoreUnusable
from agentos.store import messages, outbox, rows
from agentos.store import shown as shown_rows
from agentos.store.database import Database

log = logs.get(__name__)

# In `external_id` while a row of several parts is under way: how many are said, the last id, and
# "t" when the file at its end is refused, and its text is sent instead.
_PROGRESS = re.compile(r"(?P<said>\d+)/(?P<last>\d+)(?P<as_texts>t?)")

# After so many tries a server that fails on a file is taken for one that cannot do files.
_OFTEN = 3


class FileRefused(Exception):
    """The server does not take a file that has a text to send instead."""


@dataclass(frozen=True)
class _Progress:
    """How many parts of a row are said, and the id of the last of them."""

    said: int = 0
    last: str = ""
    as_texts: bool = False

    @property
    def told(self) -> str:
        """As it is kept in the row."""
        return f"{self.said}/{self.last}{'t' if self.as_texts else ''}"


class Sender:
    """Sends the outbox rows of one bot."""

    def __init__(self, bot: Bot, *, database: Database, previews: Previews, pace: Pace) -> None:
        self._bot = bot
        self._database = database
        self._previews = previews
        self._pace = pace
        # Ids of parts that were said but could not be written down: a full disk, most likely.
        self._unwritten: dict[int, str] = {}

    async def send(self, row: Outgoing, *, at: Address) -> str | None:
        """Say a row; returns the id of its last message, or None when the server tells none.

        Raises ChannelDown or BadRequest.
        """
        progress = self._progress(row)
        parts = await asyncio.to_thread(parts_of, row, as_texts=progress.as_texts)
        if not parts:
            raise BadRequest(problem="there is nothing to say in it")
        if progress.said == 0 and (edited := await self._edit(row, parts[0], at.chat_id)):
            # What has no room in the message that is edited follows it.
            progress = _Progress(said=1, last=edited)
            await self._note(row, progress, total=len(parts))
        return await self._send_parts(row, parts, progress, at=at)

    async def _send_parts(
        self, row: Outgoing, parts: list[Part], progress: _Progress, *, at: Address
    ) -> str | None:
        uncertain, reply = row.uncertain, await self._reply_to(row)
        if progress.said == 0 and (shown := await self._finish_preview(row, parts[0], at.chat_id)):
            progress, uncertain = dataclasses.replace(progress, said=1, last=shown), False
            await self._note(row, progress, total=len(parts), preview=True)
        first = progress.said
        while progress.said < len(parts):
            index, part = progress.said, parts[progress.said]
            if index > first:
                await self._pace.turn(at.chat_id)
            elif uncertain:
                part = dataclasses.replace(part, piece=shifted(part.piece, note=words.SENT_AGAIN))
            try:
                sent = await self._send_forgivingly(
                    part,
                    at=at,
                    silent=row.silent,
                    reply=reply if index == 0 else None,
                    tried_often=row.attempts >= _OFTEN,
                )
            except FileRefused:
                parts = await asyncio.to_thread(parts_of, row, as_texts=True)
                progress = dataclasses.replace(progress, as_texts=True)
                continue
            progress = dataclasses.replace(progress, said=index + 1, last=str(sent.message_id))
            await self._note(row, progress, total=len(parts))
        assert row.id is not None
        self._unwritten.pop(row.id, None)
        return progress.last if progress.last != str(UNNUMBERED) else None

    async def _send_forgivingly(
        self,
        part: Part,
        *,
        at: Address,
        silent: bool,
        reply: ReplyParameters | None,
        tried_often: bool,
    ) -> Message:
        """Send a part, and plainer forms of it when the server refuses its form.

        A server that fails on a file again and again may never take one; the file is then told of,
        so that what is behind it in the conversation gets through. What was meant for a topic that
        is gone is said in the chat itself, with a note.
        """
        refusal: TelegramError | None = None
        with translated(repeatable=False):
            for form in part.easier():
                try:
                    sent = await self._send(form, at=at, silent=silent, reply=reply)
                    self._pace.spend(at.chat_id)
                    return sent
                except TelegramError as error:
                    if at.topic is not None and is_topic_gone(error):
                        piece = shifted(part.piece, note=words.TOPIC_GONE)
                        return await self._send_forgivingly(
                            dataclasses.replace(part, piece=piece),
                            at=at.chat,
                            silent=silent,
                            reply=None,
                            tried_often=tried_often,
                        )
                    hopeless = is_unknown_method(error) or (
                        tried_often and answered_with_failure(error)
                    )
                    is_refusal = isinstance(error, Refused) or is_too_large(error)
                    if not (is_refusal or (hopeless and form.is_file)):
                        raise
                    log.info("telegram_refused_form", kind=form.kind.value, error=error.message)
                    refusal = error
            assert refusal is not None
            if part.document is not None:
                raise FileRefused from refusal
            raise refusal

    async def _send(
        self, part: Part, *, at: Address, silent: bool, reply: ReplyParameters | None
    ) -> Message:
        text, entities = part.piece.text, part.piece.entities or None
        if not part.is_file:
            return await self._bot.send_message(
                at.chat_id,
                text,
                entities=entities,
                link_preview_options=preview_of(part.piece),
                reply_markup=part.buttons,
                disable_notification=silent,
                reply_parameters=reply,
                **at.fields,
            )
        file = await asyncio.to_thread(contents_of, part)
        if part.kind is OutboxKind.photo:
            return await self._bot.send_photo(
                at.chat_id,
                file,
                caption=text,
                caption_entities=entities,
                reply_markup=part.buttons,
                disable_notification=silent,
                reply_parameters=reply,
                **at.fields,
                read_timeout=60,
            )
        return await self._bot.send_document(
            at.chat_id,
            file,
            caption=text,
            caption_entities=entities,
            reply_markup=part.buttons,
            disable_notification=silent,
            reply_parameters=reply,
            **at.fields,
            read_timeout=60,
        )

    async def _edit(self, row: Outgoing, part: Part, chat_id: int) -> str | None:
        """Change what an earlier row shows; None when there is nothing any more to change."""
        if row.edits_id is None:
            return None
        before = await self._database.query(partial(outbox.get, outbox_id=row.edits_id))
        if before.external_id is None or not before.external_id.isdigit():
            return None
        captioned = before.kind is not OutboxKind.text
        shown = int(before.external_id)
        if await self._replace(part, chat_id=chat_id, message_id=shown, captioned=captioned):
            return before.external_id
        return None

    async def _replace(
        self, part: Part, *, chat_id: int, message_id: int, captioned: bool = False
    ) -> bool:
        """Put a part in the place of a message; False when that is gone. Twice is as once."""
        if part.is_file:
            return False
        with translated(repeatable=True):
            refusal: Refused | None = None
            for form in part.easier():
                try:
                    await self._put(form, chat_id, message_id, captioned=captioned)
                    self._pace.spend(chat_id)
                    return True
                except Refused as error:
                    if is_unmodified(error):
                        return True
                    if is_gone(error):
                        return False
                    refusal = error
            assert refusal is not None
            raise refusal

    async def _put(self, part: Part, chat_id: int, message_id: int, *, captioned: bool) -> None:
        text, entities = part.piece.text, part.piece.entities or None
        if captioned:
            await self._bot.edit_message_caption(
                chat_id,
                message_id,
                caption=text,
                caption_entities=entities,
                reply_markup=part.buttons,
            )
        else:
            await self._bot.edit_message_text(
                text,
                chat_id,
                message_id,
                entities=entities,
                link_preview_options=preview_of(part.piece),
                reply_markup=part.buttons,
            )

    async def _finish_preview(self, row: Outgoing, part: Part, chat_id: int) -> str | None:
        """Let the answer take the place of its preview; the message's id, or None without one."""
        of_answer = row.kind is OutboxKind.text and row.job_id is None and row.edits_id is None
        if row.message_id is None or not of_answer:
            return None
        fresh = await self._previews.finish(row.message_id)
        message = await self._database.query(partial(messages.get, message_id=row.message_id))
        shown = fresh or message.preview_external_id
        if not shown:
            return None
        find = partial(shown_rows.find, conversation=row.conversation, external_id=shown)
        taken = await self._database.query(find)
        # An answer that has taken the preview's place is not overwritten by what is said next.
        if taken is not None and taken.id != row.id:
            return None
        replaced = await self._replace(part, chat_id=chat_id, message_id=int(shown))
        self._previews.forget(row.message_id)
        return shown if replaced else None

    async def _reply_to(self, row: Outgoing) -> ReplyParameters | None:
        """Results quote what they answer, since much may have been said meanwhile."""
        if row.job_id is None or row.message_id is None:
            return None
        message = await self._database.query(partial(messages.get, message_id=row.message_id))
        asked = message.external_message_id
        if message.conversation != row.conversation or not (asked or "").isdigit():
            return None
        return ReplyParameters(int(asked or 0), allow_sending_without_reply=True)

    def _progress(self, row: Outgoing) -> _Progress:
        """How much of the row is said already."""
        assert row.id is not None
        found = _PROGRESS.fullmatch(self._unwritten.get(row.id) or row.external_id or "")
        if found is None:
            return _Progress()
        return _Progress(int(found["said"]), found["last"], as_texts=bool(found["as_texts"]))

    async def _note(
        self, row: Outgoing, progress: _Progress, *, total: int, preview: bool = False
    ) -> None:
        """Write down that a part is said, so that not even a crash says it twice."""
        assert row.id is not None
        if progress.said == total:
            return
        row_id, told = row.id, progress.told
        self._unwritten[row_id] = told

        def write(connection: Connection) -> None:
            rows.change(connection, Outgoing, row_id, external_id=told)
            shown_rows.note(connection, row, [progress.last])
            if preview and row.message_id is not None:
                messages.set_preview(connection, row.message_id, "")

        try:
            await self._database.write(write)
        except StoreUnusable as error:
            log.warning("progress_unwritten", outbox_id=row.id, error=str(error))
