"""A message as the stand-in keeps it, as the Bot API tells it, and as a person sees it."""

import json
from dataclasses import dataclass, field
from typing import Any

from agentos.standins.bot.text import Styled

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file on Telegram's side. `content` None: only its size is real."""

    file_id: str
    kind: str  # the Bot API field it arrives in: document, photo, voice, audio, video
    name: str
    size: int
    content: bytes | None = None
    mime_type: str = "application/octet-stream"

    @property
    def path(self) -> str:
        """The file_path that getFile gives."""
        return f"{self.kind}s/{self.file_id}/{self.name}"

    def to_api(self) -> Json:
        """The Document, Voice..., without the field name."""
        told: Json = {
            "file_id": self.file_id,
            "file_unique_id": f"u{self.file_id}",
            "file_size": self.size,
        }
        match self.kind:
            case "photo":
                return {**told, "width": 640, "height": 480}
            case "voice":
                return {**told, "duration": 1, "mime_type": "audio/ogg"}
            case "video":
                told |= {"duration": 1, "width": 640, "height": 480}
            case "audio":
                told |= {"duration": 1}
        return {**told, "file_name": self.name, "mime_type": self.mime_type}


@dataclass(slots=True, kw_only=True)
class StoredMessage:
    """One message of a chat; the bot's edits change it in place."""

    message_id: int
    chat: Json
    sender: Json
    by_bot: bool
    date: int
    styled: Styled = field(default_factory=Styled)
    file: StoredFile | None = None
    reply_to: "StoredMessage | None" = None
    markup: Json | None = None
    thread_id: int | None = None
    silent: bool = False
    forward: Json | None = None
    album: str | None = None
    quote: str | None = None
    edits: int = 0
    edited_at: int | None = None
    reactions: list[str] = field(default_factory=list)

    @property
    def inline_buttons(self) -> list[Json]:
        """The buttons of an inline keyboard, row by row, flat."""
        rows = (self.markup or {}).get("inline_keyboard", [])
        return [button for row in rows for button in row]

    def to_api(self, *, with_reply: bool = True) -> Json:
        """The Message object. A replied-to message does not tell what it replied to in turn."""
        told: Json = {
            "message_id": self.message_id,
            "from": self.sender,
            "chat": self.chat,
            "date": self.date,
        }
        words = "text" if self.file is None else "caption"
        marks = "entities" if self.file is None else "caption_entities"
        if self.file is not None:
            one = self.file.to_api()
            told[self.file.kind] = [one] if self.file.kind == "photo" else one
        if self.styled.text:
            told[words] = self.styled.text
        if self.styled.entities:
            told[marks] = self.styled.entities
        if with_reply and self.reply_to is not None:
            told["reply_to_message"] = self.reply_to.to_api(with_reply=False)
        if self.inline_buttons:
            told["reply_markup"] = self.markup
        in_topic = self.chat.get("is_forum") or self.chat["type"] == "private"
        quote = {"text": self.quote, "position": 0, "is_manual": True}
        extras = {
            "is_topic_message": True if self.thread_id is not None and in_topic else None,
            "quote": quote if self.quote is not None else None,
            "message_thread_id": self.thread_id,
            "edit_date": self.edited_at,
            "forward_origin": self.forward,
            "media_group_id": self.album,
        }
        told |= {name: value for name, value in extras.items() if value is not None}
        return told

    def seen(self) -> Json:
        """The message as it looks on a person's screen now."""
        return {
            "message_id": self.message_id,
            "by": "bot" if self.by_bot else "user",
            "at": self.date,
            "text": self.styled.text,
            "entities": self.styled.entities,
            "buttons": [_button(one) for one in self.inline_buttons],
            "keyboard": _labels(self.markup),
            "edits": self.edits,
            "reactions": list(self.reactions),
            "document": _file_seen(self.file),
            "silent": self.silent,
            "reply_to": self.reply_to.message_id if self.reply_to else None,
            "thread_id": self.thread_id,
        }

    def same_as(self, *, styled: Styled, markup: Json | None) -> bool:
        """Whether an edit to this would change nothing."""
        return (self.styled, _canonical(self.markup)) == (styled, _canonical(markup))


def _canonical(markup: Json | None) -> str:
    rows = (markup or {}).get("inline_keyboard") or None
    return json.dumps(rows, sort_keys=True)


def _button(button: Json) -> Json:
    return {
        "label": button["text"],
        "data": button.get("callback_data"),
        "url": button.get("url"),
    }


def _labels(markup: Json | None) -> list[list[str]]:
    """The rows of labels, of an inline keyboard or of one under the text field."""
    markup = markup or {}
    rows = markup.get("inline_keyboard") or markup.get("keyboard") or []
    return [[one if isinstance(one, str) else one["text"] for one in row] for row in rows]


def _file_seen(file: StoredFile | None) -> Json | None:
    if file is None:
        return None
    return {"kind": file.kind, "name": file.name, "size": file.size, "file_id": file.file_id}
