"""The index: LanceDB tables of texts and of vectors, derived from the rows and worth nothing alone.

Only the index process imports this. One table holds the texts, a part of a memory a row; each
embedder has a table of its vectors, so that a new one is filled while the texts stay searchable.
"""

import asyncio
import heapq
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS, BTree, HnswSq
from lancedb.query import MatchQuery

from agentos.memory.calls import Calls
from agentos.memory.nearest import Nearest
from agentos.memory.parts import PARTS_A_MEMORY, Part, chunks, columns, matrix
from agentos.memory.recall import Hit

_TEXTS = "texts"
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
# Below this a look at every vector is quicker than an index of them; they are kept in memory, too
# (75 MB at most).
ANN_FROM = 50_000
_NOW = timedelta()
# The columns that are searched by words.
_SPOKEN = ("text", "passage")
Embed = Callable[[], "np.ndarray[Any, Any]"]
_TRIES = 3


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
        self._calls = Calls()
        self._texts: Any = None
        self._vectors: Any = None
        # The same vectors in memory, while they are few.
        self._nearest: Nearest | None = None
        self._indexing = False
        self.unsettled = 0
        self._open()

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._database = self._calls.make(lancedb.connect_async(self._folder))
        if _TEXTS in self._names():
            self._texts = self._calls.make(self._database.open_table(_TEXTS))
            query = self._texts.query().select(["key", "revision", "digest"])
            found = self._calls.make(query.to_arrow())
            for key, revision, digest in columns(found, "key", "revision", "digest"):
                self._parts[key] = _Known(revision, digest)
            # What a kill has left half written belongs to no version, and nobody else writes.
            self._optimize(self._texts, unverified=True)
        else:
            creating = self._database.create_table(_TEXTS, schema=_SCHEMA)
            self._texts = self._calls.make(creating)
            self._calls.make(self._texts.set_unenforced_primary_key("key"))
        self._index_texts()

    def _names(self) -> list[str]:
        return [path.stem for path in self._folder.glob("*.lance")]

    def _index_texts(self, *, anew: bool = False) -> None:
        made = {index.columns[0] for index in self._calls.make(self._texts.list_indices())}
        for column, config in (("text", FTS()), ("passage", FTS()), ("key", BTree())):
            if anew or column not in made:
                self._calls.make(self._texts.create_index(column, config=config, replace=True))

    def _optimize(self, table: Any, *, unverified: bool = False) -> None:
        """Merge files, bring indices up to date, and drop old versions."""
        optimizing = table.optimize(cleanup_older_than=_NOW, delete_unverified=unverified)
        self._calls.make(optimizing)

    def revisions(self) -> dict[int, int]:
        """The revision in which each memory is here."""
        with self._lock:
            return {key // PARTS_A_MEMORY: known.revision for key, known in self._parts.items()}

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
            self._merge(self._texts, pa.Table.from_pylist(rows, schema=_SCHEMA))
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
            keys = [key for key in self._parts if key // PARTS_A_MEMORY in gone]
            if not keys:
                return
            for some in chunks(keys, 1000):
                where = f"key IN ({', '.join(map(str, some))})"
                self._calls.make(self._texts.delete(where))
                if self._vectors is not None:
                    self._calls.make(self._vectors.delete(where))
            if self._nearest is not None:
                self._nearest.drop(keys)
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
                    self._calls.make(self._database.drop_table(other))
            if name in self._names():
                self._vectors = self._calls.make(self._database.open_table(name))
                self._optimize(self._vectors, unverified=True)
                query = self._vectors.query().select(["key", "digest"])
                self._embedded = dict(columns(self._calls.make(query.to_arrow()), "key", "digest"))
            else:
                creating = self._database.create_table(name, schema=_vector_schema(dimensions))
                self._vectors = self._calls.make(creating)
                self._calls.make(self._vectors.create_index("key", config=BTree()))
                self._embedded = {}
            strange = [key for key in self._embedded if key not in self._parts]
            for some in chunks(strange, 1000):
                where = f"key IN ({', '.join(map(str, some))})"
                self._calls.make(self._vectors.delete(where))
            for key in strange:
                del self._embedded[key]
            self._missing = {
                key for key, known in self._parts.items() if self._embedded.get(key) != known.digest
            }
            self._nearest = self._in_memory(dimensions)

    def _in_memory(self, dimensions: int) -> Nearest | None:
        """All vectors in memory, or None when there are too many."""
        if len(self._embedded) > ANN_FROM:
            return None
        nearest = Nearest(dimensions=dimensions)
        if self._embedded:
            query = self._vectors.query().select(["key", "vector"])
            found = self._calls.make(query.to_arrow())
            nearest.put(found["key"].to_pylist(), matrix(found, dimensions))
        return nearest

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
        query = self._texts.query().where(where).limit(len(keys))
        query = query.select(["key", "digest", "text", "passage"])
        found = self._calls.make(query.to_arrow())
        return list(columns(found, "key", "digest", "text", "passage"))

    def put_vectors(
        self, keys: Sequence[int], digests: Sequence[int], vectors: "np.ndarray[Any, Any]"
    ) -> None:
        """Keep the vectors of parts; those that were dropped meanwhile are left out."""
        with self._lock:
            kept = [place for place, key in enumerate(keys) if key in self._parts]
            if not kept:
                return
            vectors = vectors[kept].astype(np.float32)
            flat = pa.array(vectors.ravel())
            kept_keys = [keys[place] for place in kept]
            arrays = [
                pa.array(kept_keys, pa.int64()),
                pa.array([digests[place] for place in kept], pa.int64()),
                pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            ]
            schema = _vector_schema(vectors.shape[1])
            self._merge(self._vectors, pa.Table.from_arrays(arrays, schema=schema))
            if self._nearest is not None:
                self._nearest.put(kept_keys, vectors)
            for place in kept:
                key, digest = keys[place], digests[place]
                self._embedded[key] = digest
                if self._parts[key].digest == digest:
                    self._missing.discard(key)
            if len(self._embedded) > ANN_FROM:
                self._nearest = None
            self.unsettled += 1

    def search(self, words: str, embed: Embed | None, *, limit: int) -> list[Hit]:
        """Candidates by words and, with `embed`, by meaning; a memory may have several hits.

        The question is embedded while the words are looked up.
        """
        by_words = self._calls.begin(self._by_words(words, limit))
        vector = embed() if embed is not None else None
        text, passage = by_words.result()
        keys = {**text, **passage}
        cosines: Mapping[int, float] = {}
        if vector is not None and self._vectors is not None and self._embedded:
            nearest = self._nearest
            if nearest is not None:
                cosines = nearest.find(vector, limit=limit, also=keys)
            else:
                cosines = self._calls.make(self._by_meaning(vector, list(keys), limit))
        return [
            Hit(
                key // PARTS_A_MEMORY,
                text.get(key, 0.0),
                passage.get(key, 0.0),
                cosines.get(key, 0.0),
            )
            for key in {**keys, **cosines}
        ]

    async def _by_words(self, words: str, limit: int) -> list[dict[int, float]]:
        """BM25 scores of the parts themselves, and of their passages."""
        if not words.strip():
            return [{}, {}]
        return await asyncio.gather(*(self._lexical(words, one, limit) for one in _SPOKEN))

    async def _lexical(self, words: str, column: str, limit: int) -> dict[int, float]:
        query = self._texts.query().nearest_to_text(_match(words, column))
        found = await query.select(["key", "_score"]).limit(limit).to_arrow()
        return dict(columns(found, "key", "_score"))

    async def _by_meaning(
        self, vector: "np.ndarray[Any, Any]", keys: list[int], limit: int
    ) -> dict[int, float]:
        """The cosines of the nearest parts, and of those that the words have brought up."""
        near, known = await asyncio.gather(self._near(vector, limit), self._cosines(keys, vector))
        return {**known, **near}

    async def _near(self, vector: "np.ndarray[Any, Any]", limit: int) -> dict[int, float]:
        query = self._vectors.query().nearest_to(vector).distance_type("cosine")
        found = await query.select(["key", "_distance"]).limit(limit).to_arrow()
        return {key: 1.0 - far for key, far in columns(found, "key", "_distance")}

    async def _cosines(self, keys: list[int], vector: "np.ndarray[Any, Any]") -> dict[int, float]:
        if not keys:
            return {}
        where = f"key IN ({', '.join(map(str, keys))})"
        query = self._vectors.query().where(where).select(["key", "vector"]).limit(len(keys))
        found = await query.to_arrow()
        cosines = matrix(found, len(vector)) @ vector
        return dict(zip(found["key"].to_pylist(), cosines.tolist(), strict=True))

    def settle(self) -> None:
        """Few files and quick searches again: merge what was written, drop old versions."""
        with self._lock:
            self._optimize(self._texts)
            if self._vectors is not None and not self._indexing:
                self._optimize(self._vectors)
            self.unsettled = 0

    def scrub(self) -> None:
        """Write all texts anew, so that nothing of what was dropped is left in any file."""
        with self._lock:
            # Merging leaves a file alone while most of its rows live, and the dead ones with them.
            self._calls.make(self._texts.update(where="key >= 0", updates_sql={"key": "key"}))
            self._optimize(self._texts, unverified=True)
            self._index_texts(anew=True)
            self._optimize(self._texts, unverified=True)

    def wants_ann(self) -> bool:
        """Whether there are so many vectors that they need an index, and there is none."""
        if self._vectors is None or len(self._embedded) < ANN_FROM:
            return False
        made = self._calls.make(self._vectors.list_indices())
        return not any(index.columns == ["vector"] for index in made)

    def make_ann(self) -> None:
        """Index the vectors. Takes minutes for 200,000; searches and writes go on meanwhile."""
        self._indexing = True
        try:
            config = HnswSq(distance_type="cosine", num_partitions=1)
            self._calls.make(self._vectors.create_index("vector", config=config))
        finally:
            self._indexing = False

    def wipe(self) -> None:
        """Begin anew with empty tables."""
        with self._lock:
            self._parts, self._embedded, self._vectors = {}, {}, None
            self._nearest = None
            self._missing = set()
            for attempt in range(_TRIES):
                shutil.rmtree(self._folder, ignore_errors=attempt < _TRIES - 1)
                if not self._folder.exists():
                    break
            self._open()

    def _merge(self, table: Any, rows: pa.Table) -> None:
        merging = table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
        self._calls.make(merging.execute(rows))

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


def _vector_schema(dimensions: int) -> pa.Schema:
    return pa.schema(
        [
            pa.field("key", pa.int64(), nullable=False),
            pa.field("digest", pa.int64(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False),
        ]
    )


def _size(path: Path) -> int:
    """Its size; it may have been cleaned away just now."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return 0
