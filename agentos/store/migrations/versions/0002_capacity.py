"""Turns in the queue, pools, expectations, and what a session leaves to the next one"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from agentos.domain.columns import UtcDateTime
from agentos.domain.work import turn_of

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_QUEUED = sa.text("state = 'queued'")
_DUE_LATER = sa.text("state = 'queued' AND run_at IS NOT NULL")
_IDLE = sa.text("state = 'idle' AND persistent AND role = 'work'")


def upgrade() -> None:
    op.create_table(
        "pool",
        sa.Column("backend", sa.String(length=32), nullable=False),
        sa.Column("span", sa.String(length=32), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("rests_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rests_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("backend", "span"),
    )
    op.create_table(
        "expectation",
        sa.Column("sort", sa.String(length=120), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sort"),
    )
    op.add_column("worker", _with_default("session_tokens", sa.Integer(), "0"))
    op.add_column("worker", _with_default("summary", sa.Text(), "''"))
    op.create_index(
        "ix_worker_idle", "worker", ["last_used_at"], sqlite_where=_IDLE, postgresql_where=_IDLE
    )
    op.add_column("run", sa.Column("failure", sa.String(length=32), nullable=True))
    op.add_column("job", _with_default("tokens", sa.Integer(), "0"))
    op.add_column("job", _with_default("if_needs_fail", sa.String(length=32), "'skip'"))
    op.add_column("job", sa.Column("turn_at", sa.DateTime(timezone=True), nullable=True))
    _give_turns()
    op.drop_index("ix_job_queue", table_name="job")
    op.create_index(
        "ix_job_queue",
        "job",
        ["turn_at", "id"],
        sqlite_where=_QUEUED,
        postgresql_where=_QUEUED,
    )
    op.create_index(
        "ix_job_due", "job", ["run_at"], sqlite_where=_DUE_LATER, postgresql_where=_DUE_LATER
    )
    _give_indexes()


def _give_indexes() -> None:
    """A row that is removed is looked for in all that may name it: without an index, row by row."""
    for table, column in (
        ("artefact", "run_id"),
        ("review", "run_id"),
        ("usage", "run_id"),
        ("card", "job_id"),
    ):
        op.create_index(f"ix_{table}_{column}", table, [column])
    op.create_index(
        "ix_job_wants_worker_id",
        "job",
        ["wants_worker_id"],
        sqlite_where=sa.text("wants_worker_id IS NOT NULL"),
        postgresql_where=sa.text("wants_worker_id IS NOT NULL"),
    )


def _with_default(name: str, kind: sa.types.TypeEngine[Any], default: str) -> sa.Column[Any]:
    """A column that rows of before have a value for."""
    return sa.Column(name, kind, nullable=False, server_default=sa.text(default))


def _give_turns() -> None:
    """What waits keeps its place: its turn is counted from when it came, or is due."""
    job = sa.table(
        "job",
        sa.column("id", sa.Integer()),
        sa.column("state", sa.String()),
        sa.column("priority", sa.Integer()),
        sa.column("created_at", UtcDateTime()),
        sa.column("run_at", UtcDateTime()),
        sa.column("turn_at", UtcDateTime()),
    )
    connection = op.get_bind()
    unfinished = sa.select(job).where(job.c.state.in_(["queued", "running", "parked"]))
    for row in connection.execute(unfinished).all():
        since: datetime = max(row.created_at, row.run_at or row.created_at)
        turn = turn_of(row.priority, since=since)
        connection.execute(job.update().where(job.c.id == row.id).values(turn_at=turn))


def downgrade() -> None:
    raise NotImplementedError("restore a backup of before the update instead")
