"""The index: LanceDB tables of texts and of vectors, derived from the rows and worth nothing alone.

Only the index process imports this. One table holds the texts, a part of a memory a row; each
embedder has a table of its vectors, so that a new one is filled while the texts stay searchable.
"""

import hashlib
import heapq
import os
import shutil
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS, BTree, HnswSq
from lancedb.query import MatchQuery

from agentos.memory.recall import Hit

_TEXTS = "texts"
_PARTS_A_MEMORY = 1000
_SCHEMA = pa.schema(
    [
        # Not nullable: without that LanceDB takes no primary key, and merges could double a row.
        pa.field("key", pa.int64(), nullable=False),
        pa.field("id", pa.int64(), nullable=False),
        pa.field("revision", pa.int64(), nullable=False),
        pa.field("digest", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("passage", pa.string(), nullable=False),
    ]
)
# Below this a look at every vector is quicker than an index of them.
ANN_FROM = 20_000
_NOW = timedelta()
_TRIES = 3


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
        return self.memory_id * _PARTS_A_MEMORY + self.number

    @property
    def digest(self) -> int:
        """Another number for another content: tells whether its vector is still its own."""
        content = f"{self.text}\x00{self.passage}".encode()
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), signed=True)


@dataclass
class _Known:
    revision: int
    digest: int


class Index:
    """The tables in one folder. All writes go through one lock; searches take none.

    Raises whatever LanceDB raises when the files are damaged; `wipe` begins anew.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._parts: dict[int, _Known] = {}
        self._embedded: dict[int, int] = {}
        # Kept beside the two, because a search asks how many there are.
        self._missing: set[int] = set()
        self._texts: Any = None
        self._vectors: Any = None
        self._indexing = False
        self.unsettled = 0
        self._open()

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._database = lancedb.connect(self._folder)
        if _TEXTS in self._names():
            self._texts = self._database.open_table(_TEXTS)
            found = self._texts.search().select(["key", "revision", "digest"]).to_arrow()
            for key, revision, digest in _columns(found, "key", "revision", "digest"):
                self._parts[key] = _Known(revision, digest)
            # What a kill has left half written belongs to no version, and nobody else writes.
            self._texts.optimize(cleanup_older_than=_NOW, delete_unverified=True)
        else:
            self._texts = self._database.create_table(_TEXTS, schema=_SCHEMA)
            self._texts.set_unenforced_primary_key("key")
        self._index_texts()

    def _names(self) -> list[str]:
        return [path.stem for path in self._folder.glob("*.lance")]

    def _index_texts(self, *, anew: bool = False) -> None:
        made = {index.columns[0] for index in self._texts.list_indices()}
        for column, config in (("text", FTS()), ("passage", FTS()), ("key", BTree())):
            if anew or column not in made:
                self._texts.create_index(column, config=config, replace=True)

    def revisions(self) -> dict[int, int]:
        """The revision in which each memory is here."""
        with self._lock:
            return {key // _PARTS_A_MEMORY: known.revision for key, known in self._parts.items()}

    def put(self, parts: Sequence[Part]) -> None:
        """Write parts, in place of what had their keys. All parts of a memory come together."""
        latest = {part.key: part for part in parts}
        with self._lock:
            fresh = [part for part in latest.values() if self._is_news(part)]
            if not fresh:
                return
            rows = [
                {
                    "key": part.key,
                    "id": part.memory_id,
                    "revision": part.revision,
                    "digest": part.digest,
                    "text": part.text,
                    "passage": part.passage,
                }
                for part in fresh
            ]
            _merge(self._texts, pa.Table.from_pylist(rows, schema=_SCHEMA))
            for part in fresh:
                self._parts[part.key] = _Known(part.revision, part.digest)
                if self._vectors is not None and self._embedded.get(part.key) != part.digest:
                    self._missing.add(part.key)
            self.unsettled += 1

    def _is_news(self, part: Part) -> bool:
        known = self._parts.get(part.key)
        return known is None or (known.revision, known.digest) != (part.revision, part.digest)

    def drop(self, ids: Iterable[int]) -> None:
        """Take memories out of every search."""
        with self._lock:
            gone = set(ids)
            keys = [key for key in self._parts if key // _PARTS_A_MEMORY in gone]
            if not keys:
                return
            for some in _chunks(keys, 1000):
                where = f"key IN ({', '.join(map(str, some))})"
                self._texts.delete(where)
                if self._vectors is not None:
                    self._vectors.delete(where)
            for key in keys:
                del self._parts[key]
                self._embedded.pop(key, None)
                self._missing.discard(key)
            self.unsettled += 1

    def use_vectors(self, mark: str, *, dimensions: int) -> None:
        """Search and keep the vectors of this embedder; those of others go."""
        name = f"vectors_{mark}"
        with self._lock:
            for other in self._names():
                if other.startswith("vectors_") and other != name:
                    self._database.drop_table(other)
            if name in self._names():
                self._vectors = self._database.open_table(name)
                self._vectors.optimize(cleanup_older_than=_NOW, delete_unverified=True)
                found = self._vectors.search().select(["key", "digest"]).to_arrow()
                self._embedded = dict(_columns(found, "key", "digest"))
            else:
                fields = [
                    pa.field("key", pa.int64(), nullable=False),
                    pa.field("digest", pa.int64(), nullable=False),
                    pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False),
                ]
                self._vectors = self._database.create_table(name, schema=pa.schema(fields))
                self._vectors.create_index("key", config=BTree())
                self._embedded = {}
            strange = [key for key in self._embedded if key not in self._parts]
            for some in _chunks(strange, 1000):
                self._vectors.delete(f"key IN ({', '.join(map(str, some))})")
            for key in strange:
                del self._embedded[key]
            self._missing = {
                key for key, known in self._parts.items() if self._embedded.get(key) != known.digest
            }

    def missing_count(self) -> int:
        """How many parts have no vector, or one of another content; 0 without an embedder."""
        return len(self._missing)

    def missing(self, *, limit: int) -> list[int]:
        """The keys of some of them, the newest first."""
        with self._lock:
            return heapq.nlargest(limit, self._missing)

    def contents(self, keys: Sequence[int]) -> list[tuple[int, int, str, str]]:
        """Key, digest, text and passage of parts."""
        where = f"key IN ({', '.join(map(str, keys))})"
        query = self._texts.search().where(where).limit(len(keys))
        found = query.select(["key", "digest", "text", "passage"]).to_arrow()
        return list(_columns(found, "key", "digest", "text", "passage"))

    def put_vectors(
        self, keys: Sequence[int], digests: Sequence[int], vectors: "np.ndarray[Any, Any]"
    ) -> None:
        """Keep the vectors of parts; those that were dropped meanwhile are left out."""
        with self._lock:
            kept = [place for place, key in enumerate(keys) if key in self._parts]
            if not kept:
                return
            schema = self._vectors.schema
            flat = pa.array(vectors[kept].astype(np.float32).ravel())
            columns = [
                pa.array([keys[place] for place in kept], pa.int64()),
                pa.array([digests[place] for place in kept], pa.int64()),
                pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            ]
            _merge(self._vectors, pa.Table.from_arrays(columns, schema=schema))
            for place in kept:
                key, digest = keys[place], digests[place]
                self._embedded[key] = digest
                if self._parts[key].digest == digest:
                    self._missing.discard(key)
            self.unsettled += 1

    def search(self, words: str, vector: "np.ndarray[Any, Any] | None", *, limit: int) -> list[Hit]:
        """Candidates by words and, with a vector, by meaning; a memory may have several hits."""
        text, passage = self._lexical(words, "text", limit), self._lexical(words, "passage", limit)
        keys = {**text, **passage}
        cosines: dict[int, float] = {}
        if vector is not None and self._vectors is not None and self._embedded:
            cosines = self._near(vector, limit=limit)
            cosines.update(self._cosines([key for key in keys if key not in cosines], vector))
        return [
            Hit(
                key // _PARTS_A_MEMORY,
                text.get(key, 0.0),
                passage.get(key, 0.0),
                cosines.get(key, 0.0),
            )
            for key in {**keys, **cosines}
        ]

    def _lexical(self, words: str, column: str, limit: int) -> dict[int, float]:
        if not words.strip():
            return {}
        query = self._texts.search(_match(words, column), query_type="fts")
        found = query.select(["key", "_score"]).limit(limit).to_arrow()
        return dict(_columns(found, "key", "_score"))

    def _near(self, vector: "np.ndarray[Any, Any]", *, limit: int) -> dict[int, float]:
        query = self._vectors.search(vector).distance_type("cosine")
        found = query.select(["key", "_distance"]).limit(limit).to_arrow()
        return {key: 1.0 - far for key, far in _columns(found, "key", "_distance")}

    def _cosines(self, keys: list[int], vector: "np.ndarray[Any, Any]") -> dict[int, float]:
        """The cosines of what only the words brought up."""
        if not keys:
            return {}
        where = f"key IN ({', '.join(map(str, keys))})"
        found = self._vectors.search().where(where).limit(len(keys)).to_arrow()
        width = len(vector)
        rows = found["vector"].combine_chunks().flatten().to_numpy().reshape(-1, width)
        return dict(zip(found["key"].to_pylist(), (rows @ vector).tolist(), strict=True))

    def settle(self) -> None:
        """Few files and quick searches again: merge what was written, drop old versions."""
        with self._lock:
            self._texts.optimize(cleanup_older_than=_NOW)
            if self._vectors is not None and not self._indexing:
                self._vectors.optimize(cleanup_older_than=_NOW)
            self.unsettled = 0

    def scrub(self) -> None:
        """Write all texts anew, so that nothing of what was dropped is left in any file."""
        with self._lock:
            # Merging leaves a file alone while most of its rows live, and the dead ones with them.
            self._texts.update(where="key >= 0", values_sql={"key": "key"})
            self._texts.optimize(cleanup_older_than=_NOW, delete_unverified=True)
            self._index_texts(anew=True)
            self._texts.optimize(cleanup_older_than=_NOW, delete_unverified=True)

    def wants_ann(self) -> bool:
        """Whether there are so many vectors that they need an index, and there is none."""
        if self._vectors is None or len(self._embedded) < ANN_FROM:
            return False
        return not any(index.columns == ["vector"] for index in self._vectors.list_indices())

    def make_ann(self) -> None:
        """Index the vectors. Takes minutes for 200,000; searches and writes go on meanwhile."""
        self._indexing = True
        try:
            config = HnswSq(distance_type="cosine", num_partitions=1)
            self._vectors.create_index("vector", config=config)
        finally:
            self._indexing = False

    def wipe(self) -> None:
        """Begin anew with empty tables."""
        with self._lock:
            self._parts, self._embedded, self._vectors = {}, {}, None
            self._missing = set()
            for attempt in range(_TRIES):
                shutil.rmtree(self._folder, ignore_errors=attempt < _TRIES - 1)
                if not self._folder.exists():
                    break
            self._open()

    def told(self) -> dict[str, Any]:
        """How much is here, and in how many files."""
        files = [path for path in self._folder.rglob("*") if path.is_file()]
        with self._lock:
            return {
                "parts": len(self._parts),
                "embedded": len(self._embedded),
                "files": len(files),
                "bytes": sum(_size(path) for path in files),
                "unsettled": self.unsettled,
                "indexing": self._indexing,
            }


# The package's own types ask for every option of a query.
_match: Any = MatchQuery


def is_full(error: BaseException) -> bool:
    """Whether the disk is full: then nothing is damaged, and beginning anew would not help."""
    told = str(error).lower()
    return any(words in told for words in ("no space left", "os error 28", "disk quota"))


def _merge(table: Any, rows: pa.Table) -> None:
    merging = table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
    merging.execute(rows)


def _columns(table: pa.Table, *names: str) -> Iterable[tuple[Any, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def _chunks(keys: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _size(path: Path) -> int:
    """Its size; it may have been cleaned away just now."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return 0
