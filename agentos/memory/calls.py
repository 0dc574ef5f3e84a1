"""LanceDB's calls, on a loop of their own, so that several are under way at a time.

Its blocking interface goes to such a loop and back six times for one query, which takes as long as
the query.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Calls:
    """One loop in one thread, for as long as the process lives."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="lancedb", daemon=True).start()

    def begin(self, call: Coroutine[Any, Any, T]) -> "Future[T]":
        """Have a call made while the caller does something else."""
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def make(self, call: Coroutine[Any, Any, T]) -> T:
        """Make a call and wait for it."""
        return self.begin(call).result()
