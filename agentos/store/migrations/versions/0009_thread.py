"""Under which ids a channel shows what we say, words to a job under way, pauses, going on"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shown",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("conversation", sa.String(length=200), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("outbox_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("conversation", "external_id", "outbox_id", name="uq_shown"),
    )
    op.create_index("ix_shown_outbox_id", "shown", ["outbox_id"])
    op.create_table(
        "steer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("mark", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", name="uq_steer_key"),
    )
    op.create_index(
        "ix_steer_open",
        "steer",
        ["job_id", "id"],
        sqlite_where=sa.text("state IN ('waiting', 'told')"),
        postgresql_where=sa.text("state IN ('waiting', 'told')"),
    )
    op.create_table(
        "pause",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("knows_outbox_id", "knows_message_id"):
        op.add_column("worker", sa.Column(column, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column("continues_id", sa.Integer(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("restore a backup of before the update instead")
