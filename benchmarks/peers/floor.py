"""What this machine can do at all, now: the figures of an engine are to be read beside these."""

import os
import sqlite3
import time
from pathlib import Path

from benchmarks.peers import record


def commits(folder: Path, count: int) -> float:
    """Rows committed a second, one by one, by SQLite alone with synchronous=FULL."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, prompt TEXT)")
    before = time.perf_counter()
    for _ in range(count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO job (prompt) VALUES (?)", ("x" * 200,))
        connection.execute("COMMIT")
    rate = count / (time.perf_counter() - before)
    connection.close()
    return rate


def forks(folder: Path, count: int) -> float:
    """Children a second, one after the other, that write their line and end."""
    os.environ[record.RECORD] = str(folder / "floor")
    before = time.perf_counter()
    for number in range(count):
        child = os.fork()
        if child == 0:
            try:
                record.work(number, 0)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    return count / (time.perf_counter() - before)
