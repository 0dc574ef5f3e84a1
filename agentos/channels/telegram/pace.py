"""Telegram's speed limit: about one message a second in a chat, after a short burst."""

import asyncio
import time

_BURST = 3.0
_PER_SECOND = 1.0


class Pace:
    """One bucket of tokens a chat; a message costs one, counted when it has been sent.

    Counted then, and not before, the bucket never holds more than Telegram's own.
    """

    def __init__(self) -> None:
        self._chats: dict[int, tuple[float, float]] = {}

    async def turn(self, chat_id: int) -> None:
        """Return when the next message may go."""
        missing = 1 - self._tokens(chat_id)
        if missing > 0:
            await asyncio.sleep(missing / _PER_SECOND)

    def spend(self, chat_id: int) -> None:
        """Count a message."""
        self._chats[chat_id] = (self._tokens(chat_id) - 1, time.monotonic())

    def spare(self, chat_id: int) -> bool:
        """Whether a message may go at once, with one more left for something important."""
        return self._tokens(chat_id) >= 2

    def _tokens(self, chat_id: int) -> float:
        now = time.monotonic()
        tokens, at = self._chats.get(chat_id, (_BURST, now))
        return min(_BURST, tokens + (now - at) * _PER_SECOND)
