"""The wall clock, as a port that a demo or a test can replace."""

import asyncio
from datetime import UTC, datetime

# A wait is cut into pieces, so that a jump of the wall clock or a laptop's sleep is noticed.
_LONGEST_NAP_SECONDS = 5.0


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        """Return when the moment has come, by the wall clock."""
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, _LONGEST_NAP_SECONDS))
