"""The methods that change what is already in a chat: edits, deletions, reactions, taps."""

import time
from typing import Any

from agentos.standins.bot.markup import read_markup
from agentos.standins.bot.message import StoredMessage
from agentos.standins.bot.params import Params
from agentos.standins.bot.refusal import bad
from agentos.standins.bot.text import Styled, checked_caption, checked_text, styled_text
from agentos.standins.bot.world import World

Json = dict[str, Any]

_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the "
    "same as a current content and reply markup of the message"
)
_ALLOWED_EMOJI = """
👍 👎 ❤ 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤‍🔥 🌚 🌭
💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨‍💻 👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡
🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷‍♂ 🤷 🤷‍♀ 😡
"""
_REACTIONS = frozenset(_ALLOWED_EMOJI.split())


async def edit_message_text(world: World, params: Params) -> Json:
    """editMessageText."""
    message = _editable(world, params)
    if message.file is not None:
        raise bad("there is no text in the message to edit")
    styled = checked_text(styled_text(params, name="text", entities="entities"))
    return _edit(world, message, styled=styled, markup=read_markup(params))


async def edit_message_caption(world: World, params: Params) -> Json:
    """editMessageCaption."""
    message = _editable(world, params)
    if message.file is None:
        raise bad("there is no caption in the message to edit")
    styled = styled_text(params, name="caption", entities="caption_entities")
    return _edit(world, message, styled=checked_caption(styled), markup=read_markup(params))


async def edit_message_reply_markup(world: World, params: Params) -> Json:
    """editMessageReplyMarkup: without a markup it takes the buttons away."""
    message = _editable(world, params)
    return _edit(world, message, styled=message.styled, markup=read_markup(params))


async def delete_message(world: World, params: Params) -> bool:
    """deleteMessage."""
    chat = world.chat(params.integer("chat_id"))
    message = chat.message(params.integer("message_id"), otherwise="message to delete not found")
    del chat.messages[message.message_id]
    chat.deleted += 1
    world.changed.fire()
    return True


async def delete_messages(world: World, params: Params) -> bool:
    """deleteMessages: those that are not there are skipped."""
    chat = world.chat(params.integer("chat_id"))
    for message_id in params.decoded("message_ids") or []:
        chat.deleted += chat.messages.pop(int(message_id), None) is not None
    world.changed.fire()
    return True


async def set_message_reaction(world: World, params: Params) -> bool:
    """setMessageReaction: at most one, of the emoji that Telegram allows."""
    chat = world.chat(params.integer("chat_id"))
    message = chat.message(params.integer("message_id"), otherwise="message to react not found")
    wanted = params.decoded("reaction") or []
    emoji = [str(one.get("emoji", "")) for one in wanted]
    # U+FE0F only asks for the coloured form; Telegram takes emoji with and without it.
    if any(one.replace("\ufe0f", "") not in _REACTIONS for one in emoji):
        raise bad("REACTION_INVALID")
    if len(emoji) > 1:
        raise bad("REACTIONS_TOO_MANY")
    message.reactions = emoji
    world.changed.fire()
    return True


async def answer_callback_query(world: World, params: Params) -> bool:
    """answerCallbackQuery."""
    tap_id = params.text("callback_query_id")
    if tap_id not in world.taps:
        raise bad("query is too old and response timeout expired or query ID is invalid")
    world.taps[tap_id] = {"text": params.text("text"), "alert": params.flag("show_alert")}
    world.changed.fire()
    return True


async def pin_chat_message(world: World, params: Params) -> bool:
    """pinChatMessage."""
    chat = world.chat(params.integer("chat_id"))
    message = chat.message(params.integer("message_id"), otherwise="message to pin not found")
    chat.pinned = message.message_id
    return True


async def unpin_chat_message(world: World, params: Params) -> bool:
    """unpinChatMessage."""
    world.chat(params.integer("chat_id")).pinned = None
    return True


def _editable(world: World, params: Params) -> StoredMessage:
    chat = world.chat(params.integer("chat_id"))
    message = chat.message(params.integer("message_id"), otherwise="message to edit not found")
    if not message.by_bot:
        raise bad("message can't be edited")
    return message


def _edit(world: World, message: StoredMessage, *, styled: Styled, markup: Json | None) -> Json:
    if message.same_as(styled=styled, markup=markup):
        raise bad(_NOT_MODIFIED)
    message.styled = styled
    message.markup = markup
    message.edits += 1
    message.edited_at = int(time.time())
    world.changed.fire()
    return message.to_api()
