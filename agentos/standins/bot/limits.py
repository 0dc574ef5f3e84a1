"""Telegram's flood limits, as far as bots meet them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from agentos.standins.bot.refusal import flood

_CHAT_RATE, _CHAT_BURST = 1.0, 3.0
_GROUP_RATE, _GROUP_BURST = 20 / 60, 20.0
_ALL_RATE, _ALL_BURST = 30.0, 30.0


@dataclass(slots=True)
class _Bucket:
    rate: float  # tokens a second
    burst: float
    tokens: float
    at: float

    def refill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now

    def wait(self) -> float:
        """Seconds until a token is there."""
        return max(0.0, (1 - self.tokens) / self.rate)


class FloodLimits:
    """One message a second and chat after a burst of three, 20 a minute in groups, 30 a second."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._chats: dict[int, _Bucket] = {}
        self._all = _Bucket(_ALL_RATE, _ALL_BURST, _ALL_BURST, clock())

    def spend(self, chat_id: int, *, messages: int = 1) -> None:
        """Count messages to a chat, or refuse with 429. What is refused costs nothing.

        An album is as many messages as it has files; it may go when its first one may.
        """
        now = self._clock()
        rate, burst = (_CHAT_RATE, _CHAT_BURST) if chat_id > 0 else (_GROUP_RATE, _GROUP_BURST)
        bucket = self._chats.setdefault(chat_id, _Bucket(rate, burst, burst, now))
        for one in (bucket, self._all):
            one.refill(now)
        if wait := max(bucket.wait(), self._all.wait()):
            raise flood(math.ceil(wait))
        bucket.tokens -= messages
        self._all.tokens -= messages
