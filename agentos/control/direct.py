"""The same operations while no daemon runs: straight on the rows."""

import asyncio
from collections.abc import Callable
from typing import Any

from agentos import config
from agentos.control import keeping, remembered
from agentos.control.operations.operation import Here
from agentos.control.operations.registry import OPERATIONS, unknown
from agentos.control.tidying import tidy_by_hand
from agentos.domain.clock import SystemClock
from agentos.home import Home
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate


def run(home: Home, op: str, params: dict[str, Any]) -> Any:
    """Run one operation. Raises what the daemon would raise, and Misconfigured, StoreUnusable."""
    if op == "engine.tidy":
        return _with_database(
            home, lambda database, here: asyncio.run(tidy_by_hand(database, params, here))
        )
    if op in remembered.NAMES:
        return _with_database(
            home, lambda database, here: keeping.by_hand(database, op, params, here)
        )
    if op not in OPERATIONS:
        raise unknown(op)
    operation = OPERATIONS[op]

    def work(database: Database, here: Here) -> Any:
        prepared = operation.prepare(params, here=here)
        with database.begin() if operation.writes else database.read() as connection:
            return prepared(connection)

    return _with_database(home, work)


def _with_database(home: Home, work: Callable[[Database, Here], Any]) -> Any:
    home.make()
    settings = config.load(config_file=home.config_file, secrets_file=home.secrets_file)
    here = Here(at=SystemClock().now(), home=home, config=settings)
    database = Database(settings.store.url or sqlite_url(home.database_file))
    try:
        migrate(database)
        return work(database, here)
    finally:
        database.close()
