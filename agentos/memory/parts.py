"""What the index holds: parts of memories, and how they look in LanceDB's tables."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

PARTS_A_MEMORY = 1000


class Part(NamedTuple):
    """A piece of a memory that is searched as one."""

    memory_id: int
    number: int
    revision: int
    text: str
    passage: str  # the text with what stands around it

    @property
    def key(self) -> int:
        """Its number among all parts of all memories."""
        return self.memory_id * PARTS_A_MEMORY + self.number

    @property
    def digest(self) -> int:
        """Another number for another content: tells whether its vector is still its own."""
        content = f"{self.text}\x00{self.passage}".encode()
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), signed=True)


def columns(table: pa.Table, *names: str) -> Iterable[tuple[Any, ...]]:
    """The rows of a table, each with these columns."""
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def matrix(table: pa.Table, width: int) -> "np.ndarray[Any, Any]":
    """The vectors of a table, one a row."""
    flat = table["vector"].combine_chunks().flatten().to_numpy()
    return flat.reshape(-1, width)  # type: ignore[no-any-return]


def chunks(keys: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    """Keys in pieces of a size."""
    return (keys[start : start + size] for start in range(0, len(keys), size))


def is_full(error: BaseException) -> bool:
    """Whether the disk is full: then nothing is damaged, and beginning anew would not help."""
    told = str(error).lower()
    return any(words in told for words in ("no space left", "os error 28", "disk quota"))
