"""Showing an answer while it is being written: the newest state of it, not too often."""

import asyncio
from datetime import timedelta

from agentos.domain.ports import Channel
from agentos.domain.talk import Message
from agentos.frontdesk.errands import Errands

# An answer that is there within this time needs no preview.
_FIRST = timedelta(milliseconds=400)
_PACE = timedelta(milliseconds=700)
_LAST_ONE = timedelta(seconds=5)


class Preview:
    """The half-written answer to one message."""

    def __init__(self, channel: Channel | None, message: Message, *, errands: Errands) -> None:
        self._channel = channel
        self._message = message
        self._errands = errands
        self._text = ""
        self._shown = ""
        self._over = asyncio.Event()
        self._showing: asyncio.Task[None] | None = None

    def show(self, text: str) -> None:
        """The answer so far; returns at once."""
        if self._channel is None or not text.strip() or self._over.is_set():
            return
        self._text = text
        if self._showing is None:
            self._showing = self._errands.send(self._show_on(self._channel), name="preview")

    async def end(self) -> None:
        """The answer is there: show nothing of it any more.

        A preview that is on its way is waited for, so that it does not arrive after the answer.
        """
        self._over.set()
        if self._showing is not None:
            await asyncio.wait({self._showing}, timeout=_LAST_ONE.total_seconds())
            self._showing.cancel()

    async def _show_on(self, channel: Channel) -> None:
        pause = _FIRST
        while not await self._is_over_within(pause):
            pause = _PACE
            if self._text != self._shown:
                self._shown = self._text
                await channel.preview(self._message, text=self._shown)

    async def _is_over_within(self, pause: timedelta) -> bool:
        try:
            async with asyncio.timeout(pause.total_seconds()):
                await self._over.wait()
        except TimeoutError:
            return False
        return True
