"""Tidying: what ended long ago is removed, rows first and then folders, a little at a time."""

import asyncio
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agentos import log as logs
from agentos.control.operations.operation import Here, Params, validated
from agentos.home import Home
from agentos.store import jobs, messages, retention
from agentos.store.database import Database
from agentos.store.retention import Removed

log = logs.get(__name__)
# Between two short transactions, so that whoever wants to write comes first.
_BREATH_SECONDS = 0.02


class EngineTidy(Params):
    """How many days of what ended are kept; without a number, as the settings say."""

    days: Annotated[int, Field(ge=1, le=36_500)] | None = None


@dataclass(frozen=True)
class Tidied:
    """What is gone: rows, and the folders of jobs; and those that could not be removed."""

    rows: Removed
    folders: int = 0
    stuck: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.folders or self.stuck)

    def told(self) -> dict[str, Any]:
        """As a log and a script are told."""
        return {**asdict(self.rows), "folders": self.folders, "stuck": self.stuck}


async def tidy(database: Database, *, home: Home, now: datetime, keep: timedelta) -> Tidied:
    """Remove rows of what ended longer ago, then folders of jobs without a row.

    Safe to be killed at any point: a folder whose row is gone goes the next time.
    """
    before = await database.query(
        lambda connection: retention.horizon(connection, now=now, keep=keep)
    )
    removed = Removed()
    while True:
        gone = await database.write(
            lambda connection: retention.remove(connection, before=before), tell=False
        )
        removed += gone
        if not gone:
            break
        await asyncio.sleep(_BREATH_SECONDS)
    found = await asyncio.to_thread(_folders, home)
    orphans = await database.query(lambda connection: retention.list_gone(connection, found))
    stuck = await asyncio.to_thread(_remove_folders, [home.job_folder(each) for each in orphans])
    return Tidied(removed, folders=len(orphans) - len(stuck), stuck=stuck)


async def tidy_by_hand(database: Database, params: dict[str, Any], here: Here) -> dict[str, Any]:
    """The operation `engine.tidy`."""
    words = validated(EngineTidy, params, op="engine.tidy")
    days = words.days or here.config.retention.days
    if not days:
        return {"days": 0, **Tidied(Removed()).told()}
    tidied = await tidy(database, home=here.home, now=here.at, keep=timedelta(days=days))
    return {"days": days, **tidied.told()}


def _folders(home: Home) -> list[int]:
    """The ids that folders of jobs are named by."""
    with home.written():
        names = [each.name for each in home.jobs.iterdir()] if home.jobs.is_dir() else []
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def _remove_folders(folders: list[Path]) -> list[str]:
    """Remove them; those that stay, and why."""
    stuck = []
    for folder in folders:
        try:
            _remove_folder(folder)
        except OSError as error:
            stuck.append(f"{folder}: {error.strerror or error}")
    return stuck


def _remove_folder(folder: Path) -> None:
    """Remove a folder, also one in which somebody took his own rights away."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink()
        return
    with suppress(OSError):
        shutil.rmtree(folder)
        return
    for inside in [folder, *folder.rglob("*")]:
        if inside.is_dir() and not inside.is_symlink():
            inside.chmod(0o700)
    shutil.rmtree(folder)


def set_old_files_aside(home: Home, database: Database) -> None:
    """A new database counts from 1 again: the files of an old one's job 1 are not the new one's."""
    with database.read() as connection:
        is_new = not jobs.list_all(connection, limit=1)
        no_messages = not messages.any_stored(connection)
    for folder in [home.jobs] * is_new + [home.inbox] * no_messages:
        if (aside := home.set_aside(folder)) is not None:
            log.warning("old_files_set_aside", folder=str(aside))
