"""Memories as rows: adding, closing, forgetting, and what the index has to hear of.

Each change gives its row the next `revision`; the index asks for what is newer than what it has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal,
    select,
    text,
    tuple_,
    update,
)

from agentos.domain.columns import UtcDateTime
from agentos.domain.memory import Category, Memory, MemoryUse, Trust
from agentos.errors import NotFound, WrongState
from agentos.store import events, rows
from agentos.store.prepared import Prepared

MEMORY = rows.table_of(Memory)
USE = rows.table_of(MemoryUse)
# What can be recalled is indexed; what was replaced or forgotten is found by its row alone.
_INDEXED = and_(MEMORY.c.forgotten_at.is_(None), MEMORY.c.superseded_by.is_(None))
# As many as a recall looks at first, in a statement that is compiled once.
_AT_ONCE = 70
_SLOTS = [f"id_{number}" for number in range(_AT_ONCE)]


@dataclass(frozen=True)
class Tally:
    """What an index that is up to date holds, in three numbers."""

    count: int
    newest: int
    total: int


def add(connection: Connection, row: Memory) -> Memory:
    """Remember something; the same key again returns the memory that has it."""
    row.revision = _next_revision(connection)
    if row.key is None:
        made: Memory | None = rows.add(connection, row)
    else:
        made = rows.add_once(connection, row, unique=("key",))
        if made is None:
            found = find_by_key(connection, row.key)
            assert found is not None
            return found
    assert made is not None
    _tell(connection, "memory_added", made, at=row.created_at)
    return made


def get(connection: Connection, memory_id: int) -> Memory:
    """The memory with this id. Raises NotFound."""
    found = rows.find(connection, Memory, memory_id)
    if found is None:
        raise NotFound(noun="memory", name=memory_id)
    return found


def find_by_key(connection: Connection, key: str) -> Memory | None:
    """The memory that was added under a key, or None."""
    return rows.fetch_one(connection, Memory, select(MEMORY).where(MEMORY.c.key == key))


def is_known(connection: Connection, row: Memory) -> bool:
    """Whether a memory was added under the same key, or says the same of the same time."""
    if row.key is not None and find_by_key(connection, row.key) is not None:
        return True
    same = and_(MEMORY.c.text == row.text, MEMORY.c.valid_from == row.valid_from)
    return connection.execute(select(MEMORY.c.id).where(same).limit(1)).first() is not None


def find_same(connection: Connection, text: str, *, trust: Trust) -> Memory | None:
    """A current memory with the same words on a word as good, or None."""
    statement = select(MEMORY).where(_INDEXED, MEMORY.c.text == text)
    if trust is Trust.owner:
        statement = statement.where(MEMORY.c.trust != Trust.outside)
    return rows.fetch_one(connection, Memory, statement.order_by(MEMORY.c.id).limit(1))


def list_forgotten(connection: Connection, *, limit: int = 1000) -> list[Memory]:
    """What is forgotten and not erased yet: it must not be learned again."""
    statement = select(MEMORY).where(MEMORY.c.erase_at.is_not(None)).order_by(MEMORY.c.id.desc())
    return rows.fetch(connection, Memory, statement.limit(limit))


def list_core_worthy(connection: Connection, *, importance: float) -> list[Memory]:
    """What the owner himself said, that holds, and that weighs so much; oldest first."""
    lasting = MEMORY.c.category.not_in((Category.event, Category.context))
    statement = select(MEMORY).where(
        _INDEXED,
        MEMORY.c.trust == Trust.owner,
        MEMORY.c.importance >= importance,
        MEMORY.c.valid_to.is_(None),
        lasting,
    )
    return rows.fetch(connection, Memory, statement.order_by(MEMORY.c.id).limit(1000))


def list_idle(
    connection: Connection, category: Category, *, before: datetime, limit: int = 500
) -> list[Memory]:
    """What holds since before then, and was not recalled since."""
    used = select(USE.c.memory_id).where(USE.c.memory_id == MEMORY.c.id, USE.c.last_at >= before)
    statement = select(MEMORY).where(
        _INDEXED,
        MEMORY.c.category == category,
        MEMORY.c.valid_from < before,
        MEMORY.c.created_at < before,
        MEMORY.c.valid_to.is_(None),
        ~used.exists(),
    )
    return rows.fetch(connection, Memory, statement.order_by(MEMORY.c.id).limit(limit))


def cited(connection: Connection) -> set[str]:
    """What memories name as their source: "message:40", "2026-11-21:7"."""
    statement = select(MEMORY.c.source_ref).where(MEMORY.c.source_ref.is_not(None)).distinct()
    return {ref for (ref,) in connection.execute(statement)}


def by_ids(connection: Connection, ids: Sequence[int]) -> dict[int, Memory]:
    """Several memories by their ids; those that are not there are left out."""
    found: dict[int, Memory] = {}
    for start in range(0, len(ids), _AT_ONCE):
        some = list(ids[start : start + _AT_ONCE])
        some += some[-1:] * (_AT_ONCE - len(some))
        values = dict(zip(_SLOTS, some, strict=True))
        for row in _by_ids().fetch(connection, Memory, values):
            found[row.id or 0] = row
    return found


@cache
def _by_ids() -> Prepared:
    slots = [bindparam(slot, type_=MEMORY.c.id.type) for slot in _SLOTS]
    return Prepared(select(MEMORY).where(MEMORY.c.id.in_(slots)))


def list_all(
    connection: Connection,
    *,
    category: Category | None = None,
    project_id: int | None = None,
    everything: bool = False,
    after: int = 0,
    limit: int,
) -> list[Memory]:
    """Memories in the order of their ids; with `everything` also closed and forgotten ones."""
    statement = select(MEMORY).where(MEMORY.c.id > after).order_by(MEMORY.c.id).limit(limit)
    if not everything:
        statement = statement.where(_INDEXED)
    if category is not None:
        statement = statement.where(MEMORY.c.category == category)
    if project_id is not None:
        statement = statement.where(MEMORY.c.project_id == project_id)
    return rows.fetch(connection, Memory, statement)


def supersede(connection: Connection, old_id: int, *, by: int, at: datetime) -> Memory:
    """Close a memory with the one that replaces it. Raises NotFound, WrongState."""
    old, new = get(connection, old_id), get(connection, by)
    if old.superseded_by == by:
        return old
    problem = None
    if not old.current:
        problem = "it was closed before"
    elif old_id == by or any(one.id == old_id for one in _newer(connection, new)):
        problem = "a memory cannot replace itself"
    if problem is not None:
        state = "superseded" if old.superseded_by else "current"
        raise WrongState(noun="memory", name=old_id, state=state, problem=problem)
    # What replaces it may be older news: a fact does not end before it began.
    ends = max(min(new.valid_from, old.valid_to or new.valid_from), old.valid_from)
    _change(connection, old_id, superseded_by=by, valid_to=ends)
    _tell(connection, "memory_superseded", old, at=at, by=by)
    return get(connection, old_id)


def close(connection: Connection, memory_id: int, *, at: datetime) -> Memory:
    """Say that something has ceased to be true, with nothing in its place."""
    found = get(connection, memory_id)
    if found.valid_to is None or found.valid_to > at:
        _change(connection, memory_id, valid_to=max(at, found.valid_from))
        _tell(connection, "memory_closed", found, at=at)
    return get(connection, memory_id)


def forget(connection: Connection, memory_id: int, *, at: datetime, erase_at: datetime) -> Memory:
    """Take a memory out of every recall at once; its text goes at `erase_at`."""
    found = get(connection, memory_id)
    if found.forgotten_at is not None and found.erase_at is None:
        return found
    _change(connection, memory_id, forgotten_at=found.forgotten_at or at, erase_at=erase_at)
    _tell(connection, "memory_forgotten", found, at=at)
    return get(connection, memory_id)


def restore(connection: Connection, memory_id: int, *, at: datetime) -> Memory:
    """Take a forgetting back. Raises WrongState when nothing was forgotten, or all is gone."""
    found = get(connection, memory_id)
    if found.forgotten_at is None or found.erase_at is None:
        state = "remembered" if found.forgotten_at is None else "erased"
        problem = "there is nothing to restore"
        raise WrongState(noun="memory", name=memory_id, state=state, problem=problem)
    _change(connection, memory_id, forgotten_at=None, erase_at=None)
    _tell(connection, "memory_restored", found, at=at)
    return get(connection, memory_id)


def list_due(connection: Connection, *, at: datetime, limit: int = 1000) -> list[Memory]:
    """The forgotten ones whose time has come, oldest first."""
    statement = select(MEMORY).where(MEMORY.c.erase_at <= at).order_by(MEMORY.c.erase_at, "id")
    return rows.fetch(connection, Memory, statement.limit(limit))


def erase(connection: Connection, ids: Iterable[int], *, at: datetime) -> None:
    """Empty the rows of forgotten memories for good; `scrubbing` cleans the file behind it."""
    if connection.dialect.name == "sqlite":
        # What is freed is overwritten, instead of being left for a later row to cover.
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
    for memory_id in ids:
        found = get(connection, memory_id)
        gone: dict[str, Any] = {"text": "", "source_ref": None, "erase_at": None}
        _change(connection, memory_id, forgotten_at=found.forgotten_at or at, **gone)
        connection.execute(USE.delete().where(USE.c.memory_id == memory_id))
        _tell(connection, "memory_erased", found, at=at)


def changed_since(connection: Connection, revision: int, *, limit: int) -> list[Memory]:
    """What has changed after a revision, in the order of the changes."""
    statement = select(MEMORY).where(MEMORY.c.revision > revision).order_by(MEMORY.c.revision)
    return rows.fetch(connection, Memory, statement.limit(limit))


def tally(connection: Connection) -> Tally:
    """What the index should hold."""
    revision = MEMORY.c.revision
    sums = select(
        func.count(), func.coalesce(func.max(revision), 0), func.coalesce(func.sum(revision), 0)
    ).where(_INDEXED)
    count, newest, total = connection.execute(sums).one()
    return Tally(int(count), int(newest), int(total))


def newest_revision(connection: Connection) -> int:
    """The revision of the last change, 0 before the first."""
    statement = select(func.coalesce(func.max(MEMORY.c.revision), 0))
    return int(connection.execute(statement).scalar_one())


def indexed_revisions(connection: Connection) -> dict[int, int]:
    """The revision of each memory that should be in the index, by its id."""
    statement = select(MEMORY.c.id, MEMORY.c.revision).where(_INDEXED)
    return {int(row[0]): int(row[1]) for row in connection.execute(statement)}


def around(connection: Connection, row: Memory, *, reach: int) -> tuple[list[Memory], list[Memory]]:
    """The memories before and after one in its thread, each in the thread's order."""
    if row.thread is None:
        return [], []
    here = and_(MEMORY.c.thread == row.thread, _INDEXED)
    place = tuple_(MEMORY.c.valid_from, MEMORY.c.id)
    own = tuple_(literal(row.valid_from, UtcDateTime), literal(row.id))
    order = (MEMORY.c.valid_from, MEMORY.c.id)
    nearest = select(MEMORY).where(here, place < own).order_by(*(one.desc() for one in order))
    before = rows.fetch(connection, Memory, nearest.limit(reach))
    nearest = select(MEMORY).where(here, place > own).order_by(*order)
    return before[::-1], rows.fetch(connection, Memory, nearest.limit(reach))


def replaced_by(connection: Connection, memory_id: int) -> list[Memory]:
    """What a memory has replaced, directly, oldest first."""
    statement = select(MEMORY).where(MEMORY.c.superseded_by == memory_id).order_by(MEMORY.c.id)
    return rows.fetch(connection, Memory, statement)


def history(connection: Connection, memory_id: int) -> list[Memory]:
    """All that a memory replaced and was replaced by, oldest first, with itself among them."""
    found = get(connection, memory_id)
    seen = {found.id: found}
    for one in _newer(connection, found):
        seen[one.id] = one
    waiting = [found]
    while waiting:
        for one in replaced_by(connection, waiting.pop().id or 0):
            if one.id not in seen:
                seen[one.id] = one
                waiting.append(one)
    return sorted(seen.values(), key=lambda one: (one.valid_from, one.id or 0))


def note_use(connection: Connection, ids: Iterable[int], *, at: datetime) -> None:
    """Count that memories were recalled."""
    for memory_id in ids:
        row = MemoryUse(memory_id=memory_id, times=1, last_at=at)
        counted = (
            update(USE)
            .where(USE.c.memory_id == memory_id)
            .values(times=USE.c.times + 1, last_at=at)
        )
        if connection.execute(counted).rowcount == 0:
            connection.execute(USE.insert(), row.model_dump())


def uses(connection: Connection, ids: Sequence[int]) -> dict[int, MemoryUse]:
    """How often memories were recalled; those that never were are left out."""
    statement = select(USE).where(USE.c.memory_id.in_(list(ids)))
    return {row.memory_id: row for row in rows.fetch(connection, MemoryUse, statement)}


def with_words(connection: Connection, words: Sequence[str], *, limit: int) -> list[Memory]:
    """Memories that hold some of the words, the ones with most of them first: the index's stand-in.

    It reads every row, so it is for a moment without the index, or for a small store.
    """
    if not words:
        return []
    lowered = func.lower(MEMORY.c.text)
    hits: Any = literal(0)
    for word in words[:20]:
        hits = hits + case((lowered.contains(word, autoescape=True), 1), else_=0)
    statement = select(MEMORY).where(_INDEXED, hits > 0).order_by(hits.desc(), MEMORY.c.id.desc())
    return rows.fetch(connection, Memory, statement.limit(limit))


def counts(connection: Connection) -> dict[str, int]:
    """How many there are, by what they are."""
    sorts: dict[str, Any] = {
        "current": _INDEXED,
        "superseded": MEMORY.c.superseded_by.is_not(None),
        "forgotten": MEMORY.c.erase_at.is_not(None),
        "erased": and_(MEMORY.c.forgotten_at.is_not(None), MEMORY.c.erase_at.is_(None)),
        "outside": and_(_INDEXED, MEMORY.c.trust == "outside"),
    }
    told = {
        name: int(connection.execute(_count().where(where)).scalar_one())
        for name, where in sorts.items()
    }
    by_category = select(MEMORY.c.category, func.count()).where(_INDEXED).group_by("category")
    for category, number in connection.execute(by_category.order_by("category")):
        told[str(category)] = int(number)
    return told


def _count() -> Select[Any]:
    return select(func.count()).select_from(MEMORY)


def _newer(connection: Connection, row: Memory) -> list[Memory]:
    """What replaced a memory, and what replaced that, to the current one."""
    found: list[Memory] = []
    while row.superseded_by is not None:
        row = get(connection, row.superseded_by)
        found.append(row)
    return found


def _change(connection: Connection, memory_id: int, **values: Any) -> None:
    rows.change(connection, Memory, memory_id, revision=_next_revision(connection), **values)


def _next_revision(connection: Connection) -> int:
    """Larger than every revision that anybody can see, now or later."""
    if connection.dialect.name == "postgresql":
        # Two writers at once would take the same number, or commit in another order than they took.
        connection.execute(text("LOCK TABLE memory IN SHARE ROW EXCLUSIVE MODE"))
    return newest_revision(connection) + 1


def _tell(connection: Connection, key: str, row: Memory, *, at: datetime, **data: Any) -> None:
    """An event. It never tells the text: what is forgotten must not live on in there."""
    events.record(connection, key, at=at, memory_id=row.id, category=row.category.value, **data)
