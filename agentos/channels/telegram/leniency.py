"""Replies of Bot API servers that leave out what Telegram always sends.

The library refuses a reply in which a required field is missing or out of range. For a message
that has been sent that would be the worst of answers: it would be sent again. So what `ok` says is
believed, and what is missing is filled in before the library reads it.
"""

import json
import time
from typing import Any

from telegram.request import HTTPXRequest

# No server numbers a message so; it stands for "sent, under a number we were not told".
UNNUMBERED = 0
_SENT = ("send", "edit", "copy", "forward")
# A date after this many seconds is one in milliseconds (the year 2286).
_LATEST = 10_000_000_000


class LenientRequest(HTTPXRequest):
    """A request whose replies are completed; the last one is kept as it was completed."""

    last_reply: bytes = b""

    async def do_request(self, url: str, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        """Send one request."""
        code, payload = await super().do_request(url, *args, **kwargs)
        self.last_reply = complete(url.rsplit("/", 1)[-1], payload)
        return code, self.last_reply


def complete(method: str, payload: bytes) -> bytes:
    """A reply with what it lacks; one that is an error or no JSON stays as it is."""
    try:
        reply = json.loads(payload)
    except ValueError:
        return payload
    if not isinstance(reply, dict) or reply.get("ok") is not True:
        return payload
    result = reply.get("result")
    if method == "getMe":
        reply["result"] = {"is_bot": True, "first_name": "bot", "id": 0, **_dict(result)}
    elif method == "getUpdates":
        for update in result if isinstance(result, list) else []:
            _complete_update(update)
    elif method == "sendMessageDraft" or not method.startswith(_SENT):
        return payload
    elif method == "sendMediaGroup":
        result = result if isinstance(result, list) else []
        reply["result"] = [_message(_dict(one)) for one in result]
    elif result is not True:
        reply["result"] = _message(_dict(result))
    return json.dumps(reply).encode()


def _complete_update(update: Any) -> None:
    update = _dict(update)
    for kind in ("message", "edited_message"):
        if isinstance(update.get(kind), dict):
            update[kind] = _message(update[kind])
    query = update.get("callback_query")
    if isinstance(query, dict):
        query.setdefault("id", str(update.get("update_id")))
        query.setdefault("chat_instance", "")
        if isinstance(query.get("message"), dict):
            query["message"] = _message(query["message"])


def _message(raw: dict[str, Any]) -> dict[str, Any]:
    message = {"message_id": UNNUMBERED, "date": int(time.time()), **raw}
    message["chat"] = {"id": UNNUMBERED, "type": "private", **_dict(raw.get("chat"))}
    if isinstance(message["date"], int | float) and message["date"] > _LATEST:
        message["date"] = int(message["date"] / 1000)
    if isinstance(message.get("from"), dict):
        message["from"] = {"is_bot": False, "first_name": "", **message["from"]}
    return message


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
