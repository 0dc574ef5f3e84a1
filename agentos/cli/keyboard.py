"""Lines from standard input, typed or piped, without blocking the loop and without a thread."""

import asyncio
import codecs
import os
from contextlib import suppress

_CHUNK = 65_536
# Lines that come this close together were pasted, not typed.
_PASTE_SECONDS = 0.03


class Keyboard:
    """Reads lines from a file descriptor. `typed` joins the lines of a paste into one."""

    def __init__(self, descriptor: int = 0, *, typed: bool) -> None:
        self._descriptor = descriptor
        self._typed = typed
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._watched = False

    async def line(self) -> str | None:
        """The next line without its end, or None when there are no more."""
        self._watch()
        line = await self._lines.get()
        if line is None:
            self._lines.put_nowait(None)
            return None
        while self._typed:
            more: str | None = None
            with suppress(TimeoutError):
                async with asyncio.timeout(_PASTE_SECONDS):
                    more = await self._lines.get()
                if more is None:
                    self._lines.put_nowait(None)
            if more is None:
                break
            line += "\n" + more
        return line

    def close(self) -> None:
        """Stop watching."""
        if self._watched:
            asyncio.get_running_loop().remove_reader(self._descriptor)

    def _watch(self) -> None:
        if self._watched:
            return
        self._watched = True
        try:
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        except PermissionError:
            # A regular file is always ready, so nobody can be told when it is: read it at once.
            while self._read():
                pass

    def _read(self) -> bool:
        """Take what is there; whether there may be more."""
        try:
            chunk = os.read(self._descriptor, _CHUNK)
        except OSError:  # the terminal was closed
            chunk = b""
        *whole, self._begun = (self._begun + self._decoder.decode(chunk)).split("\n")
        for line in whole:
            self._lines.put_nowait(line.removesuffix("\r"))
        if chunk:
            return True
        if self._begun:
            self._lines.put_nowait(self._begun)
            self._begun = ""
        self._lines.put_nowait(None)
        asyncio.get_running_loop().remove_reader(self._descriptor)
        return False
