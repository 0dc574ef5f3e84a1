"""Any sentence-transformers model. Only the embedder imports this: it brings PyTorch along."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer


class Transformer:
    """A model from a folder or a hub. Texts come out as unit vectors."""

    def __init__(self, place: str) -> None:
        """Raises whatever is wrong with it."""
        # The machine is the owner's; one thread embeds a line in 9 ms.
        torch.set_num_threads(1)
        self._model = SentenceTransformer(place, device="cpu")
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """One unit vector a text."""
        with self._lock, torch.inference_mode():
            made = self._model.encode(
                list(texts),
                normalize_embeddings=True,
                show_progress_bar=False,
                batch_size=len(texts),
            )
        return np.asarray(made, np.float32)
