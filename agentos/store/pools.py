"""What was used of each backend in its five hours and in its week, and when it rests."""

from datetime import datetime

from sqlalchemy import Connection, select

from agentos.domain.capacity import Pool, Span
from agentos.store import events, rows

POOL = rows.table_of(Pool)
_ALL = select(POOL)


def list_all(connection: Connection) -> list[Pool]:
    """Every pool that was ever used."""
    return rows.fetch(connection, Pool, _ALL)


def spend(connection: Connection, backend: str, *, tokens: int, at: datetime) -> None:
    """Count one turn and its tokens in each pool of a backend; a pool that has ended begins anew.

    A clock that was set back does not make a pool last longer than its span.
    """
    for span in Span:
        pool = _pool(connection, backend, span, at=at)
        if not pool.began_at <= at < pool.resets_at:
            pool = Pool(backend=backend, span=span, began_at=at, rests_until=pool.rests_until)
        pool.tokens += tokens
        pool.turns += 1
        _write(connection, pool)


def rest(connection: Connection, backend: str, *, until: datetime, at: datetime) -> bool:
    """The backend says that nothing is left until then; whether that is news."""
    pool = _pool(connection, backend, Span.five_hours, at=at)
    if pool.rests_until is not None and pool.rests_until >= until:
        return False
    was_awake = pool.rests_until is None or pool.rests_until <= at
    pool.rests_until = until
    _write(connection, pool)
    events.record(connection, "backend_rests", at=at, backend=backend, until=until.isoformat())
    return was_awake


def wake(connection: Connection, backend: str, *, at: datetime) -> None:
    """The backend answered: whatever it said before, it does not rest any more."""
    pool = _pool(connection, backend, Span.five_hours, at=at)
    if pool.rests_until is not None:
        pool.rests_until = None
        _write(connection, pool)


def _pool(connection: Connection, backend: str, span: Span, *, at: datetime) -> Pool:
    """The pool; made when it is missing."""
    where = (POOL.c.backend == backend) & (POOL.c.span == span)
    found = rows.fetch_one(connection, Pool, select(POOL).where(where))
    if found is None:
        found = Pool(backend=backend, span=span, began_at=at)
        connection.execute(POOL.insert(), found.model_dump())
    return found


def _write(connection: Connection, pool: Pool) -> None:
    values = pool.model_dump(exclude={"backend", "span"})
    where = (POOL.c.backend == pool.backend) & (POOL.c.span == pool.span)
    connection.execute(POOL.update().where(where).values(values))
