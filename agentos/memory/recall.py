"""Which memories answer a question, and why: decided here, from what the index and the rows tell.

Relevance first, then everything else. The index finds candidates by words and by meaning; what
both say is put together into one relevance, of which the best candidate has 1. Among what is
relevant, the composite decides:

    score = relevance x (0.45 + 0.25 recency + 0.20 importance + 0.10 use)

The shares are those of the systems this one learned from; Park et al. (2023, "Generative Agents")
add similarity, recency and importance in the same spirit. Adding them over a whole store lets the
new push out the true (8 to 15 points of NDCG lost on LoCoMo), so here they multiply: what is not
relevant stays so, however new. Recency halves with each half-life; what is *false* by now is not
left to it, but closed by what supersedes it.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from agentos.domain.memory import Memory
from agentos.memory.words import coverage, stems_of, words_of

# Measured on dialogues: full text alone loses to this mix, and so does one with less of it (a
# convex fusion; Bruch et al., 2023). The passage counts for more than the line, because a question
# often has the words of what was said just before its answer.
_PASSAGE = 1.3
_LEXICAL = 0.65
# A line without a word of the question is worth giving when its neighbour has them, and it has this
# share of the best one's relevance.
_BESIDE = 0.1
# Two memories that share so many of their words say the same.
_SAME = 0.8
_LEAST_RANKED = 60
_CHARACTERS_A_TOKEN = 4


class Hit(NamedTuple):
    """What the index says of one part of a memory. 0 where a search did not bring it up."""

    memory_id: int
    text: float  # BM25 of the part itself
    passage: float  # BM25 of it with what surrounds it
    cosine: float  # of question and part, by meaning; 0 without an embedder


class Weights(NamedTuple):
    """The shares of the composite; they need not add up to one, only their ratio counts."""

    similarity: float = 0.45
    recency: float = 0.25
    importance: float = 0.20
    use: float = 0.10


DEFAULT_WEIGHTS = Weights()


@dataclass(frozen=True)
class Wish:
    """What is asked, when, and how much of an answer is wanted."""

    query: str
    at: datetime
    limit: int = 10
    # At most so many tokens of memories; None is no limit.
    tokens: int | None = None
    # Below this a candidate is not relevant: the larger of cosine and the share of words found.
    floor: float = 0.25
    weights: Weights = DEFAULT_WEIGHTS
    half_life: timedelta = timedelta(days=365)
    # For what is given unasked: a memory that was just given is worth less for an hour.
    unasked: bool = False
    # Only what belongs to it, or to no project.
    project_id: int | None = None
    # Leave out what says the same as a better one. Who compares memories wants them all.
    diverse: bool = True


@dataclass(frozen=True)
class Use:
    """How often a memory was recalled, and when last."""

    times: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True)
class Recalled:
    """A memory that answers, with the parts of its score."""

    memory: Memory
    score: float
    relevance: float
    cosine: float
    lexical: float
    recency: float
    importance: float
    use: float
    # What else moved it: "given within the hour".
    notes: list[str] = field(default_factory=list)


def fuse(hits: Sequence[Hit]) -> dict[int, tuple[float, float, float]]:
    """Relevance, cosine and lexical score of each memory; the best relevance is 1.

    A memory of several parts is as relevant as its best part.
    """
    best: dict[int, tuple[float, float]] = {}
    for hit in hits:
        cosine, lexical = best.get(hit.memory_id, (0.0, 0.0))
        spoken = hit.text + _PASSAGE * hit.passage
        best[hit.memory_id] = (max(cosine, hit.cosine), max(lexical, spoken))
    most_cosine = max((cosine for cosine, _ in best.values()), default=0.0)
    most_lexical = max((lexical for _, lexical in best.values()), default=0.0)
    share = _LEXICAL if most_cosine > 0 else 1.0
    if most_lexical <= 0:
        share = 0.0
    mixed = {
        memory_id: share * (lexical / most_lexical if most_lexical > 0 else 0.0)
        + (1 - share) * (max(cosine, 0.0) / most_cosine if most_cosine > 0 else 0.0)
        for memory_id, (cosine, lexical) in best.items()
    }
    top = max(mixed.values(), default=0.0) or 1.0
    return {
        memory_id: (relevance / top, *best[memory_id]) for memory_id, relevance in mixed.items()
    }


def in_order(hits: Sequence[Hit]) -> list[int]:
    """The memories that were brought up, the most relevant first."""
    return [memory_id for memory_id, _ in _sorted(fuse(hits))]


def _sorted(
    fused: Mapping[int, tuple[float, float, float]],
) -> list[tuple[int, tuple[float, float, float]]]:
    return sorted(fused.items(), key=lambda item: -item[1][0])


def choose(
    wish: Wish,
    hits: Sequence[Hit],
    *,
    memories: Mapping[int, Memory],
    uses: Mapping[int, Use],
    injected: Collection[int] = (),
) -> list[Recalled]:
    """The answer, best first; none is a fine answer.

    `memories` are the rows as they are now: what they do not hold, or hold as closed, is left out
    whatever the index says. `injected` is what this conversation has been given already.
    """
    asked = stems_of(wish.query)
    ranked: list[Recalled] = []
    threads: set[str] = set()
    for memory_id, (relevance, cosine, lexical) in _sorted(fuse(hits)):
        if len(ranked) >= max(_LEAST_RANKED, 2 * wish.limit):
            break  # what comes now is too far behind for the rest of the composite to bring it up
        memory = memories.get(memory_id)
        if memory is None or not _fits(memory, wish) or memory_id in injected:
            continue
        near = max(cosine, _spoken(lexical)) >= wish.floor
        if not near and coverage(asked, memory.text) < wish.floor:
            # The words may stand in the lines beside it, which then are among the better ones.
            if memory.thread not in threads or relevance < _BESIDE:
                continue
        elif memory.thread is not None:
            threads.add(memory.thread)
        ranked.append(
            _scored(
                memory,
                wish,
                use=uses.get(memory_id, Use()),
                relevance=relevance,
                cosine=cosine,
                lexical=lexical,
            )
        )
    ranked.sort(key=lambda one: (-one.score, -(one.memory.id or 0)))
    best = _different(ranked, limit=wish.limit) if wish.diverse else ranked[: wish.limit]
    return _within(best, wish.tokens)


def recency(memory: Memory, *, at: datetime, half_life: timedelta) -> float:
    """1 for what is of this moment, a half after each half-life; the future counts as now."""
    age = max(at - memory.valid_from, timedelta())
    return float(0.5 ** (age / half_life))


def frequency(use: Use) -> float:
    """0 for what was never recalled, 1 from 50 times on; each time counts less than the last."""
    return min(1.0, math.log1p(use.times) / math.log1p(50))


def tokens_of(text: str) -> int:
    """About how many tokens a text takes."""
    return len(text) // _CHARACTERS_A_TOKEN + 1


def _fits(memory: Memory, wish: Wish) -> bool:
    if wish.project_id is not None and memory.project_id not in (None, wish.project_id):
        return False
    return memory.holds(wish.at)


def _spoken(lexical: float) -> float:
    """Full-text score as a share, for the floor: words of its passage make a line relevant, too."""
    return lexical / (lexical + 12.0)


def _scored(
    memory: Memory, wish: Wish, *, use: Use, relevance: float, cosine: float, lexical: float
) -> Recalled:
    weights = wish.weights
    fresh = recency(memory, at=wish.at, half_life=wish.half_life)
    often = frequency(use)
    share = (
        weights.similarity
        + weights.recency * fresh
        + weights.importance * memory.importance
        + weights.use * often
    ) / (sum(weights) or 1.0)
    made = Recalled(
        memory=memory,
        score=relevance * share,
        relevance=relevance,
        cosine=cosine,
        lexical=lexical,
        recency=fresh,
        importance=memory.importance,
        use=often,
    )
    hour_ago = wish.at - timedelta(hours=1)
    if wish.unasked and use.last_at is not None and hour_ago < use.last_at <= wish.at:
        made = replace(made, score=made.score / 2, notes=["given within the hour: halved"])
    return made


def _different(ranked: Sequence[Recalled], *, limit: int) -> list[Recalled]:
    """The best ones that do not say the same; of those that do, the best."""
    kept: list[tuple[Recalled, set[str]]] = []
    for one in ranked:
        if len(kept) == limit:
            break
        words = set(words_of(one.memory.text))
        if not any(_alike(words, other) for _, other in kept):
            kept.append((one, words))
    return [one for one, _ in kept]


def alike(left: str, right: str) -> bool:
    """Whether two texts say the same in nearly the same words."""
    return _alike(set(words_of(left)), set(words_of(right)))


def _alike(left: set[str], right: set[str]) -> bool:
    """Whether two texts have nearly the same words. A number that differs is another text."""
    differing = len(left) + len(right) - 2 * len(left & right)
    if differing > (1 - _SAME) * len(left | right):
        return False
    return not any(word.isdigit() for word in left ^ right)


def _within(ranked: Sequence[Recalled], tokens: int | None) -> list[Recalled]:
    """As many as fit into the budget; one that is too long makes room for shorter ones after it."""
    if tokens is None:
        return list(ranked)
    kept = []
    for one in ranked:
        cost = tokens_of(one.memory.text)
        if cost <= tokens:
            tokens -= cost
            kept.append(one)
    return kept
