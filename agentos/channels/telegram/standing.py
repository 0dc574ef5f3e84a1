"""How it stands with Telegram: in a few words, and announced at each turn of events."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta

from agentos import log as logs

log = logs.get(__name__)

_CONNECTED = "connected"


class Standing:
    """What a receiver knows of the other side. Trouble is told once, and once that it is over."""

    def __init__(self, *, announce: Callable[[str], None], longest_pause: timedelta) -> None:
        self._announce = announce
        self._longest_pause = longest_pause.total_seconds()
        self._failures = 0
        self._is_told = False
        self.status = "connecting"

    def expect_trouble(self) -> None:
        """It is known, and said, that the server does not answer: it is not said again."""
        self._is_told = True

    def trouble(self, words: str) -> None:
        """Something is wrong."""
        if not self._is_told:
            log.warning("telegram_trouble", problem=words)
            self._announce(f"Telegram: {words.rstrip('.')}.")
        self._is_told = True
        self.status = words

    def well(self) -> None:
        """All is well, maybe again."""
        if self._is_told:
            log.info("telegram_recovered", failures=self._failures)
            self._announce("Telegram: connected again.")
        self._is_told, self._failures = False, 0
        self.status = _CONNECTED

    async def pause(self) -> None:
        """Wait, longer each time."""
        pause = min(0.5 * 2 ** min(self._failures, 10), self._longest_pause)
        self._failures += 1
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - it spreads load
