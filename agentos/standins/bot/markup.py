"""Keyboards under messages, checked as Telegram checks them."""

from typing import Any

from agentos.standins.bot.params import Params
from agentos.standins.bot.refusal import bad

Json = dict[str, Any]

_DATA_LIMIT = 64
_ACTIONS = ("callback_data", "url", "web_app", "login_url", "copy_text", "pay", "callback_game")
_INLINE = ("switch_inline_query", "switch_inline_query_current_chat")


def read_markup(params: Params) -> Json | None:
    """The reply_markup of a call, or None; refused when a button could not work."""
    markup = params.decoded("reply_markup")
    if not markup:
        return None
    if not isinstance(markup, dict):
        raise bad("object expected as reply markup")
    for row in markup.get("inline_keyboard", []):
        for button in row:
            _check(button)
    return markup


def _check(button: Json) -> None:
    if not button.get("text"):
        raise bad('can\'t parse inline keyboard button: Field "text" must be of type String')
    if not any(name in button for name in (*_ACTIONS, *_INLINE)):
        raise bad(
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
        )
    data = button.get("callback_data")
    if data is not None and not 1 <= len(data.encode()) <= _DATA_LIMIT:
        raise bad("BUTTON_DATA_INVALID")
