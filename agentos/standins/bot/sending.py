"""The methods that put something new into a chat."""

import json
from typing import Any

from agentos.standins.bot.markup import read_markup
from agentos.standins.bot.message import StoredFile, StoredMessage
from agentos.standins.bot.params import Params
from agentos.standins.bot.refusal import bad
from agentos.standins.bot.text import (
    TEXT_LIMIT,
    Styled,
    checked_caption,
    checked_text,
    styled_text,
    utf16_length,
)
from agentos.standins.bot.world import Chat, World

Json = dict[str, Any]

_ACTIONS = frozenset(
    {
        "typing",
        "choose_sticker",
        "find_location",
        *(f"upload_{what}" for what in ("photo", "video", "voice", "document", "video_note")),
        *(f"record_{what}" for what in ("video", "voice", "video_note")),
    }
)
_ALBUM_KINDS = frozenset({"photo", "video", "document", "audio"})


async def send_message(world: World, params: Params) -> Json:
    """sendMessage."""
    chat = world.chat(params.integer("chat_id"))
    styled = checked_text(styled_text(params, name="text", entities="entities"))
    return _post(world, params, chat=chat, styled=styled).to_api()


async def send_message_draft(world: World, params: Params) -> bool:
    """sendMessageDraft: a preview that the next message replaces; only in private chats."""
    chat = world.chat(params.integer("chat_id"))
    if chat.info["type"] != "private":
        raise bad("TEXTDRAFT_PEER_INVALID")
    draft_id = params.integer("draft_id", default=0)
    if not draft_id:
        raise bad("TEXTDRAFT_ID_INVALID")
    styled = styled_text(params, name="text", entities="entities")
    if utf16_length(styled.text) > TEXT_LIMIT:
        raise bad("message is too long")
    chat.drafts[draft_id] = styled.text
    chat.draft_changes += 1
    world.changed.fire()
    return True


async def send_document(world: World, params: Params) -> Json:
    """sendDocument."""
    return _send_file(world, params, kind="document")


async def send_photo(world: World, params: Params) -> Json:
    """sendPhoto."""
    return _send_file(world, params, kind="photo")


async def send_voice(world: World, params: Params) -> Json:
    """sendVoice."""
    return _send_file(world, params, kind="voice")


async def send_audio(world: World, params: Params) -> Json:
    """sendAudio."""
    return _send_file(world, params, kind="audio")


async def send_video(world: World, params: Params) -> Json:
    """sendVideo."""
    return _send_file(world, params, kind="video")


async def send_media_group(world: World, params: Params) -> list[Json]:
    """sendMediaGroup: two to ten files that arrive as one album."""
    chat = world.chat(params.integer("chat_id"))
    media = params.decoded("media")
    if not isinstance(media, list) or not 2 <= len(media) <= 10:
        raise bad("there must be 2-10 items in the album")
    if any(one.get("type") not in _ALBUM_KINDS for one in media):
        raise bad("wrong type of the media to send")
    parts = []
    for one in media:
        file = _file(world, params, reference=one["media"], kind=one["type"])
        inner = Params({"text": one.get("caption", ""), **_styling(one)}, uploads={})
        styled = checked_caption(styled_text(inner, name="text", entities="entities"))
        parts.append((file, styled))
    album = f"{13_000_000 + len(world.files)}"
    sent = [
        _post(world, params, chat=chat, styled=styled, file=file, album=album)
        for file, styled in parts
    ]
    return [message.to_api() for message in sent]


async def send_chat_action(world: World, params: Params) -> bool:
    """sendChatAction."""
    chat = world.chat(params.integer("chat_id"))
    if params.text("action") not in _ACTIONS:
        raise bad("wrong parameter action in request")
    chat.action = params.text("action")
    world.changed.fire()
    return True


def _send_file(world: World, params: Params, *, kind: str) -> Json:
    chat = world.chat(params.integer("chat_id"))
    styled = checked_caption(styled_text(params, name="caption", entities="caption_entities"))
    file = _file(world, params, reference=params.text(kind) or kind, kind=kind)
    return _post(world, params, chat=chat, styled=styled, file=file).to_api()


def _file(world: World, params: Params, *, reference: str, kind: str) -> StoredFile:
    """The uploaded file, or the one that a file_id names."""
    if upload := params.attached(reference):
        if not upload.content:
            raise bad("file must be non-empty")
        return world.keep_file(kind=kind, name=upload.name, content=upload.content)
    if known := world.files.get(reference):
        return known
    if reference.startswith(("http://", "https://")):
        raise bad("failed to get HTTP URL content")
    if reference == kind:
        raise bad(f"there is no {kind} in the request")
    raise bad("wrong remote file identifier specified: Wrong string length")


def _post(
    world: World,
    params: Params,
    *,
    chat: Chat,
    styled: Styled,
    file: StoredFile | None = None,
    album: str | None = None,
) -> StoredMessage:
    thread_id = params.integer("message_thread_id")
    # The General topic has no thread of its own.
    if thread_id is not None and (thread_id == 1 or thread_id in chat.gone_topics):
        raise bad("message thread not found")
    return world.post(
        chat,
        sender=world.bot,
        styled=styled,
        file=file,
        reply_to=_replied_to(chat, params),
        markup=read_markup(params),
        thread_id=thread_id,
        silent=params.flag("disable_notification"),
        album=album,
    )


def _replied_to(chat: Chat, params: Params) -> StoredMessage | None:
    reply = params.decoded("reply_parameters") or {}
    wanted = reply.get("message_id") or params.integer("reply_to_message_id")
    if wanted is None:
        return None
    found = chat.messages.get(int(wanted))
    lenient = reply.get("allow_sending_without_reply") or params.flag("allow_sending_without_reply")
    if found is None and not lenient:
        raise bad("message to be replied not found")
    return found


def _styling(media: Json) -> Json:
    entities = media.get("caption_entities")
    told = {"parse_mode": media.get("parse_mode"), "entities": entities and json.dumps(entities)}
    return {name: value for name, value in told.items() if value}
