"""A person in front of the Bot API stand-in: writes, taps, waits for answers, opens files."""

import base64
import re
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import BaseModel, ConfigDict

_PATIENCE = timedelta(seconds=15)


class _Seen(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Button(_Seen):
    """An inline button."""

    label: str
    data: str | None = None
    url: str | None = None


class Document(_Seen):
    """A file in a message; `size` in bytes."""

    kind: str
    name: str
    size: int
    file_id: str


class ChatMessage(_Seen):
    """One message as it looks now. `by` is "bot" or "user", `at` a Unix time."""

    message_id: int
    by: str
    at: int
    text: str
    entities: list[dict[str, Any]] = []
    buttons: list[Button] = []
    keyboard: list[list[str]] = []
    edits: int = 0
    reactions: list[str] = []
    document: Document | None = None
    silent: bool = False
    reply_to: int | None = None
    thread_id: int | None = None

    @property
    def labels(self) -> list[str]:
        """The labels of all its buttons, row by row."""
        return [label for row in self.keyboard for label in row]


class Draft(_Seen):
    """A message that is still being written."""

    draft_id: int
    text: str


class TapAnswer(_Seen):
    """What answerCallbackQuery said to a tap."""

    text: str
    alert: bool


class ChatView(_Seen):
    """The whole chat as a person sees it. `version` counts the changes in all chats."""

    messages: list[ChatMessage]
    drafts: list[Draft] = []
    draft_changes: int = 0
    deleted: int = 0
    action: str | None = None
    pinned: int | None = None
    answers: dict[str, TapAnswer] = {}
    version: int


class Sent(_Seen):
    """What the person did. `update_id` is None when the bot does not ask for such updates."""

    message_id: int
    update_id: int | None
    at: float
    monotonic: float
    tap_id: str | None = None
    data: str | None = None


class Call(_Seen):
    """A Bot API call; `at` and `monotonic` in seconds, at its arrival.

    `outcome` is "ok", the description of the refusal, or the fault that met it.
    """

    index: int
    at: float
    monotonic: float
    method: str
    params: dict[str, Any]
    outcome: str
    fault: str | None = None
    result: Any = None


class StandinRefused(Exception):
    """The stand-in could not do as it was told, such as tap a button that is not there."""


class TelegramUser:
    """One person. Without ids it is the owner in the private chat with the bot.

    `patience` is how long the person waits for something when no timeout is given.
    """

    def __init__(
        self,
        url: str,
        *,
        user_id: int | None = None,
        chat_id: int | None = None,
        username: str | None = None,
        name: str | None = None,
        forum: bool = False,
        members: int | None = None,
        patience: timedelta = _PATIENCE,
    ) -> None:
        who = {"user_id": user_id, "chat_id": chat_id, "username": username, "name": name}
        who |= {"forum": forum or None, "members": members}
        self._who = {key: value for key, value in who.items() if value is not None}
        self._chat = chat_id if chat_id is not None else user_id
        self._patience = patience
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=70)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def say(
        self,
        text: str,
        *,
        reply_to: int | None = None,
        forward: str | None = None,
        thread_id: int | None = None,
        quote: str | None = None,
    ) -> Sent:
        """Write a message; `forward` is the name of somebody who wrote it first."""
        return await self._act(
            "say",
            text=text,
            reply_to=reply_to,
            forward=forward,
            thread_id=thread_id,
            quote=quote,
        )

    async def delete_topic(self, thread_id: int) -> None:
        """Delete a topic of the chat."""
        where = {**self._who, "thread_id": thread_id}
        _checked(await self._client.post("/_standin/delete_topic", json=where))

    async def edit(self, message_id: int, *, text: str) -> Sent:
        """Change an own message."""
        return await self._act("edit", message_id=message_id, text=text)

    async def tap(
        self,
        label: str | None = None,
        *,
        message_id: int | None = None,
        data: str | None = None,
    ) -> Sent:
        """Tap the newest button with this label, or one whose label contains it.

        `message_id` together with `data` taps a button that may be gone by now.
        """
        return await self._act("tap", label=label, message_id=message_id, data=data)

    async def send_file(
        self,
        name: str,
        *,
        content: bytes | None = None,
        size: int | None = None,
        kind: str = "document",
        caption: str = "",
        album: str | None = None,
        forward: str | None = None,
    ) -> Sent:
        """Send a document, photo, voice, audio or video; with only a `size` the bytes are fake."""
        encoded = base64.b64encode(content).decode() if content is not None else None
        return await self._act(
            "send_file",
            name=name,
            content=encoded,
            size=size,
            kind=kind,
            caption=caption,
            album=album,
            forward=forward,
        )

    async def duplicate(self) -> None:
        """Have the last update delivered a second time."""
        _checked(await self._client.post("/_standin/duplicate", json={}))

    async def chat(self) -> ChatView:
        """The chat as it looks now."""
        return await self._look({})

    async def open(self, document: Document) -> bytes:
        """The content of a file in the chat."""
        response = await self._client.get("/_standin/file", params={"file_id": document.file_id})
        return _checked(response).content

    async def wait_for(
        self,
        pattern: str,
        *,
        timeout: timedelta | None = None,  # noqa: ASYNC109
        after: int = 0,
    ) -> ChatMessage:
        """The newest message of the bot whose text matches the regex, or TimeoutError.

        Messages that are already there count; `after` leaves out those up to that message id.
        """
        wanted = re.compile(pattern, re.DOTALL)
        return await self._wait(
            lambda message: wanted.search(message.text) is not None,
            what=f"matches {pattern!r}",
            within=timeout,
            after=after,
        )

    async def wait_for_document(
        self,
        name: str = "",
        *,
        timeout: timedelta | None = None,  # noqa: ASYNC109
        after: int = 0,
    ) -> ChatMessage:
        """The newest message of the bot with a file whose name matches the regex."""
        wanted = re.compile(name)
        return await self._wait(
            lambda message: (
                message.document is not None and wanted.search(message.document.name) is not None
            ),
            what=f"has a document {name!r}",
            within=timeout,
            after=after,
        )

    async def wait_for_button(
        self,
        label: str,
        *,
        timeout: timedelta | None = None,  # noqa: ASYNC109
        after: int = 0,
    ) -> ChatMessage:
        """The newest message of the bot with a button whose label contains `label`."""
        return await self._wait(
            lambda message: any(label in one for one in message.labels),
            what=f"has a button {label!r}",
            within=timeout,
            after=after,
        )

    async def wait_until(
        self,
        holds: Callable[[ChatView], bool],
        *,
        timeout: timedelta | None = None,  # noqa: ASYNC109
    ) -> ChatView:
        """The chat once it looks as wanted, or TimeoutError."""
        deadline = time.monotonic() + (timeout or self._patience).total_seconds()
        view = await self.chat()
        while not holds(view):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the chat holds {_told(view)}")
            view = await self._look({"changed_since": view.version, "timeout": left})
        return view

    async def calls(self, *, since: int = 0, method: str = "") -> list[Call]:
        """The Bot API calls from number `since` on, of one method or of all."""
        response = await self._client.get(
            "/_standin/calls", params={"since": since, "method": method}
        )
        return [Call.model_validate(one) for one in _checked(response).json()["calls"]]

    async def plan_fault(
        self,
        kind: str,
        *,
        method: str = "*",
        times: int = 1,
        retry_after: int = 1,
        seconds: float = 3600,
    ) -> None:
        """Let the next calls of a method go wrong; the kinds are those of `CallFault`."""
        fault = {"kind": kind, "method": method, "times": times}
        more = {"retry_after": retry_after, "seconds": seconds}
        _checked(await self._client.post("/_standin/faults", json={**fault, **more}))

    async def reset(self) -> None:
        """A new, empty world."""
        _checked(await self._client.post("/_standin/reset", json={}))

    async def _act(self, action: str, **fields: Any) -> Sent:
        given = {key: value for key, value in fields.items() if value is not None}
        response = await self._client.post(f"/_standin/{action}", json={**self._who, **given})
        return Sent.model_validate(_checked(response).json())

    async def _look(self, query: dict[str, Any]) -> ChatView:
        where = {} if self._chat is None else {"chat_id": self._chat}
        response = await self._client.get("/_standin/chat", params={**where, **query})
        return ChatView.model_validate(_checked(response).json())

    async def _wait(
        self,
        fits: Callable[[ChatMessage], bool],
        *,
        what: str,
        within: timedelta | None,
        after: int,
    ) -> ChatMessage:
        def fitting(view: ChatView) -> list[ChatMessage]:
            new = [one for one in view.messages if one.by == "bot" and one.message_id > after]
            return [one for one in new if fits(one)]

        try:
            view = await self.wait_until(lambda view: bool(fitting(view)), timeout=within)
        except TimeoutError as late:
            raise TimeoutError(f"no message {what}; {late}") from None
        return fitting(view)[-1]


def _told(view: ChatView) -> str:
    """The last messages of a chat, for the words of an error."""
    lines = [f"{one.by} #{one.message_id}: {one.text[:200]!r}" for one in view.messages[-8:]]
    return "; ".join(lines) or "nothing"


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise StandinRefused(response.json().get("error", response.text))
    return response
