"""Watching the time of a run: its signs of life, whether it gets on, its warning and its end. Pure.

The times are seconds of a monotonic clock, which nobody sets. On Linux and macOS it stands still
while the machine sleeps: a laptop that was closed for the night costs its runs nothing.
"""

from datetime import timedelta
from enum import StrEnum, auto


class Due(StrEnum):
    """What comes next if nothing is heard until then."""

    warning = auto()  # most of its time is over
    silence = auto()  # no sign of life for as long as a lease
    standstill = auto()  # signs of life, but nothing gets on
    time_up = auto()


class Watch:
    """The times of one run, or of one turn of it."""

    def __init__(
        self,
        *,
        now: float,
        allowed: timedelta,
        silence: timedelta,
        standstill: timedelta,
        warn_at: float = 1.0,
    ) -> None:
        """`warn_at` is the share of the time after which a warning is due; 1 means none."""
        self.allowed = allowed
        self.standstill = standstill
        self._ends = now + allowed.total_seconds()
        self._warns = now + warn_at * allowed.total_seconds() if warn_at < 1 else None
        self._silence = silence.total_seconds()
        self._heard = now
        self._grew = now

    def heard(self, now: float, *, grew: bool) -> None:
        """It gave a sign of life; `grew` when something came of it."""
        self._heard = now
        if grew:
            self._grew = now

    def warned(self) -> None:
        """It was told; once is enough."""
        self._warns = None

    def lengthen(self, by: timedelta, *, now: float) -> None:
        """Time that went into something else than its work."""
        self._ends += by.total_seconds()
        if self._warns is not None:
            self._warns += by.total_seconds()
        self.heard(now, grew=True)

    def left(self, now: float) -> timedelta:
        """How much of its time is left."""
        return timedelta(seconds=max(0.0, self._ends - now))

    def next_due(self) -> tuple[float, Due]:
        """When what is due, if nothing is heard until then. Of two at once, the graver."""
        moments = [
            (self._ends, Due.time_up),
            (self._heard + self._silence, Due.silence),
            (self._grew + self.standstill.total_seconds(), Due.standstill),
        ]
        if self._warns is not None:
            moments.append((self._warns, Due.warning))
        return min(moments, key=lambda each: each[0])
