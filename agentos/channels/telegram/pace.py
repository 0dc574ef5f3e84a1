"""Telegram's speed limits: a message a second in a chat, 20 a minute in a group, 30 a second."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class _Limit:
    burst: float
    per_second: float


# A little under what Telegram allows: its clock is not ours.
_CHAT = _Limit(3.0, 1.0)
_GROUP = _Limit(15.0, 19 / 60)
_ALL = _Limit(25.0, 28.0)
_EVERYWHERE = 0


class Pace:
    """One bucket of tokens a chat and one for all; a message costs one of each, once it is sent.

    Counted then, and not before, a bucket never holds more than Telegram's own.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, tuple[float, float]] = {}

    async def turn(self, chat_id: int) -> None:
        """Return when the next message may go."""
        while True:
            wait = max(self._missing(chat_id), self._missing(_EVERYWHERE))
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def spend(self, chat_id: int) -> None:
        """Count a message."""
        for one in (chat_id, _EVERYWHERE):
            self._buckets[one] = (self._tokens(one) - 1, time.monotonic())

    def spare(self, chat_id: int) -> bool:
        """Whether a message may go at once, with one more left for something important."""
        return self._tokens(chat_id) >= 2 and self._tokens(_EVERYWHERE) >= 2

    def _missing(self, one: int) -> float:
        """Seconds until a token is there."""
        # Of what is missing by a rounding error nobody needs to wait for again.
        missing = 1 - 1e-6 - self._tokens(one)
        return missing / _limit(one).per_second if missing > 0 else 0.0

    def _tokens(self, one: int) -> float:
        now, limit = time.monotonic(), _limit(one)
        tokens, at = self._buckets.get(one, (limit.burst, now))
        return min(limit.burst, tokens + (now - at) * limit.per_second)


def _limit(one: int) -> _Limit:
    if one == _EVERYWHERE:
        return _ALL
    return _CHAT if one > 0 else _GROUP
