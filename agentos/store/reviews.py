"""Reviews: a different model's judgements, without which no task is done."""

from sqlalchemy import Connection, select

from agentos.domain.work import Review
from agentos.store import rows

REVIEW = rows.table_of(Review)


def add(connection: Connection, review: Review) -> Review:
    """Keep a judgement."""
    return rows.add(connection, review)


def list_for_task(connection: Connection, task_id: int) -> list[Review]:
    """The judgements of a task, oldest first."""
    statement = select(REVIEW).where(REVIEW.c.task_id == task_id).order_by(REVIEW.c.id)
    return rows.fetch(connection, Review, statement)
