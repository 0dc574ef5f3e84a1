"""Cards that are answered in words, and what the owner has allowed workers to do"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.add_column("card", sa.Column("words", sa.Text(), nullable=True))
    op.add_column(
        "card", sa.Column("other", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("card", sa.Column("words_wanted_at", moment, nullable=True))
    op.add_column("card", sa.Column("detail", sa.Text(), nullable=True))
    op.add_column("card", sa.Column("request", sa.JSON(), nullable=True))
    op.add_column("card", sa.Column("told_run_id", sa.Integer(), nullable=True))
    op.create_table(
        "granted",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tool", sa.String(length=100), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=32), nullable=False),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("card_id", sa.Integer(), nullable=True),
        sa.Column("via", sa.String(length=32), nullable=False),
        sa.Column("decided_at", moment, nullable=False),
        sa.Column("used_at", moment, nullable=True),
        sa.Column("revoked_at", moment, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"]),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    for name in ("job_id", "project_id", "card_id"):
        op.create_index(f"ix_granted_{name}", "granted", [name])


def downgrade() -> None:
    raise NotImplementedError("restore a backup of before the update instead")
