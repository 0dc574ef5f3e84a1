"""What was used of each backend in its five hours and in its week, and when it rests."""

from datetime import datetime

from sqlalchemy import Connection, select

from agentos.domain.capacity import Pool, Span
from agentos.store import events, rows

POOL = rows.table_of(Pool)
_ALL = select(POOL).order_by(POOL.c.backend, POOL.c.span)


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
            pool = pool.model_copy(update={"began_at": at, "tokens": 0, "turns": 0})
            _record_began(connection, pool)
        pool.tokens += tokens
        pool.turns += 1
        _write(connection, pool)


def rest(connection: Connection, backend: str, *, until: datetime, at: datetime) -> bool:
    """The backend says that nothing is left until then; whether that is news."""
    pool = _pool(connection, backend, Span.five_hours, at=at)
    rested = rests(pool, now=at)
    if rested and pool.rests_until is not None and pool.rests_until >= until:
        return False
    pool.rests_from, pool.rests_until = at, until
    _write(connection, pool)
    events.record(connection, "backend_rests", at=at, backend=backend, until=until.isoformat())
    return not rested


def wake(connection: Connection, backend: str, *, at: datetime) -> None:
    """The backend answered: whatever it said before, it does not rest any more."""
    pool = _pool(connection, backend, Span.five_hours, at=at)
    if pool.rests_until is not None:
        pool.rests_from = pool.rests_until = None
        _write(connection, pool)
        events.record(connection, "backend_wakes", at=at, backend=backend)


def rests(pool: Pool, *, now: datetime) -> bool:
    """Whether its backend rests. What was said at a time yet to come, a clock has made of it."""
    if pool.rests_from is None or pool.rests_until is None:
        return False
    return pool.rests_from <= now < pool.rests_until


def _pool(connection: Connection, backend: str, span: Span, *, at: datetime) -> Pool:
    """The pool; made when it is missing."""
    where = (POOL.c.backend == backend) & (POOL.c.span == span)
    found = rows.fetch_one(connection, Pool, select(POOL).where(where))
    if found is None:
        found = Pool(backend=backend, span=span, began_at=at)
        connection.execute(POOL.insert(), found.model_dump())
        _record_began(connection, found)
    return found


def _record_began(connection: Connection, pool: Pool) -> None:
    events.record(
        connection, "pool_began", at=pool.began_at, backend=pool.backend, span=pool.span.value
    )


def _write(connection: Connection, pool: Pool) -> None:
    values = pool.model_dump(exclude={"backend", "span"})
    where = (POOL.c.backend == pool.backend) & (POOL.c.span == pool.span)
    connection.execute(POOL.update().where(where).values(values))
