"""What of a judge's proposals may be done. Pure: rows are asked before, and written after.

A judge may have been fooled by what it read, so nothing here relies on it: ids it was not shown are
refused, the trust of a memory is that of the lines it was made of, and nobody's word replaces the
word of somebody who is trusted more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agentos.domain.memory import Category, Memory, Trust
from agentos.memory.judge import Line, Proposal, Question
from agentos.memory.likeness import are_two_events, is_echo, least, may_replace, says_no_more
from agentos.memory.recall import Recalled

# What somebody else wrote is no wish, no decision and no way of working of the owner's.
_OWN = (Category.preference, Category.decision, Category.lesson, Category.procedure)
_OUTSIDE_IMPORTANCE = 0.5


@dataclass(frozen=True)
class Step:
    """What is to be done with one proposal."""

    # What to add; None when it is known (`known`) or not worth it.
    row: Memory | None = None
    # The memory that says it already.
    known: int | None = None
    # What it closes, of what was shown.
    closes: list[int] = field(default_factory=list)
    said_at: datetime | None = None
    ignored: int = 0
    duplicate: int = 0
    refused: int = 0


def sift(
    proposal: Proposal,
    question: Question,
    *,
    like: Sequence[Recalled],
    forgotten: Sequence[Memory] = (),
    project_id: int | None = None,
) -> Step:
    """Decide one proposal. `like` is what is remembered nearest to it, closed ones left out."""
    if proposal.action == "ignore":
        return Step(ignored=1)
    text = " ".join(proposal.text.split())
    cited = _cited(proposal, question)
    trust = _trust(cited, question)
    if any(says_no_more(text, one.text) for one in forgotten):
        return Step(ignored=1)
    closes, refused = _replaceable(proposal, question, trust=trust)
    source = _source(text, cited or question.lines)
    row = _row(proposal, text, trust=trust, source=source)
    row.project_id = project_id
    known, outdone = _known(row, question, like=like)
    if known is not None:
        closes = [each for each in closes if each != known]
        return Step(known=known, closes=closes, said_at=source.at, duplicate=1, refused=refused)
    closes = list(dict.fromkeys([*closes, *outdone]))
    return Step(row=row, closes=closes, said_at=source.at, refused=refused)


def _cited(proposal: Proposal, question: Question) -> list[Line]:
    """The lines it names; those that are not there are left out."""
    there = range(1, len(question.lines) + 1)
    return [question.lines[number - 1] for number in proposal.lines if number in there]


def _trust(cited: Sequence[Line], question: Question) -> Trust:
    """That of the least trusted line it is made of; of all, when one of them is from outside."""
    if question.outside:
        return Trust.outside
    return least([line.trust for line in cited])


def _replaceable(proposal: Proposal, question: Question, *, trust: Trust) -> tuple[list[int], int]:
    """Which of the named ones it may close, and how many it may not."""
    if proposal.action != "supersede":
        return [], len(proposal.instead_of)
    shown: Mapping[int | None, Memory] = {one.id: one for one in question.near}
    allowed = [
        each
        for each in dict.fromkeys(proposal.instead_of)
        if each in shown and may_replace(trust, shown[each].trust)
    ]
    return allowed, len(set(proposal.instead_of)) - len(allowed)


def _known(
    new: Memory, question: Question, *, like: Sequence[Recalled]
) -> tuple[int | None, list[int]]:
    """The memory that says it already; and those that say it, but on a lesser word than this one.

    What was given to the conversation comes back in other words, too; from the owner that is news.
    """
    is_owners = new.trust is Trust.owner
    cosines = {one.memory.id: one.cosine for one in like}
    rows = {one.id or 0: one for one in (*question.near, *(one.memory for one in like))}
    outdone = []
    for memory_id, row in rows.items():
        cosine = cosines.get(memory_id, 0.0)
        if are_two_events(new.category, new.valid_from, row):
            continue
        echo = not is_owners and memory_id in question.injected
        if (is_echo if echo else says_no_more)(new.text, row.text, cosine=cosine):
            if not is_owners or row.trust is not Trust.outside:
                return memory_id, []
            outdone.append(memory_id)
    return None, outdone


def _row(proposal: Proposal, text: str, *, trust: Trust, source: Line) -> Memory:
    category, importance = proposal.category, proposal.importance
    if trust is Trust.outside:
        importance = min(importance, _OUTSIDE_IMPORTANCE)
        if category in _OWN:
            category = Category.fact
    # It holds since it was said, unless an earlier time was told; nothing holds from tomorrow on.
    since = min(proposal.valid_from or source.at, source.at)
    until = proposal.valid_to
    return Memory(
        text=text,
        category=category,
        importance=importance,
        trust=trust,
        origin=source.origin,
        source_ref=source.ref,
        valid_from=since,
        valid_to=until if until is not None and until > since else None,
        created_at=source.at,
    )


def _source(text: str, lines: Sequence[Line]) -> Line:
    """The line that has most of its words; the later one of equals."""
    words = set(text.lower().split())
    return max(lines, key=lambda line: (len(words & set(line.text.lower().split())), line.at))
