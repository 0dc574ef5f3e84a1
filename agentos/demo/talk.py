"""The owner's side of the conversation: she writes, taps, and sees what comes, in its order."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

from agentos.control.plain import one_line
from agentos.demo import picture
from agentos.demo.moments import Moments
from agentos.demo.report import Stuck
from agentos.demo.stage import OWNER, Stage
from agentos.demo.telling import Telling
from agentos.standins.telegram_user import ChatMessage, ChatView, Sent

_SETBACK = "did not work out"
PATIENCE = timedelta(seconds=20)


class Talk:
    """What is said, told as it happens. Each wait ends after a while, with words for why."""

    def __init__(self, stage: Stage, *, telling: Telling) -> None:
        self._user = stage.user
        self._stage = stage
        self._telling = telling
        self._last_told = 0
        self._first = 0
        self.moments = Moments()
        self._last_said = time.monotonic()
        self._reactions: set[int] = set()
        # The files that came, by their names.
        self.files: dict[str, bytes] = {}
        self.drafts: list[str] = []

    @property
    def last_told(self) -> int:
        """The newest message that has been shown: what comes next has a greater id."""
        return self._last_told

    def begin(self) -> None:
        """A new part of the story: what is kept from now on begins after what was told."""
        self._first = self._last_told + 1

    def keep(self, name: str, *, title: str, view: ChatView) -> None:
        """Keep how the chat looks at this moment of this part."""
        self.moments.keep(name, title=title, view=view, since=self._first)

    async def keep_now(self, name: str, *, title: str) -> None:
        """Keep how the chat looks now."""
        self.keep(name, title=title, view=await self._user.chat())

    async def say(self, text: str) -> Sent:
        """The owner writes a message."""
        self._telling.said(OWNER, text)
        self.drafts = []
        self._last_said = time.monotonic()
        sent = await self._user.say(text)
        self._last_told = max(self._last_told, sent.message_id)
        return sent

    async def tap(self, label: str, *, on: ChatMessage) -> Sent:
        """The owner taps a button of a message. Raises Stuck when it has none of that label."""
        data = next((one.data for one in on.buttons if one.label == label), None)
        if data is None:
            raise Stuck(f"there was no button {label!r} to tap")
        self._telling.said(OWNER, f"taps “{label}”")
        self._last_said = time.monotonic()
        return await self._user.tap(data=data, message_id=on.message_id)

    async def hear(
        self, holds: Callable[[ChatMessage], bool], *, what: str, after: int
    ) -> ChatMessage:
        """The first message newer than `after` that is as wanted. Raises Stuck."""

        def found(view: ChatView) -> list[ChatMessage]:
            return [
                one
                for one in view.messages
                if one.by == "bot" and one.message_id > after and holds(one)
            ]

        return found(await self.see(lambda view: bool(found(view)), what=what))[0]

    async def hear_words(self, words: str, *, after: int) -> ChatMessage:
        """The first newer message with these words. Raises Stuck."""
        return await self.hear(lambda one: words in one.text, what=f"“{words}”", after=after)

    async def receive(self, name: str, *, after: int) -> tuple[ChatMessage, bytes]:
        """The first newer file of this name, and its content. Raises Stuck."""

        def is_it(message: ChatMessage) -> bool:
            return message.document is not None and name in (message.text, message.document.name)

        message = await self.hear(is_it, what=f"the file {name}", after=after)
        return message, self.files[name]

    async def see(self, holds: Callable[[ChatView], bool], *, what: str) -> ChatView:
        """The chat once it looks as wanted; what is new in it is told. Raises Stuck."""
        deadline = time.monotonic() + PATIENCE.total_seconds()
        with self._telling.waiting():
            view = await self._user.chat()
            while True:
                setback = await self._tell(view)
                if holds(view):
                    return view
                if setback is not None:
                    raise Stuck(setback)
                left = deadline - time.monotonic()
                if left <= 0 or not self._stage.is_up:
                    why = "did not come" if self._stage.is_up else "could not come: it broke down"
                    raise Stuck(f"{what} {why} within {PATIENCE.total_seconds():.0f} seconds")
                view = await self._changed(view.version, within=timedelta(seconds=min(left, 2)))

    async def quiet(self, span: timedelta) -> None:
        """Let time pass, telling what comes."""
        await asyncio.sleep(span.total_seconds())
        await self._tell(await self._user.chat())

    async def _changed(self, version: int, *, within: timedelta) -> ChatView:
        try:
            return await self._user.wait_until(lambda view: view.version != version, timeout=within)
        except TimeoutError:
            return await self._user.chat()

    async def _tell(self, view: ChatView) -> str | None:
        """Tell what is new; returns what of it says that some work failed."""
        setback = None
        after = timedelta(seconds=time.monotonic() - self._last_said)
        for message in view.messages:
            if message.by == "user" and message.reactions:
                self._tell_reaction(message, after=after)
            elif message.by == "bot" and message.message_id > self._last_told:
                self._last_told = message.message_id
                self._telling.heard(message, after=after)
                await self._tell_file(message, after=after)
                if _SETBACK in message.text:
                    setback = one_line(message.text)
        draft = view.drafts[-1].text if view.drafts else ""
        if draft and draft not in self.drafts:
            self.drafts.append(draft)
        self._telling.writing(draft)
        return setback

    def _tell_reaction(self, message: ChatMessage, *, after: timedelta) -> None:
        if message.message_id not in self._reactions:
            self._reactions.add(message.message_id)
            self._telling.said("agentos", "".join(message.reactions), after=after)

    async def _tell_file(self, message: ChatMessage, *, after: timedelta) -> None:
        if message.document is None:
            return
        content = await self._stage.download(message.document)
        name = message.text or message.document.name
        self.files[name] = content
        if message.document.kind != "photo":
            self._telling.file(name, content, after=after)
            return
        try:
            self._telling.picture(name, picture.read(content), after=after)
        except picture.NoPicture:
            self._telling.file(name, content, after=after)
