"""How the machine bears up: with little memory or much load, what can wait waits."""

import os
import time
from datetime import timedelta

import psutil

_FRESH = timedelta(seconds=1)


class Machine:
    """Looks at memory and load, at most once a second."""

    def __init__(self, *, least_memory_mb: int, most_load: float) -> None:
        self._least_memory_mb = least_memory_mb
        self._most_load = most_load
        self._looked = -_FRESH.total_seconds()
        self._strain = ""

    @property
    def strain(self) -> str:
        """What is scarce, in words; empty when nothing is."""
        now = time.monotonic()
        if now - self._looked >= _FRESH.total_seconds():
            self._looked = now
            self._strain = self._look()
        return self._strain

    @property
    def short_of_memory(self) -> bool:
        """Whether memory is what is scarce."""
        return _available_mb() < self._least_memory_mb

    def _look(self) -> str:
        available = _available_mb()
        if available < self._least_memory_mb:
            return f"the machine has {available} MB of memory left"
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        if load > self._most_load:
            return f"the machine has a load of {load:.1f} a processor"
        return ""


def _available_mb() -> int:
    return int(psutil.virtual_memory().available // 1_000_000)
