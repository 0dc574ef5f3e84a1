"""Making sure that what was erased has left the database's files, too."""

import mmap
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import make_url

from agentos.store.database import Database

_BUSY_SECONDS = 10.0
# A shorter text is a word that stands in other places, too.
_LEAST = 8


def scrub(database: Database, texts: Iterable[str]) -> bool:
    """Empty the log, and rewrite the file if a text is still in it; whether all is gone.

    Deleted text may stay behind where a page was split long ago; only looking tells. Blocks. On a
    server there is no file of ours: its own VACUUM does this in its own time.
    """
    file = make_url(database.url).database
    if not database.is_sqlite or not file or file == ":memory:":
        return True
    path = Path(file)
    wanted = [needle for text in texts if len(needle := _needle(text)) >= _LEAST]
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        clean = _truncate(connection)
        if _holds(path, wanted):
            connection.execute("VACUUM")
            clean = _truncate(connection)
    finally:
        connection.close()
    return clean and not _holds(path, wanted)


def _truncate(connection: sqlite3.Connection) -> bool:
    """Move the log into the file and cut it to nothing; whether no reader was in the way."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(busy == 0)


def _needle(text: str) -> bytes:
    """What to look for: a long text lies on several pages, so its beginning stands for it."""
    return text.encode()[:400]


def _holds(path: Path, needles: list[bytes]) -> bool:
    if not needles or path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(needle) >= 0 for needle in needles)
