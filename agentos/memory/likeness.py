"""Whether one memory says what another says, and which of two may replace the other. Pure.

Words decide, and a cosine only supports them: "on Tuesday" and "on Thursday" have nearly the same
vector, and are the very difference that matters.
"""

from datetime import datetime, timedelta

from agentos.domain.memory import Category, Memory, Trust
from agentos.memory.words import stem, words_of

# What may be there or not without another meaning. "not" and "no" are not among them.
_GLUE_WORDS = """
a an the is are was were am be been being it its to of in on at and that this has have had his her
hers their they he she who which does do did will would s also now as by for with owner owner's user
user's
"""
_GLUE = frozenset(_GLUE_WORDS.split())
_NEGATION_WORDS = """
not no never none nobody nothing without neither nor cannot can't don't doesn't didn't isn't aren't
wasn't won't stopped longer anymore
"""
_NEGATIONS = frozenset(map(stem, _NEGATION_WORDS.split()))
# "Ana lives in Porto" has only words of "Ana's sister lives in Porto". A text with fewer words says
# no more than the other only when their meaning is as good as the same.
_LEAST_SHARED = 0.75
_SAME_MEANING = 0.97
_LEAST_IN_ORDER = 0.7
# An echo says with other words what was given; then these words make up at least so much of it.
_ECHO_SHARE = 0.75
_ECHO_COSINE = 0.9
# What happened is told for some days.
_ONE_EVENT = timedelta(days=2)
_RANK = {Trust.outside: 0, Trust.self: 1, Trust.owner: 2}


def says_no_more(text: str, known: str, *, cosine: float = 0.0) -> bool:
    """Whether a text has nothing that a known one has not: the same words, or nearly all of them.

    Numbers and negations have to be the same ones. The words have to be in nearly the same order:
    "Ana asks Ben" is not "Ben asks Ana".
    """
    left, right = _content(text), _content(known)
    if not left or not right:
        return text.strip() == known.strip()
    if left == right:
        return True
    if not set(left) <= set(right) or _exact(left) != _exact(right):
        return False
    shared = len(set(left)) / len(set(right))
    if shared < 1 and (shared < _LEAST_SHARED or cosine < _SAME_MEANING):
        return False
    return _in_order(left, right) >= _LEAST_IN_ORDER


def is_echo(text: str, given: str, *, cosine: float = 0.0) -> bool:
    """Whether a text is what was given before, in other words. For what was not the owner's own.

    Names, numbers and negations have to have been in what was given.
    """
    if says_no_more(text, given, cosine=cosine):
        return True
    left, right = set(_content(text)), set(_content(given))
    if not left or not _exact(list(left)) <= _exact(list(right)):
        return False
    if not {stem(name) for name in _names(text)} <= right | _GLUE:
        return False
    return len(left & right) >= _ECHO_SHARE * len(left) or cosine >= _ECHO_COSINE


def are_two_events(category: Category, at: datetime, other: Memory) -> bool:
    """Whether two things with the same words happened at different times."""
    is_event = category is Category.event or other.category is Category.event
    return is_event and abs(at - other.valid_from) > _ONE_EVENT


def may_replace(new: Trust, old: Trust) -> bool:
    """Nobody's word replaces the word of somebody who is trusted more."""
    return _RANK[new] >= _RANK[old]


def least(trusts: list[Trust]) -> Trust:
    """The least trusted of several; `self` of none."""
    return min(trusts, key=_RANK.__getitem__, default=Trust.self)


def better(one: Memory, other: Memory) -> Memory:
    """Of two that say the same, the one to keep: more trusted, then newer."""
    return max(one, other, key=lambda row: (_RANK[row.trust], row.valid_from, row.id or 0))


def _content(text: str) -> list[str]:
    return [stem(word) for word in words_of(text) if word not in _GLUE]


def _exact(words: list[str]) -> set[str]:
    """What may not differ: numbers and negations."""
    return {word for word in words if word in _NEGATIONS or any(char.isdigit() for char in word)}


def _names(text: str) -> set[str]:
    """The words with a capital that do not begin a sentence."""
    found = set()
    for sentence in text.replace("!", ".").replace("?", ".").split("."):
        for word in sentence.split()[1:]:
            plain = word.strip("\"'(),:;")
            if plain[:1].isupper() and plain != "I":
                found.update(words_of(plain))
    return found


def _in_order(left: list[str], right: list[str]) -> float:
    """Which share of the first is found in the second in the same order (longest common part)."""
    lengths = [0] * (len(right) + 1)
    for word in left:
        before = 0
        for place, other in enumerate(right, start=1):
            here = lengths[place]
            lengths[place] = before + 1 if word == other else max(here, lengths[place - 1])
            before = here
    return lengths[-1] / len(left)
