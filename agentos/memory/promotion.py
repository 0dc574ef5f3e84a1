"""What every session should know is proposed for core memory. Never more than proposed.

Only the owner's own words are: what was concluded from them, or came from outside, stays below.
"""

from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.memory import Category, CoreState, CoreVersion, Memory
from agentos.errors import BadRequest
from agentos.memory import wishes
from agentos.memory.core import Core, with_line
from agentos.memory.likeness import says_no_more
from agentos.store import core_versions, memories

AUTHOR = "consolidation"
# The judge is told that such a share is for what every conversation should know.
_WORTHY = 0.9
_MOST_LINES = 3
_SECTIONS = {
    Category.preference: "Rules",
    Category.lesson: "Rules",
    Category.procedure: "Rules",
    Category.decision: "Priorities",
}
_REASON = "You said so, and it weighs in every conversation."


def propose(connection: Connection, core: Core, *, at: datetime) -> dict[str, int]:
    """Propose what is not there yet, a few lines at once; what was refused is not proposed again.

    While a proposal waits there is no other one: a yes to both would not be possible.
    """
    text = core.notice(connection, at=at)
    before = core_versions.list_by(connection, AUTHOR)
    for wish in [each for each in before if each.state is CoreState.proposed]:
        if _is_open(connection, wish, text):
            return {"proposed": 0}
        core_versions.withdraw(connection, wish.id or 0, at=at)
        wishes.withdraw(connection, wish.id or 0, at=at)
        before.remove(wish)
    known = [text, *(each.text for each in before)]
    worthy = memories.list_core_worthy(connection, importance=_WORTHY)
    new = [row for row in worthy if not any(_has(each, row) for each in known)][:_MOST_LINES]
    if not new:
        return {"proposed": 0}
    try:
        for row in new:
            section = _SECTIONS.get(row.category, "Identity")
            text = with_line(text, section=section, line=f"- {' '.join(row.text.split())}")
        made = core.propose(connection, text, by=AUTHOR, reason=_REASON, at=at)
    except BadRequest:  # it is full, or its sections are the owner's own: then it is his to change
        return {"proposed": 0, "core_is_full": 1}
    return {"proposed": len(new), "proposal": made.id or 0}


def _is_open(connection: Connection, wish: CoreVersion, text: str) -> bool:
    """Whether a yes is still possible: the file is what it was when it was proposed."""
    base = core_versions.find_newest(connection, before=wish.id)
    return base is not None and base.text == text


def _has(text: str, row: Memory) -> bool:
    return any(
        says_no_more(row.text, line.lstrip("-* ")) for line in text.splitlines() if line.strip()
    )
