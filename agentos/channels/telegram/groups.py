"""Groups: whether a message there is meant for the bot, and who reads along."""

import re
import time

import telegram
from telegram import Bot, MessageEntity
from telegram.constants import ChatType
from telegram.error import TelegramError

from agentos import log as logs

log = logs.get(__name__)

# How long the answer of the server is believed; who joins is also seen at once.
_BELIEVED_SECONDS = 300.0
_OWNER_AND_BOT = 2


class Groups:
    """What one bot knows of the groups it is in."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._me: telegram.User | None = None
        # Chat -> whether only the owner and the bot are in it, and until when that is believed.
        self._alone: dict[int, tuple[bool, float]] = {}

    def introduce(self, me: telegram.User) -> None:
        """This is the bot itself."""
        self._me = me

    def look_again(self, chat_id: int) -> None:
        """Somebody has come into a chat."""
        self._alone.pop(chat_id, None)

    async def is_alone(self, message: telegram.Message) -> bool:
        """Whether nobody but the sender and the bot reads along; when in doubt, somebody does."""
        chat = message.chat.id
        known, until = self._alone.get(chat, (False, 0.0))
        if time.monotonic() < until:
            return known
        try:
            alone = await self._bot.get_chat_member_count(chat) <= _OWNER_AND_BOT
        except TelegramError as error:
            log.debug("members_unknown", chat=chat, error=error.message)
            alone = False
        # Somebody could see the history who comes in by a public name.
        alone = alone and not message.chat.username
        self._alone[chat] = (alone, time.monotonic() + _BELIEVED_SECONDS)
        return alone

    async def is_meant(self, message: telegram.Message) -> bool:
        """Whether a message calls the bot: "@bot", a reply to it, or a command addressed to it."""
        me = await self._myself()
        if me is None:
            return False
        reply = message.reply_to_message
        # A topic's first message is "replied to" by whatever is said in it.
        if reply is not None and reply.from_user is not None and reply.from_user.id == me.id:
            return reply.forum_topic_created is None
        found = {**message.parse_entities(), **message.parse_caption_entities()}
        return any(_calls(entity, text, me=me) for entity, text in found.items())

    def without_call(self, text: str) -> str:
        """A text without the "@bot" it begins or ends with."""
        if self._me is None or not self._me.username:
            return text
        handle = re.escape(f"@{self._me.username}")
        bare = re.sub(rf"^\s*{handle}\b[\s,:]*|\s+{handle}\s*$", "", text, flags=re.IGNORECASE)
        return bare or text

    async def _myself(self) -> telegram.User | None:
        if self._me is None:
            try:
                self._me = await self._bot.get_me()
            except TelegramError as error:
                log.warning("myself_unknown", error=error.message)
        return self._me


def _calls(entity: MessageEntity, text: str, *, me: telegram.User) -> bool:
    """Whether a marked part of a text names the bot."""
    handle = f"@{me.username}".casefold()
    match entity.type:
        case MessageEntity.TEXT_MENTION:
            return entity.user is not None and entity.user.id == me.id
        case MessageEntity.MENTION:
            return text.casefold() == handle
        case MessageEntity.BOT_COMMAND:
            return text.casefold().endswith(handle)
    return False


def is_group(chat: telegram.Chat) -> bool:
    """Whether several people may be in a chat."""
    return chat.type in (ChatType.GROUP, ChatType.SUPERGROUP)
