"""From a Telegram message to a row: its text as it is, and what hangs on it. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import telegram
from telegram import (
    MessageOriginChannel,
    MessageOriginChat,
    MessageOriginHiddenUser,
    MessageOriginUser,
)

from agentos.channels.telegram.address import Address
from agentos.channels.telegram.formatting import clean
from agentos.domain.talk import Message

DOWNLOAD_LIMIT = 20 * 1024 * 1024
_QUOTED = 4000
_FILES = ("document", "audio", "video", "voice", "video_note", "sticker")
_NAMES = {
    "document": "document",
    "audio": "audio.mp3",
    "video": "video.mp4",
    "voice": "voice.ogg",
    "video_note": "video.mp4",
    "sticker": "sticker.webp",
}
# Notes of Telegram about the chat: nobody said these.
_NOTES = (
    "pinned_message",
    "message_auto_delete_timer_changed",
    "write_access_allowed",
    "new_chat_members",
    "left_chat_member",
    "chat_background_set",
    "boost_added",
    "proximity_alert_triggered",
    "forum_topic_created",
    "forum_topic_edited",
    "forum_topic_closed",
    "forum_topic_reopened",
    "general_forum_topic_hidden",
    "general_forum_topic_unhidden",
    "group_chat_created",
    "supergroup_chat_created",
    "migrate_to_chat_id",
    "migrate_from_chat_id",
    "new_chat_title",
    "new_chat_photo",
    "delete_chat_photo",
    "video_chat_scheduled",
    "video_chat_started",
    "video_chat_ended",
    "video_chat_participants_invited",
)


def text_of(message: telegram.Message) -> str:
    """What was typed, under a file too; commands, emoji and any script as they are."""
    return clean(message.text or message.caption or "")


def to_message(message: telegram.Message, *, update_id: int, at: datetime) -> Message | None:
    """The row of what somebody said; None for Telegram's own notes about the chat."""
    attachments = [*_attachments(message)]
    text = text_of(message)
    if not text and not attachments:
        if any(getattr(message, name, None) for name in _NOTES):
            return None
        attachments = [{"kind": "other"}]
    if origin := message.forward_origin:
        attachments.append({"kind": "forward", "from": clean(_author(origin))})
    reply = message.reply_to_message
    if quote := _quote(message):
        attachments.append(quote)
    album = message.media_group_id
    if album is not None:
        # By this a part that is delivered again is known.
        attachments = [{**one, "update": str(update_id)} for one in attachments]
    return Message(
        channel="telegram",
        conversation=Address.of(message).conversation,
        external_id=str(update_id),
        external_message_id=str(message.message_id),
        reply_to_external_id=str(reply.message_id) if reply else None,
        text=text,
        attachments=attachments,
        album=clean(album)[:64] if album is not None else None,
        received_at=at,
    )


def _attachments(message: telegram.Message) -> Iterator[dict[str, Any]]:
    if message.photo:
        largest = max(message.photo, key=lambda size: size.width * size.height)
        yield _file("photo", largest, name="photo.jpg", mime="image/jpeg")
    for kind in _FILES:
        if (found := getattr(message, kind)) is not None:
            name = getattr(found, "file_name", None) or _NAMES[kind]
            yield _file(kind, found, name=name, mime=getattr(found, "mime_type", None))
    if contact := message.contact:
        name = " ".join(filter(None, [contact.first_name, contact.last_name]))
        yield {"kind": "contact", "name": clean(name), "phone": contact.phone_number}
    if venue := message.venue:
        yield {"kind": "venue", "name": clean(venue.title), "address": clean(venue.address)}
    if place := message.location:
        yield {"kind": "location", "latitude": place.latitude, "longitude": place.longitude}
    if poll := message.poll:
        options = [clean(option.text) for option in poll.options]
        yield {"kind": "poll", "question": clean(poll.question), "options": options}
    if dice := message.dice:
        yield {"kind": "dice", "emoji": dice.emoji, "value": dice.value}


def _file(kind: str, found: Any, *, name: str, mime: str | None) -> dict[str, Any]:
    """What `fetch` needs later; a file over 20 MB is told of too, but cannot be fetched."""
    told: dict[str, Any] = {
        "kind": kind,
        "file_id": found.file_id,
        "name": clean(name),
        "size": found.file_size,
        "mime": mime,
    }
    if emoji := getattr(found, "emoji", None):
        told["emoji"] = emoji
    if (found.file_size or 0) > DOWNLOAD_LIMIT:
        told["too_big"] = True
    return told


def _quote(message: telegram.Message) -> dict[str, Any] | None:
    """What is quoted: the part that was chosen, or all that somebody else wrote."""
    reply, chosen = message.reply_to_message, message.quote
    if reply is None and message.external_reply is None:
        return None
    whose = ""
    if reply is None and message.external_reply is not None:
        whose = _author(message.external_reply.origin)
    elif reply is not None and reply.from_user is not None:
        whose = reply.from_user.full_name
    if chosen is not None and chosen.text.strip():
        return {"kind": "quote", "from": clean(whose), "text": clean(chosen.text)}
    if reply is None or reply.from_user is None or reply.forum_topic_created is not None:
        return None
    # What bots said is ours, and what the sender said is stored; others are heard only here.
    if reply.from_user.is_bot or reply.from_user == message.from_user:
        return None
    text = text_of(reply)
    return {"kind": "quote", "from": clean(whose), "text": text[:_QUOTED]} if text else None


def _author(origin: telegram.MessageOrigin) -> str:
    match origin:
        case MessageOriginUser():
            return origin.sender_user.full_name
        case MessageOriginHiddenUser():
            return origin.sender_user_name
        case MessageOriginChat():
            return origin.sender_chat.effective_name or ""
        case MessageOriginChannel():
            return origin.chat.effective_name or ""
    return ""
