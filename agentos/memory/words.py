"""Words of texts and of questions: which of them carry meaning, and how long texts are split.

Pure, and small enough for every process; the index has its own stemmer, this one stands in for it.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

_WORD = re.compile(r"\w+(?:['’]\w+)?")
# What questions are made of and answers are not. The index drops the commonest words by itself;
# these are left in its texts, and would find every line in which somebody asks something.
_EMPTY_WORDS = """
a about after all also am an and any are as at be because been before being but by can could did do
does doing done for from get gets got had has have having he her hers him his how i if in into is it
its just like likely many may me might more most much my no not of off on one or other our out over
own s say says she should so some such t tell than that the their them then there these they this
those to too up us very was we were what when where which while who whom whose why will with would
you your yours
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
_ENDINGS = ("ations", "ation", "ings", "ing", "edly", "ies", "ied", "ed", "es", "ly", "s")
# MiniLM reads 256 word pieces and silently drops the rest; that is some 190 English words.
PART_WORDS = 160
_OVERLAP_WORDS = 30


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without a possessive ending."""
    found = (match.group().lower().replace("’", "'") for match in _WORD.finditer(text))
    return [word.removesuffix("'s") for word in found]


def meaningful(text: str) -> list[str]:
    """The words that say what a question is about; all of them when none does."""
    found = words_of(text)
    return [word for word in found if word not in _EMPTY] or found


def stem(word: str) -> str:
    """A word without its ending: enough to find "painted" by "paints"."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def stems_of(text: str) -> list[str]:
    """The stems of a text's meaningful words."""
    return [stem(word) for word in meaningful(text)]


def date_words(at: datetime, *, zone: ZoneInfo) -> str:
    """A day as people ask for it: "8 May 2023"."""
    local = at.astimezone(zone)
    return f"{local.day} {local:%B %Y}"


def split(text: str) -> list[str]:
    """Parts that an embedder reads to their end; they overlap, so that no sentence falls between.

    A short text is its own only part.
    """
    places = [match.span() for match in re.finditer(r"\S+", text)]
    if len(places) <= PART_WORDS + _OVERLAP_WORDS:
        return [text]
    parts = []
    for start in range(0, len(places) - _OVERLAP_WORDS, PART_WORDS - _OVERLAP_WORDS):
        some = places[start : start + PART_WORDS]
        parts.append(text[some[0][0] : some[-1][1]])
    return parts


def bm25(query: str, texts: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> list[float]:
    """How well each text fits a question (Robertson and Zaragoza, 2009); 0 without a common word.

    Reads all the texts: for some thousands of them, where no index is at hand.
    """
    asked = set(stems_of(query))
    bags = [Counter(word for word in map(stem, words_of(text)) if word in asked) for text in texts]
    lengths = [len(text) for text in texts]
    average = (sum(lengths) / len(lengths) if lengths else 0) or 1
    held = Counter(word for bag in bags for word in bag)
    weights = {
        word: math.log(1 + (len(texts) - held[word] + 0.5) / (held[word] + 0.5)) for word in asked
    }
    return [
        sum(
            weights[word] * n * (k1 + 1) / (n + k1 * (1 - b + b * length / average))
            for word, n in bag.items()
        )
        for bag, length in zip(bags, lengths, strict=True)
    ]


def coverage(asked: Iterable[str], text: str) -> float:
    """Which share of the asked stems a text has, from 0 to 1."""
    wanted = set(asked)
    return len(wanted & set(map(stem, words_of(text)))) / len(wanted) if wanted else 0.0
