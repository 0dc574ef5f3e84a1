"""Which memories a job or a message was given"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memory_given",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("memory_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("message_id", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["memory_id"], ["memory.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("memory_id", "job_id", "message_id"):
        op.create_index(f"ix_memory_given_{column}", "memory_given", [column])


def downgrade() -> None:
    raise NotImplementedError("restore a backup of before the update instead")
