"""What the index process does by itself: write in batches, embed, merge files, index vectors."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from agentos.memory.index import Index
from agentos.memory.parts import Part, is_full

Encode = Callable[[Sequence[tuple[str, str]]], "np.ndarray[Any, Any] | None"]

# Writes wait so long for others to go with; a question does not wait for them, it has them written.
_BATCH_SECONDS = 0.3
_MOST_WAITING = 500
# Embedded at once, and written at once: each write is a version with files of its own.
_EMBED_AT_ONCE = 16
_VECTORS_AT_ONCE = 512
# Files are merged after so many writes, or when it has been quiet; but never for more than a part
# of the time, for a large table takes long.
_MERGE_AFTER = 40
_QUIET_SECONDS = 1.0
_MERGE_SHARE = 20


class Upkeep:
    """One thread. `damaged` is called when the files cannot be written."""

    def __init__(self, index: Index, *, encode: Encode, damaged: Callable[[], None]) -> None:
        self._index = index
        self._encode = encode
        self._damaged = damaged
        self._parts: dict[int, Part] = {}
        self._drop: set[int] = set()
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._embedding = threading.Lock()
        self._wake = threading.Event()
        self._last_write = 0.0
        self._merged_at, self._merge_took = 0.0, 0.0
        self._ann: threading.Thread | None = None

    def start(self) -> None:
        """Begin, for as long as the process lives."""
        threading.Thread(target=self._run, name="upkeep", daemon=True).start()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def put(self, parts: Sequence[Part], *, drop: Iterable[int] = ()) -> None:
        """Take what is to be written; what is dropped loses what waits of it, too."""
        with self._lock:
            gone = set(drop)
            for key in [key for key, part in self._parts.items() if part.memory_id in gone]:
                del self._parts[key]
            self._drop |= gone
            for part in parts:
                self._drop.discard(part.memory_id)
                self._parts[part.key] = part
            many = len(self._parts) >= _MOST_WAITING
        if many:
            self.flush()
        self.wake()

    def discard(self) -> None:
        """Forget what waits: the index begins anew, and is told everything again."""
        with self._lock:
            self._parts, self._drop = {}, set()

    def flush(self) -> None:
        """Write what waits, now."""
        with self._flushing:
            with self._lock:
                parts, drop = self._parts, self._drop
                self._parts, self._drop = {}, set()
            if drop:
                self._index.drop(drop)
            if parts:
                self._index.put(list(parts.values()))
            if drop or parts:
                self._last_write = time.monotonic()

    def waiting(self) -> int:
        """How many parts have no vector yet; 0 without an embedder."""
        return self._index.missing_count()

    def catch_up(self, *, most: int) -> int:
        """Embed what is missing if it is not too much to wait for; how many are still missing."""
        count = self._index.missing_count()
        if 0 < count <= most:
            self._embed(self._index.missing(limit=most))
            count = self._index.missing_count()
        return count

    def _run(self) -> None:
        while True:
            self._wake.wait(_QUIET_SECONDS)
            self._wake.clear()
            try:
                time.sleep(_BATCH_SECONDS)
                self.flush()
                self._embed_all()
                self._merge()
                self._index_vectors()
            except BaseException as error:  # noqa: BLE001 - a damaged file; the rows have it all
                if is_full(error):
                    time.sleep(_QUIET_SECONDS)
                else:
                    self._damaged()

    def _embed_all(self) -> None:
        while keys := self._index.missing(limit=_VECTORS_AT_ONCE):
            if not self._embed(keys):
                return
            self.flush()
            self._merge()

    def _embed(self, keys: Sequence[int]) -> bool:
        """Embed some parts and keep their vectors; False without an embedder."""
        with self._embedding:
            found = self._index.contents(keys)
            made = []
            for start in range(0, len(found), _EMBED_AT_ONCE):
                some = [(text, passage) for *_, text, passage in found[start:][:_EMBED_AT_ONCE]]
                vectors = self._encode(some)
                if vectors is None:
                    return False
                made.append(vectors)
            if made:
                digests = [digest for _, digest, *_ in found]
                self._index.put_vectors([key for key, *_ in found], digests, np.concatenate(made))
                self._last_write = time.monotonic()
            return bool(found)

    def _merge(self) -> None:
        now = time.monotonic()
        if self._index.unsettled == 0 or now - self._merged_at < _MERGE_SHARE * self._merge_took:
            return
        quiet = now - self._last_write > _QUIET_SECONDS
        if quiet or self._index.unsettled >= _MERGE_AFTER:
            self._index.settle()
            self._merged_at = time.monotonic()
            self._merge_took = self._merged_at - now

    def _index_vectors(self) -> None:
        if self._ann is not None and self._ann.is_alive():
            return
        if self._index.wants_ann():
            self._ann = threading.Thread(target=self._make_ann, name="vectors", daemon=True)
            self._ann.start()

    def _make_ann(self) -> None:
        try:
            self._index.make_ann()
        except Exception:  # noqa: BLE001 - without it searches are slower; it is tried again
            time.sleep(_QUIET_SECONDS)
