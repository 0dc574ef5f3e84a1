"""Bringing the tables to the newest version, at every start."""

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from agentos.errors import StoreUnusable
from agentos.store.database import Database


def migrate(database: Database) -> None:
    """Run the missing migrations in one transaction. Safe to call by two processes at once.

    Raises StoreUnusable, also for tables that a newer version or another program has made.
    """
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with database.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreUnusable(
            url=database.shown_url,
            problem=f"it is not of a version known here ({error})",
            mend="It may be newer than this agentos: update that, or restore a backup.",
        ) from error
    except DBAPIError as error:
        raise StoreUnusable(
            url=database.shown_url,
            problem=f"its tables cannot be made ({str(error.orig).splitlines()[0]})",
            mend="It may belong to another program: set store.url to a database of its own.",
        ) from error
