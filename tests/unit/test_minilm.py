"""The bundled model makes the vectors that sentence-transformers makes of it."""

import numpy as np
import pytest

from agentos.memory.embedder_place import bundled_folder
from agentos.memory.minilm import MiniLM

PLACES = [0, 1, 2, 100, 200, 300, 383]
LONG = "Grüße aus München – 你好 " + "and so on, one word after the other, " * 60
# As sentence-transformers 6.2 tells them.
EXPECTED = {
    "When does the backup run?": [
        -0.03419, -0.03237, -0.02519, 0.03232, -0.0407, -0.04738, -0.0356,
    ],
    LONG: [-0.00921, 0.00204, 0.00813, -0.027, 0.06982, -0.01488, 0.03556],
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> MiniLM:
    folder = bundled_folder()
    assert folder is not None
    return MiniLM(folder)


@pytest.mark.parametrize("text", EXPECTED)
def test_its_vectors_are_those_of_the_published_model(model: MiniLM, text: str) -> None:
    vector = model.encode([text])[0]
    assert vector[PLACES] == pytest.approx(EXPECTED[text], abs=2e-5)
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_a_text_has_one_vector_whatever_it_comes_with(model: MiniLM) -> None:
    texts = [*EXPECTED, "", "🎉", "a\x00b", "the same", "not the same", "the same"]
    together = model.encode(texts)
    assert together.shape == (len(texts), 384)
    for text, vector in zip(texts, together, strict=True):
        assert np.abs(model.encode([text])[0] - vector).max() < 1e-5
