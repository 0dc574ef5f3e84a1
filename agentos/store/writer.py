"""The writer thread: what waits to be written is committed together.

A commit waits for the disk, and that takes longer than the writing. So all works that wait share
one transaction. Each has a savepoint of its own: one that raises is undone alone, and its caller
gets what it raised. The others get their results when they are on the disk, never before.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
Begin = Callable[[], AbstractContextManager[Connection]]
# A transaction keeps others from writing; this many works take a few hundredths of a second.
_MOST_TOGETHER = 64


@dataclass
class _Work:
    """Something to write, and who waits for it."""

    do: Callable[[Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    """One thread; it is started by the first work."""

    def __init__(self, begin: Begin, *, translate: Callable[[DBAPIError], Exception]) -> None:
        self._begin = begin
        self._translate = translate
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def write(self, do: Callable[[Connection], T]) -> T:
        """The result of `do`, once it is committed. Raises what it raises, or StoreUnusable."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.put(_Work(do, loop, future))
        return await future

    def close(self) -> None:
        """Write what waits, then end."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        closing = False
        while not closing:
            works = [self._waiting.get()]
            while len(works) < _MOST_TOGETHER and not self._waiting.empty():
                works.append(self._waiting.get())
            closing = None in works
            # One that nobody waits for any more has not begun, so it need not.
            wanted = [work for work in works if work is not None and not work.future.cancelled()]
            if wanted:
                self._write(wanted)
                _deliver(wanted)

    def _write(self, works: list[_Work]) -> None:
        try:
            with self._begin() as connection:
                if len(works) == 1:
                    works[0].result = works[0].do(connection)
                else:
                    for work in works:
                        self._write_one(connection, work)
        except BaseException as error:  # noqa: BLE001 - it belongs to those who wait, not to us
            for work in works:
                work.error = work.error or error

    def _write_one(self, connection: Connection, work: _Work) -> None:
        """One of several. Raises when the whole transaction is lost."""
        connection.exec_driver_sql("SAVEPOINT one")
        try:
            work.result = work.do(connection)
        except DBAPIError as error:
            work.error = self._translate(error)
        except BaseException as error:  # noqa: BLE001 - as above
            work.error = error
        if work.error is not None:
            try:
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT one")
            except DBAPIError as error:
                # A full disk has undone all of it, savepoints too: all are told the reason.
                raise work.error from error
        connection.exec_driver_sql("RELEASE SAVEPOINT one")


def _deliver(works: list[_Work]) -> None:
    """Tell those who wait, each in its loop; one call a loop, because each wakes it."""
    for loop in {work.loop for work in works}:
        theirs = [work for work in works if work.loop is loop]
        try:
            loop.call_soon_threadsafe(_settle, theirs)
        except RuntimeError:
            continue  # that loop is closed: nobody waits there any more


def _settle(works: list[_Work]) -> None:
    for work in works:
        if work.future.done():
            continue
        if work.error is not None:
            work.future.set_exception(work.error)
        else:
            work.future.set_result(work.result)
