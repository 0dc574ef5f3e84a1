"""A clock that can be moved, so that a reminder for tomorrow comes due in a demo today."""

import asyncio
from datetime import UTC, datetime, timedelta


class VirtualClock:
    """The time of this machine plus what it was moved by."""

    def __init__(self) -> None:
        self._offset = timedelta()
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return datetime.now(UTC) + self._offset

    def advance(self, span: timedelta) -> datetime:
        """Move the clock, forwards or back, and wake whoever waits for a moment."""
        self._offset += span
        self._moved.set()
        self._moved = asyncio.Event()
        return self.now()

    async def sleep_until(self, moment: datetime) -> None:
        """Return when the moment has come, by waiting or by being moved there."""
        while (left := (moment - self.now()).total_seconds()) > 0:
            try:
                async with asyncio.timeout(min(left, 5.0)):
                    await self._moved.wait()
            except TimeoutError:
                continue
