"""The vectors in memory answer as a look at every one of them does."""

import random

import numpy as np

from agentos.memory.nearest import Matrix, Nearest


def unit(numbers: np.random.Generator, count: int) -> Matrix:
    made: Matrix = numbers.normal(size=(count, 8)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def test_after_any_puts_and_drops_the_nearest_are_those_that_are_there() -> None:
    numbers, chance = np.random.default_rng(7), random.Random(7)
    nearest, kept = Nearest(dimensions=8), dict[int, Matrix]()
    for _ in range(60):
        keys = [chance.randrange(400) for _ in range(chance.randrange(1, 30))]
        vectors = unit(numbers, len(keys))
        nearest.put(keys, vectors)
        kept.update(zip(keys, vectors, strict=True))
        gone = [chance.randrange(400) for _ in range(chance.randrange(20))]
        nearest.drop(gone)
        for key in gone:
            kept.pop(key, None)
        asked = unit(numbers, 1)[0]
        cosines = {key: float(vector @ asked) for key, vector in kept.items()}
        best = sorted(cosines, key=lambda key: -cosines[key])[:5]
        also = [chance.randrange(400) for _ in range(5)]
        found = nearest.find(asked, limit=5, also=also)
        assert set(found) == set(best) | (set(also) & set(kept))
        assert all(abs(found[key] - cosines[key]) < 1e-5 for key in found)


def test_nothing_is_near_when_nothing_is_there() -> None:
    nearest = Nearest(dimensions=8)
    asked = unit(np.random.default_rng(1), 1)[0]
    assert nearest.find(asked, limit=5, also=[3]) == {}
    nearest.put([3], asked[None])
    nearest.drop([3, 4])
    assert nearest.find(asked, limit=5, also=[3]) == {}
