"""Bursts: several quick messages in a row are one. A lone one waits no longer than a moment."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from agentos.domain.talk import Message
from agentos.frontdesk import shortcuts

_MOST = 20
_MOST_CHARACTERS = 8_000
# However long somebody goes on writing, what is there is taken up after so many pauses.
_MOST_PAUSES = 5


@dataclass(frozen=True)
class _Waiting:
    message: Message
    # By the machine's steady clock; None for one that is from before a restart.
    came: float | None


class Line:
    """What waits in one conversation, in the order it came."""

    def __init__(self, *, pause: timedelta) -> None:
        """`pause` is how long after a message another one still belongs to it."""
        self._pause = pause.total_seconds()
        self._waiting: deque[_Waiting] = deque()
        self._came = asyncio.Event()

    def put(self, message: Message, *, is_new: bool = True) -> None:
        """Stand at the end; what is not new stands there for itself."""
        came = time.monotonic() if is_new and self._pause and not _is_alone(message) else None
        self._waiting.append(_Waiting(message, came))
        self._came.set()

    async def next(self) -> list[Message]:
        """The next message, and those that followed it quickly."""
        while not self._waiting:
            await self._wait(None)
        first = self._waiting.popleft()
        burst, last = [first.message], first.came
        while last is not None and len(burst) < _MOST:
            if self._waiting:
                came = self._waiting[0].came
                if came is None or came - last > self._pause:
                    break
                if not may_join(burst, self._waiting[0].message):
                    break
                burst.append(self._waiting.popleft().message)
                last = came
                continue
            assert first.came is not None
            until = min(last + self._pause, first.came + _MOST_PAUSES * self._pause)
            if not await self._wait(until - time.monotonic()):
                break
        return burst

    async def _wait(self, seconds: float | None) -> bool:
        """Whether another one came within this time."""
        self._came.clear()
        try:
            async with asyncio.timeout(None if seconds is None else max(0.0, seconds)):
                await self._came.wait()
        except TimeoutError:
            return False
        return True


def may_join(burst: list[Message], message: Message) -> bool:
    """Whether a message goes on with what was said: to the same thing, and of the same hand."""
    first = burst[0]
    length = sum(len(one.text) for one in burst) + len(message.text)
    return (
        length <= _MOST_CHARACTERS
        and message.reply_to_external_id == first.reply_to_external_id
        and _handed_on(message) == _handed_on(first)
        and (message.person_id, message.audience) == (first.person_id, first.audience)
        # An album is gathered by itself.
        and message.album is None
        and first.album is None
    )


def _is_alone(message: Message) -> bool:
    """An answer by a tap, or plain words in a reply: nothing is waited for."""
    is_reply = message.reply_to_external_id is not None
    plain = shortcuts.is_stop(message.text) or shortcuts.is_why(message.text)
    return message.external_id.startswith("card:") or (is_reply and plain)


def _handed_on(message: Message) -> str | None:
    """Who said it first, when it is forwarded: that must not be taken for the owner's words."""
    for attachment in message.attachments:
        if attachment.get("kind") == "forward":
            return str(attachment.get("from") or "")
    return None
