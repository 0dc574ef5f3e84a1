"""Bringing the tables to the newest version, at every start."""

from pathlib import Path

from sqlalchemy.exc import DBAPIError

from agentos.errors import StoreUnusable
from agentos.store.database import Database

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Run the missing migrations in one transaction. Safe to call by two processes at once.

    Raises StoreUnusable, also for tables that a newer version or another program has made.
    """
    if _is_newest(database):
        return
    # Alembic takes a third of a second to import, and most starts have nothing for it to do.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config as AlembicConfig  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS))
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


def _is_newest(database: Database) -> bool:
    """Whether the tables are of the last migration, whose number its file's name begins with."""
    newest = max(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*"))
    try:
        with database.read() as connection:
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars()
            return list(found) == [newest]
    except DBAPIError:
        return False  # no tables yet, or not ours
