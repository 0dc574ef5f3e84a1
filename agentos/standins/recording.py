"""What a stand-in has been asked: a bounded list whose numbers never repeat."""

import time
from collections import deque
from typing import Any

Record = dict[str, Any]


class Recording:
    """The last `limit` records in order; older ones fall off, their numbers stay taken."""

    def __init__(self, *, limit: int = 5000) -> None:
        self._records: deque[Record] = deque(maxlen=limit)
        self._next = 0

    def add(self, **fields: Any) -> Record:
        """Note something that arrives now. The record may be completed later, in place."""
        record = {
            "index": self._next,
            "at": time.time(),
            "monotonic": time.monotonic(),
            **fields,
        }
        self._next += 1
        self._records.append(record)
        return record

    def since(self, index: int) -> list[Record]:
        """The records numbered `index` and above that are still kept."""
        return [record for record in self._records if record["index"] >= index]

    def clear(self) -> None:
        """Forget everything and number from 0 again."""
        self._records.clear()
        self._next = 0
