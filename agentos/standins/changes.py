"""A counter that can be waited on: how long polls and watchers learn that something changed."""

import asyncio
from datetime import timedelta


class Changes:
    """Counts changes; each `fire` wakes everybody who waits."""

    def __init__(self) -> None:
        self.version = 0
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Say that something changed."""
        self.version += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, *, seen: int, within: timedelta) -> bool:
        """Wait for a change after version `seen`; False when none came `within` that."""
        if self.version != seen:
            return True
        try:
            async with asyncio.timeout(max(within.total_seconds(), 0)):
                await self._event.wait()
        except TimeoutError:
            return self.version != seen
        return True
