"""The person on the other side, as requests: say, edit, tap, send a file, look at the chat."""

import base64
import re
import time
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentos.standins.bot.message import StoredMessage
from agentos.standins.bot.text import Styled, utf16_length
from agentos.standins.bot.world import OWNER_ID, Chat, World, person
from agentos.standins.controls import ControlRefused, read_body

Json = dict[str, Any]

_WATCH_MOST = 60.0
_COMMAND = "/"
_MENTION = re.compile(r"(?<![\w/])@\w{4,32}\b")


class Who(BaseModel):
    """Who acts, and where: without ids the owner, in the private chat with the bot."""

    model_config = ConfigDict(extra="forbid")

    user_id: int | None = None
    chat_id: int | None = None
    chat_type: str | None = None
    username: str | None = None
    name: str | None = None
    # Of a group: whether it has topics, and how many are in it, the bot included.
    forum: bool = False
    members: int | None = None

    def user(self) -> Json:
        """The acting User. In a private chat its id is the chat's."""
        private = self.chat_id if self.chat_id is not None and self.chat_id > 0 else None
        user_id = self.user_id or private or OWNER_ID
        return person(user_id, username=self.username, name=self.name)

    def chat(self, world: World) -> Chat:
        """The chat it happens in, opened when need be."""
        chat_id = self.chat_id if self.chat_id is not None else self.user_id or OWNER_ID
        kind = self.chat_type or ("private" if chat_id > 0 else "supergroup")
        chat = world.open_chat(chat_id, kind=kind, person=self.user())
        if self.forum:
            chat.info["is_forum"] = True
        chat.members = self.members or chat.members
        return chat


class Say(Who):
    """POST /_standin/say."""

    text: str
    reply_to: int | None = None
    forward: str | None = Field(default=None, description="The name of who wrote it first.")
    thread_id: int | None = None
    quote: str | None = Field(default=None, description="The chosen part of what is replied to.")


class DeleteTopic(Who):
    """POST /_standin/delete_topic."""

    thread_id: int


class Edit(Who):
    """POST /_standin/edit."""

    message_id: int
    text: str


class Tap(Who):
    """POST /_standin/tap: the button with this label or this data.

    `data` together with `message_id` is sent even when the button is gone by now.
    """

    message_id: int | None = None
    label: str | None = None
    data: str | None = None


class SendFile(Who):
    """POST /_standin/send_file: real bytes, or a `size` that is only claimed."""

    name: str
    kind: str = Field(default="document", pattern="^(document|photo|voice|audio|video)$")
    content: str | None = Field(default=None, description="base64")
    size: int | None = Field(default=None, ge=0)
    caption: str = ""
    album: str | None = None
    forward: str | None = None
    thread_id: int | None = None


class PersonControls:
    """The endpoints under /_standin/ that act as a person in the bot's chats."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def say(self, request: Request) -> Response:
        """A message; answers with its id and the update's."""
        body = await read_body(request, model=Say)
        chat = body.chat(self._world)
        message = self._world.post(
            chat,
            sender=body.user(),
            styled=_said(body.text),
            reply_to=_existing(chat, body.reply_to) if body.reply_to else None,
            forward=_origin(body.forward),
            thread_id=body.thread_id,
            quote=body.quote,
        )
        return self._updated("message", message)

    async def edit(self, request: Request) -> Response:
        """A changed message of the person's own."""
        body = await read_body(request, model=Edit)
        message = _existing(body.chat(self._world), body.message_id)
        if message.by_bot:
            raise ControlRefused("a person cannot edit the bot's messages")
        message.styled = _said(body.text)
        message.edits += 1
        message.edited_at = _now()
        self._world.changed.fire()
        return self._updated("edited_message", message)

    async def tap(self, request: Request) -> Response:
        """A tap on an inline button; answers with the callback query's id."""
        body = await read_body(request, model=Tap)
        chat = body.chat(self._world)
        message, data = _button(self._world, chat, body)
        tap_id = self._world.new_tap()
        query = {
            "id": tap_id,
            "from": body.user(),
            "message": message.to_api(),
            "chat_instance": f"{chat.info['id']}00",
            "data": data,
        }
        update = self._world.updates.put("callback_query", query)
        told = {"tap_id": tap_id, "message_id": message.message_id, "data": data}
        return JSONResponse({**told, **_arrival(update)})

    async def send_file(self, request: Request) -> Response:
        """A file from the person."""
        body = await read_body(request, model=SendFile)
        content = base64.b64decode(body.content) if body.content is not None else None
        if content is None and body.size is None:
            raise ControlRefused("send content (base64) or a size")
        file = self._world.keep_file(
            kind=body.kind, name=body.name, content=content, size=body.size
        )
        message = self._world.post(
            body.chat(self._world),
            sender=body.user(),
            styled=Styled(body.caption.strip()),
            file=file,
            album=body.album,
            forward=_origin(body.forward),
            thread_id=body.thread_id,
        )
        return self._updated("message", message)

    async def delete_topic(self, request: Request) -> Response:
        """A topic is there no more; what was said in it stays readable here."""
        body = await read_body(request, model=DeleteTopic)
        body.chat(self._world).gone_topics.add(body.thread_id)
        return JSONResponse({"ok": True})

    async def duplicate(self, request: Request) -> Response:
        """The last update delivered again, with the same update_id."""
        update = self._world.updates.repeat_last()
        if update is None:
            raise ControlRefused("there was no update yet", status=404)
        return JSONResponse(_arrival(update))

    async def look(self, request: Request) -> Response:
        """The chat as it looks now; with `changed_since` it waits for something to change."""
        query = request.query_params
        if "changed_since" in query:
            wait = min(float(query.get("timeout", "0")), _WATCH_MOST)
            await self._world.changed.wait(
                seen=int(query["changed_since"]), within=timedelta(seconds=wait)
            )
        chat = self._world.chats.get(int(query.get("chat_id", OWNER_ID)))
        seen = chat.seen() if chat else {"chat_id": None, "messages": [], "drafts": []}
        taps = {tap: answer for tap, answer in self._world.taps.items() if answer is not None}
        return JSONResponse({**seen, "answers": taps, "version": self._world.changed.version})

    async def open_file(self, request: Request) -> Response:
        """What a person sees who opens a file of the chat."""
        file = self._world.files.get(request.query_params.get("file_id", ""))
        if file is None or file.content is None:
            raise ControlRefused("no such file, or one without content", status=404)
        return Response(file.content, media_type="application/octet-stream")

    def _updated(self, kind: str, message: StoredMessage) -> Response:
        update = self._world.updates.put(kind, message.to_api())
        return JSONResponse({"message_id": message.message_id, **_arrival(update)})


def _button(world: World, chat: Chat, tap: Tap) -> tuple[StoredMessage, str]:
    """The message and the data of the button that a tap means."""
    if tap.label is None and tap.data is None:
        raise ControlRefused("a tap needs a label or data")
    if tap.message_id is not None:
        candidates = [_existing(chat, tap.message_id)]
    else:
        candidates = list(world.newest_first(chat))
    for exact in (True, False):
        for message in candidates:
            for button in message.inline_buttons:
                if "callback_data" in button and _meant(tap, button, exact=exact):
                    return message, button["callback_data"]
    if tap.data is not None and tap.message_id is not None:
        return candidates[0], tap.data
    raise ControlRefused(f"no button {tap.label or tap.data!r} in the chat", status=404)


def _meant(tap: Tap, button: Json, *, exact: bool) -> bool:
    if tap.data is not None:
        return bool(button["callback_data"] == tap.data)
    label = (tap.label or "").casefold()
    shown = str(button["text"]).casefold()
    return shown == label if exact else label in shown


def _existing(chat: Chat, message_id: int) -> StoredMessage:
    found = chat.messages.get(message_id)
    if found is None:
        raise ControlRefused(f"there is no message {message_id} in the chat", status=404)
    return found


def _origin(name: str | None) -> Json | None:
    """Who wrote it first."""
    if not name:
        return None
    return {"type": "hidden_user", "sender_user_name": name, "date": _now()}


def _said(text: str) -> Styled:
    """What a person typed; a leading command and names are marked as Telegram marks them."""
    words = text.split()
    marks: list[Json] = []
    if text.startswith(_COMMAND) and words:
        marks.append({"type": "bot_command", "offset": 0, "length": len(words[0])})
    for found in _MENTION.finditer(text):
        offset = utf16_length(text[: found.start()])
        marks.append({"type": "mention", "offset": offset, "length": len(found[0])})
    return Styled(text, marks)


def _arrival(update: Json | None) -> Json:
    """When it happened, and under which update; None when the bot does not want such updates."""
    update_id = update["update_id"] if update else None
    return {"update_id": update_id, "at": time.time(), "monotonic": time.monotonic()}


def _now() -> int:
    return int(time.time())
