"""The messages that tell how work is getting on: which are open, and how they ended."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, select, text, update

from agentos.domain.progress import Progress
from agentos.store import outbox, rows
from agentos.store.prepared import Prepared

PROGRESS = rows.table_of(Progress)
# In the words of the partial index: bound as a value, SQLite would not know that it fits.
_OPEN = Prepared(
    select(PROGRESS)
    .where(text("progress.ended_at IS NULL"))
    .order_by(PROGRESS.c.id)
    .limit(bindparam("limit"))
)


def open_(
    connection: Connection,
    outbox_id: int,
    *,
    job_id: int | None = None,
    plan_id: int | None = None,
) -> None:
    """From now on this message tells how a job, or a plan, is getting on; again is as once."""
    row = Progress(outbox_id=outbox_id, job_id=job_id, plan_id=plan_id)
    rows.add_once(connection, row, unique=("outbox_id",))


def list_open(connection: Connection, *, limit: int = 500) -> list[Progress]:
    """What has not been told to its end, oldest first."""
    return _OPEN.fetch(connection, Progress, {"limit": limit})


def find_for_job(connection: Connection, job_id: int) -> Progress | None:
    """The progress of a job, or None when nobody is told of it."""
    statement = select(PROGRESS).where(PROGRESS.c.job_id == job_id)
    return rows.fetch_one(connection, Progress, statement)


def end(connection: Connection, progress_id: int, *, shown: str | None, at: datetime) -> bool:
    """It is over; `shown` takes its message's place, None leaves that. False when it was before."""
    told = rows.get(connection, Progress, progress_id)
    if told.ended_at is not None:
        return False
    rows.change(connection, Progress, progress_id, ended_at=at, endings=told.endings + 1)
    if shown is not None:
        message = outbox.get(connection, told.outbox_id)
        outbox.say(
            connection,
            key=f"{outbox.PROGRESS_END}{progress_id}:{told.endings}",
            conversation=message.conversation,
            text=shown,
            at=at,
            job_id=message.job_id,
            edits_id=message.id,
            silent=True,
        )
    return True


def reopen(connection: Connection, job_id: int) -> None:
    """A job that had ended is tried again: its message goes on."""
    connection.execute(update(PROGRESS).where(PROGRESS.c.job_id == job_id).values(ended_at=None))
