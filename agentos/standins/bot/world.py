"""Telegram's side of it: chats, messages, files, taps. Only in memory, gone with the process."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agentos.standins.bot.message import StoredFile, StoredMessage
from agentos.standins.bot.refusal import bad
from agentos.standins.bot.text import Styled
from agentos.standins.bot.updates import UpdateQueue
from agentos.standins.changes import Changes

Json = dict[str, Any]

OWNER_ID = 7001


@dataclass(slots=True, kw_only=True)
class Chat:
    """One chat, with everything in it that still exists."""

    info: Json
    messages: dict[int, StoredMessage] = field(default_factory=dict)
    drafts: dict[int, str] = field(default_factory=dict)
    draft_changes: int = 0
    deleted: int = 0
    action: str | None = None
    pinned: int | None = None
    # With the bot.
    members: int = 2
    gone_topics: set[int] = field(default_factory=set)

    def message(self, message_id: int | None, *, otherwise: str) -> StoredMessage:
        """A message by id, or 400 with the words that the called method has for it."""
        found = self.messages.get(message_id or 0)
        if found is None:
            raise bad(otherwise)
        return found

    def seen(self) -> Json:
        """The chat as a person sees it now, oldest message first."""
        ordered = sorted(self.messages.values(), key=lambda message: message.message_id)
        return {
            "chat_id": self.info["id"],
            "messages": [message.seen() for message in ordered],
            "drafts": [{"draft_id": key, "text": text} for key, text in self.drafts.items()],
            "draft_changes": self.draft_changes,
            "deleted": self.deleted,
            "action": self.action,
            "pinned": self.pinned,
        }


class World:
    """All that the bot and the people in its chats share."""

    def __init__(self, *, bot_id: int) -> None:
        self.bot: Json = {
            "id": bot_id,
            "is_bot": True,
            "first_name": "agentos stand-in",
            "username": "agentos_standin_bot",
        }
        self.updates = UpdateQueue()
        self.changed = Changes()
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, StoredFile] = {}
        self.taps: dict[str, Json | None] = {}  # callback query id -> how it was answered
        self.profile: dict[str, Any] = {}
        self.webhook: Json = {}
        self._next_message = 1
        self._next_tap = 1
        # The owner has pressed Start once, or the bot could not write to them first.
        self.open_chat(OWNER_ID, kind="private", person=person(OWNER_ID))

    def open_chat(self, chat_id: int, *, kind: str, person: Json) -> Chat:
        """The chat with this id, made when it is not there yet."""
        if chat_id not in self.chats:
            info: Json = {"id": chat_id, "type": kind}
            if kind == "private":
                shown = ("first_name", "last_name", "username")
                info |= {key: person[key] for key in shown if key in person}
            else:
                info["title"] = f"Group {abs(chat_id)}"
            members = 2 if kind == "private" else 3
            self.chats[chat_id] = Chat(info=info, members=members)
        return self.chats[chat_id]

    def chat(self, chat_id: int | None) -> Chat:
        """A chat that the bot may write to, or 400 chat not found."""
        if chat_id is None:
            raise bad("chat_id is empty")
        if chat_id not in self.chats:
            raise bad("chat not found")
        return self.chats[chat_id]

    def post(
        self,
        chat: Chat,
        *,
        sender: Json,
        styled: Styled | None = None,
        file: StoredFile | None = None,
        reply_to: StoredMessage | None = None,
        markup: Json | None = None,
        thread_id: int | None = None,
        silent: bool = False,
        forward: Json | None = None,
        album: str | None = None,
        quote: str | None = None,
    ) -> StoredMessage:
        """Put a message into a chat. A message of the bot ends its drafts there."""
        message = StoredMessage(
            message_id=self._next_message,
            chat=chat.info,
            sender=sender,
            by_bot=sender is self.bot,
            date=int(time.time()),
            styled=styled or Styled(),
            file=file,
            reply_to=reply_to,
            markup=markup,
            thread_id=thread_id,
            silent=silent,
            forward=forward,
            album=album,
            quote=quote,
        )
        self._next_message += 1
        chat.messages[message.message_id] = message
        if message.by_bot:
            chat.drafts.clear()
            chat.action = None
        self.changed.fire()
        return message

    def keep_file(
        self, *, kind: str, name: str, content: bytes | None, size: int | None = None
    ) -> StoredFile:
        """Store a file; without content only its size is real."""
        number = len(self.files) + 1
        length = len(content) if content is not None else size or 0
        file = StoredFile(
            file_id=f"F{number:08d}", kind=kind, name=name, size=length, content=content
        )
        self.files[file.file_id] = file
        return file

    def new_tap(self) -> str:
        """A callback query id that may be answered."""
        tap_id = f"{9_000_000_000 + self._next_tap}"
        self._next_tap += 1
        self.taps[tap_id] = None
        return tap_id

    def newest_first(self, chat: Chat) -> Iterator[StoredMessage]:
        """The messages of a chat, the last one first."""
        return (chat.messages[number] for number in sorted(chat.messages, reverse=True))


def person(user_id: int, *, username: str | None = None, name: str | None = None) -> Json:
    """A User who is no bot."""
    told: Json = {"id": user_id, "is_bot": False, "first_name": name or "Owner"}
    told["language_code"] = "en"
    return {**told, "username": username} if username else told
