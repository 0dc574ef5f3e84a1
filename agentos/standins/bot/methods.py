"""Every Bot API method that the stand-in knows, by its lower-case name."""

from collections.abc import Awaitable, Callable
from typing import Any

from agentos.standins.bot import about, changing, sending
from agentos.standins.bot.params import Params
from agentos.standins.bot.world import World

Method = Callable[[World, Params], Awaitable[Any]]

METHODS: dict[str, Method] = {
    "getme": about.get_me,
    "getchat": about.get_chat,
    "getchatmembercount": about.get_chat_member_count,
    "getfile": about.get_file,
    "setmycommands": about.set_my_commands,
    "getmycommands": about.get_my_commands,
    "deletemycommands": about.delete_my_commands,
    "setmydescription": about.set_my_description,
    "getmydescription": about.get_my_description,
    "setmyshortdescription": about.set_my_short_description,
    "getmyshortdescription": about.get_my_short_description,
    "setmyname": about.set_my_name,
    "getmyname": about.get_my_name,
    "setchatmenubutton": about.set_chat_menu_button,
    "sendmessage": sending.send_message,
    "sendmessagedraft": sending.send_message_draft,
    "senddocument": sending.send_document,
    "sendphoto": sending.send_photo,
    "sendvoice": sending.send_voice,
    "sendaudio": sending.send_audio,
    "sendvideo": sending.send_video,
    "sendmediagroup": sending.send_media_group,
    "sendchataction": sending.send_chat_action,
    "editmessagetext": changing.edit_message_text,
    "editmessagecaption": changing.edit_message_caption,
    "editmessagereplymarkup": changing.edit_message_reply_markup,
    "deletemessage": changing.delete_message,
    "deletemessages": changing.delete_messages,
    "setmessagereaction": changing.set_message_reaction,
    "answercallbackquery": changing.answer_callback_query,
    "pinchatmessage": changing.pin_chat_message,
    "unpinchatmessage": changing.unpin_chat_message,
}

# Those that count against the flood limits; drafts and actions do not.
LIMITED = frozenset(
    name
    for name in METHODS
    if name.startswith(("send", "editmessage"))
    and name not in ("sendchataction", "sendmessagedraft")
)
