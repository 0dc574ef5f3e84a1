"""Alembic's entry: it is handed an open transaction by `Database.migrate`."""

from alembic import context
from sqlmodel import SQLModel

from agentos.domain import capacity, ledger, memory, people, talk, work

MODULES = (capacity, ledger, memory, people, talk, work)  # importing them registers their tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=False,
)
context.run_migrations()
