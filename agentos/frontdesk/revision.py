"""What a change made of a plan: which steps are new, which are different, which are gone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum, auto

from agentos.domain.plan import Step

# How like two titles have to be for one step to count as the other, changed.
_LIKE = 0.6


class Fate(StrEnum):
    """What became of a step."""

    same = auto()
    changed = auto()
    new = auto()


@dataclass(frozen=True)
class Revision:
    """The fate of each step there is now, and the titles of those that are gone."""

    fates: Sequence[Fate]
    gone: Sequence[str]


def compare(before: Sequence[Step], after: Sequence[Step]) -> Revision:
    """Each step is matched with the one of before that has its title, or else one like it."""
    left = list(range(len(before)))
    matched: dict[int, int] = {}
    for least in (1.0, _LIKE):
        for position, step in enumerate(after):
            if position in matched or not left:
                continue
            best = max(left, key=lambda old: _likeness(before[old], step))
            if _likeness(before[best], step) >= least:
                matched[position] = best
                left.remove(best)
    fates = [
        _fate(before, after, matched.get(position), position) for position in range(len(after))
    ]
    return Revision(fates, [before[old].title for old in left])


def _fate(before: Sequence[Step], after: Sequence[Step], old: int | None, new: int) -> Fate:
    if old is None:
        return Fate.new
    return Fate.same if _told(before, old) == _told(after, new) else Fate.changed


def _told(steps: Sequence[Step], position: int) -> tuple[object, ...]:
    """What makes a step what it is; how long it may take is a guess, and no part of it."""
    step = steps[position]
    needs = sorted(_plain(steps[needed].title) for needed in step.after)
    return _plain(step.title), step.kind, " ".join(step.prompt.split()), needs


def _likeness(one: Step, other: Step) -> float:
    return SequenceMatcher(None, _plain(one.title), _plain(other.title)).ratio()


def _plain(title: str) -> str:
    return " ".join(title.casefold().split())
