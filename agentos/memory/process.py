"""The index process: holds the index and the embedder, and answers the daemon's questions.

Run as `python -m agentos.memory.process FD FOLDER LOCK EMBEDDER`, where FD is its end of a socket
pair. One JSON object a line each way; a reply has the id of its request, and two things that may
change at any time: the `generation` of the index (another one is empty) and the embedder's state.

    →  {"id": 1, "op": "put", "parts": [[4, 0, 17, "text", "passage"]]}
    →  {"id": 2, "op": "search", "words": "…", "query": "…", "limit": 100, "lexical": false}
    ←  {"id": 2, "generation": "a1", "embedder": "ready", "result": {"hits": [[4, 3.1, 2.0, 0.5]]}}
    ←  {"id": 3, "generation": "a1", "embedder": "loading", "problem": "…"}

When the other end closes, the daemon is gone, and so are we. What is put is kept in memory for a
moment, so that many writes become one; a kill loses nothing, for the daemon compares at each start.
"""

import fcntl
import gc
import importlib
import json
import os
import secrets
import shutil
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import numpy as np
from setproctitle import setproctitle

from agentos.errors import AgentosError
from agentos.memory.embedder_place import find_place
from agentos.memory.index import Index
from agentos.memory.parts import Part, is_full
from agentos.memory.upkeep import Upkeep

_LOCK_PATIENCE = timedelta(seconds=15)
_SEARCHERS = 2
_TRIES = 3
# So few are embedded while the question waits, so that it finds what was said just now.
_AT_ONCE = 16


class State:
    """The index, the embedder, and what both are doing."""

    def __init__(self, index: Index, *, place: str) -> None:
        self.index = index
        self.generation = secrets.token_hex(4)
        self._beginning = threading.Lock()
        self.place = place
        self.embedder: Any = None
        self.embedder_state = "loading" if place else "off"
        self.upkeep = Upkeep(index, encode=self.encode_parts, damaged=self.begin_anew)

    def load_embedder(self) -> None:
        """Import and load it. Takes seconds; until then everything goes by words."""
        try:
            # Not at the top: it takes seconds to import, and may not be installed.
            # What is imported stays: looking for garbage in it takes a fifth of the time.
            gc.disable()
            module = importlib.import_module("agentos.memory.embedder")
            gc.freeze()
            embedder = module.Embedder(find_place(self.place))
            self.index.use_vectors(embedder.mark, dimensions=embedder.dimensions)
            self.embedder = embedder
            self.embedder_state = "ready"
        except AgentosError as error:
            self.embedder_state = f"missing: {error}"
        except Exception as error:  # noqa: BLE001 - a library of others; recall goes on by words
            self.embedder_state = f"missing: it cannot be loaded ({error})"
        finally:
            gc.enable()
        self.upkeep.wake()

    def encode_parts(self, parts: Sequence[tuple[str, str]]) -> "np.ndarray[Any, Any] | None":
        """A vector for each text and its passage: what it says, and what it is about."""
        if self.embedder is None:
            return None
        texts = [text for text, _ in parts]
        around = [place for place, (text, passage) in enumerate(parts) if passage != text]
        both = self.embedder.encode([*texts, *(parts[place][1] for place in around)])
        vectors: np.ndarray[Any, Any] = both[: len(texts)].copy()
        vectors[around] += both[len(texts) :]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.maximum(lengths, 1e-9)
        return vectors

    def begin_anew(self) -> None:
        """The files are damaged: an empty index, which the daemon fills again."""
        with self._beginning:
            self.generation = secrets.token_hex(4)
            self.upkeep.discard()
            self.index.wipe()
            if self.embedder is not None:
                self.index.use_vectors(self.embedder.mark, dimensions=self.embedder.dimensions)

    def put(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take parts; they are found from now on, and written soon."""
        self.upkeep.put([Part(*part) for part in request["parts"]], drop=request.get("drop", ()))
        return {}

    def search(self, request: dict[str, Any]) -> dict[str, Any]:
        """Candidates. Damaged files make an empty answer of another generation."""
        question = None
        if self.embedder is not None and not request.get("lexical"):
            question = _Question(self.embedder, request["query"])
        waiting = 0
        for attempt in range(_TRIES):
            generation = self.generation
            try:
                self.upkeep.flush()
                if question is not None:
                    waiting = self.upkeep.catch_up(most=_AT_ONCE)
                embed = None if question is None else question.vector
                hits = self.index.search(request["words"], embed, limit=request["limit"])
            except BaseException as error:
                # A file that was merged away under our eyes; or damage, of which LanceDB's native
                # part may also make a panic.
                if is_full(error):
                    raise
                time.sleep(0.05 * attempt)
            else:
                took = 0.0 if question is None else question.milliseconds
                return {"hits": hits, "embed_ms": took, "waiting": waiting}
        if generation == self.generation:
            self.begin_anew()
        return {"hits": [], "embed_ms": 0.0, "waiting": 0}

    def revisions(self, _: dict[str, Any]) -> dict[str, Any]:
        """What is here, for a comparison with the rows."""
        self.upkeep.flush()
        return {"revisions": list(self.index.revisions().items())}

    def tally(self, _: dict[str, Any]) -> dict[str, Any]:
        """The same in three numbers."""
        self.upkeep.flush()
        found = self.index.revisions().values()
        return {"tally": [len(found), max(found, default=0), sum(found)]}

    def scrub(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return when nothing of what was dropped is left in any file."""
        self.upkeep.flush()
        self.index.scrub()
        return {}

    def status(self, _: dict[str, Any]) -> dict[str, Any]:
        """How it goes."""
        return {**self.index.told(), "waiting": self.upkeep.waiting(), "pid": os.getpid()}

    def settle(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return when all that was put is embedded and merged."""
        self.upkeep.flush()
        while self.embedder_state == "loading" or self.upkeep.waiting():
            self.upkeep.wake()
            time.sleep(0.05)
        self.index.settle()
        return {}


class _Question:
    """What is asked, as a vector: made once, however often the search is tried."""

    def __init__(self, embedder: Any, text: str) -> None:
        self._embedder = embedder
        self._text = text
        self._vector: np.ndarray[Any, Any] | None = None
        self.milliseconds = 0.0

    def vector(self) -> "np.ndarray[Any, Any]":
        """Embed it, or tell what came of it before."""
        if self._vector is None:
            began = time.perf_counter()
            self._vector = self._embedder.encode([self._text])[0]
            self.milliseconds = (time.perf_counter() - began) * 1000
        assert self._vector is not None
        return self._vector


class Server:
    """Requests come in on one thread; answers that take time are made on others."""

    def __init__(self, connection: socket.socket, state: State) -> None:
        self._connection = connection
        self._state = state
        self._sending = threading.Lock()
        self._searchers = ThreadPoolExecutor(_SEARCHERS, thread_name_prefix="search")
        self._chores = ThreadPoolExecutor(2, thread_name_prefix="chore")
        self._ops: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], Any]] = {
            "put": (state.put, None),
            "search": (state.search, self._searchers),
            "revisions": (state.revisions, self._chores),
            "tally": (state.tally, self._chores),
            "status": (state.status, self._chores),
            "scrub": (state.scrub, self._chores),
            "settle": (state.settle, self._chores),
        }

    def serve(self) -> None:
        """Until the other end closes."""
        with self._connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                work, threads = self._ops[request["op"]]
                if threads is None:
                    self._answer(work, request)
                else:
                    threads.submit(self._answer, work, request)

    def _answer(
        self, work: Callable[[dict[str, Any]], dict[str, Any]], request: dict[str, Any]
    ) -> None:
        reply: dict[str, Any] = {"id": request["id"]}
        try:
            reply["result"] = work(request)
        except BaseException as error:  # noqa: BLE001 - the edge of this process: told, not lost
            reply["problem"] = f"{type(error).__name__}: {error}"[:500]
        reply["generation"] = self._state.generation
        reply["embedder"] = self._state.embedder_state
        line = json.dumps(reply).encode() + b"\n"
        try:
            with self._sending:
                self._connection.sendall(line)
        except OSError:
            os._exit(0)  # nobody is there any more


def open_index(folder: Path) -> Index:
    """The index of a folder; an empty one when what is there cannot be read."""
    try:
        return Index(folder)
    except BaseException as error:
        # A damaged file raises one of many errors of LanceDB, or a panic of its native part.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        shutil.rmtree(folder, ignore_errors=True)
        return Index(folder)


def _lock(file: Path) -> IO[bytes]:
    """Hold the index alone; the one before us may still be ending."""
    held = file.open("ab")
    deadline = time.monotonic() + _LOCK_PATIENCE.total_seconds()
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                sys.exit("another process holds the index")
            time.sleep(0.05)
        else:
            return held


def main(argv: list[str]) -> None:
    """Serve one daemon."""
    connection = socket.socket(fileno=int(argv[1]))
    folder, lock, place = Path(argv[2]), Path(argv[3]), argv[4]
    setproctitle("agentos: memory")
    # LanceDB warns of other processes that read; there are none, which the lock sees to.
    warnings.simplefilter("ignore")
    with _lock(lock):
        state = State(open_index(folder), place=place)
        state.upkeep.start()
        if place:
            threading.Thread(target=state.load_embedder, name="embedder", daemon=True).start()
        Server(connection, state).serve()
        # Threads in the midst of native code would hold up an orderly end; nothing needs one.
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv)
