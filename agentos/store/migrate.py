"""Bringing the tables to the newest version, at every start."""

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig

from agentos.store.database import Database


def migrate(database: Database) -> None:
    """Run the missing migrations in one transaction. Safe to call by two processes at once."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
