"""Guests, who hears an answer, albums, and conversations that belong to a project"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "person", sa.Column("username", sa.String(length=64), nullable=False, server_default="")
    )
    # Without a constraint: SQLite would copy the table for it, with all that ever was said.
    op.add_column("message", sa.Column("person_id", sa.Integer(), nullable=True))
    op.add_column(
        "message",
        sa.Column("audience", sa.String(length=32), nullable=False, server_default="owner"),
    )
    op.add_column("message", sa.Column("album", sa.String(length=64), nullable=True))
    op.create_table(
        "binding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("conversation", sa.String(length=200), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("conversation"),
    )
    op.create_index("ix_binding_project_id", "binding", ["project_id"])


def downgrade() -> None:
    raise NotImplementedError("restore a backup of before the update instead")
