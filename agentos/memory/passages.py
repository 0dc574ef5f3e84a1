"""What the index is told of a memory: its parts, each with what stands around it."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.memory import Memory
from agentos.memory.words import date_words, split
from agentos.store import memories

# In talk a question has the words of what was said two lines before or after (measured: one line
# each way finds less, three find no more).
REACH = 2
_LONGEST_NEIGHBOUR = 800
_MOST_PARTS = 1000
Told = tuple[int, int, int, str, str]


def gather(
    connection: Connection, changed: Sequence[Memory], *, zone: ZoneInfo
) -> tuple[list[Told], list[int]]:
    """The parts of some memories and of those beside them, and the ids that are to go."""
    told: list[Told] = []
    wanted = {row.id: row for row in changed if row.current}
    drop = [row.id or 0 for row in changed if not row.current]
    for row in changed:
        before, after = memories.around(connection, row, reach=REACH)
        for one in (*before, *after):
            wanted.setdefault(one.id, one)
    for row in wanted.values():
        before, after = memories.around(connection, row, reach=REACH)
        told += parts_of(row, before=before, after=after, zone=zone)
    return told, drop


def parts_of(
    row: Memory, *, before: Sequence[Memory], after: Sequence[Memory], zone: ZoneInfo
) -> list[Told]:
    """A memory as the index searches it, with its day in words: questions ask by the day, too.

    A short one has one part, amid what was said around it; a long one has several, each amid its
    own neighbours.
    """
    assert row.id is not None
    day = date_words(row.valid_from, zone=zone)
    pieces = split(row.text)[:_MOST_PARTS]
    if len(pieces) == 1:
        around = [_cut(one.text) for one in (*before, *after)]
        passage = " ".join([*around[: len(before)], row.text, *around[len(before) :], day])
        return [(row.id, 0, row.revision, f"{row.text} {day}", passage)]
    return [
        (
            row.id,
            number,
            row.revision,
            f"{piece} {day}",
            " ".join([*pieces[max(number - 1, 0) : number + 2], day]),
        )
        for number, piece in enumerate(pieces)
    ]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_NEIGHBOUR else text[:_LONGEST_NEIGHBOUR]
