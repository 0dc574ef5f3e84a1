"""Steers: what the owner says to jobs that are under way. None of them is lost."""

import secrets
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, text, update

from agentos.domain.states import STEERS, Actor, SteerState, check
from agentos.domain.work import Steer
from agentos.store import events, rows
from agentos.store.prepared import Prepared

STEER = rows.table_of(Steer)
# In the words of the partial index: bound as values, SQLite would not know that it fits.
_IS_OPEN = text("steer.state IN ('waiting', 'told')")
# Asked at the beginning and the end of each run, so built once.
_OPEN = Prepared(
    select(STEER)
    .where(STEER.c.job_id == bindparam("job_id", type_=STEER.c.job_id.type), _IS_OPEN)
    .order_by(STEER.c.id)
)

_ALL = Prepared(
    select(STEER)
    .where(STEER.c.job_id == bindparam("job_id", type_=STEER.c.job_id.type))
    .order_by(STEER.c.id)
)
OPEN = (SteerState.waiting, SteerState.told)


def add(
    connection: Connection,
    job_id: int,
    words: str,
    *,
    key: str,
    at: datetime,
    message_id: int | None = None,
) -> Steer | None:
    """Keep something for a job to hear; None when it was kept under this key before."""
    steer = Steer(
        key=key,
        job_id=job_id,
        message_id=message_id,
        text=words,
        mark=secrets.token_hex(6),
        created_at=at,
    )
    made = rows.add_once(connection, steer, unique=("key",))
    if made is not None:
        events.record(connection, "job_steered", at=at, job_id=job_id, message_id=message_id)
    return made


def list_open(connection: Connection, job_id: int) -> list[Steer]:
    """What a job has not taken in yet, in the order it was said."""
    return _OPEN.fetch(connection, Steer, {"job_id": job_id})


def list_for_job(connection: Connection, job_id: int) -> list[Steer]:
    """All that was said to a job, in order."""
    return _ALL.fetch(connection, Steer, {"job_id": job_id})


def tell(connection: Connection, steers: Collection[Steer], *, run_id: int) -> None:
    """A run is being given these; a run that was given one before has ended."""
    for steer in steers:
        rows.change(connection, Steer, steer.id or 0, state=SteerState.told, run_id=run_id)


def end(
    connection: Connection,
    steers: Collection[Steer],
    state: SteerState,
    *,
    by: Actor,
    at: datetime,
) -> None:
    """They are heard, moved or dropped. Raises WrongState when they were before."""
    for steer in steers:
        check(STEERS, steer.state, state, by=by, noun="steer", name=steer.id)
        rows.change(connection, Steer, steer.id or 0, state=state, ended_at=at)
        events.record(
            connection,
            f"steer_{state.value}",
            at=at,
            job_id=steer.job_id,
            run_id=steer.run_id,
            message_id=steer.message_id,
        )


def drop_all(connection: Connection, job_id: int, *, at: datetime) -> None:
    """A job is not wanted any more, nor is what it was still to be told."""
    connection.execute(
        update(STEER)
        .where(STEER.c.job_id == job_id, _IS_OPEN)
        .values(state=SteerState.dropped, ended_at=at)
    )
