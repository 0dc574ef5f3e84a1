"""The same operations while no daemon runs: straight on the rows."""

from typing import Any

from agentos import config
from agentos.control.operations.registry import OPERATIONS, unknown
from agentos.domain.clock import SystemClock
from agentos.home import Home
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate


def run(home: Home, op: str, params: dict[str, Any]) -> Any:
    """Run one operation. Raises what the daemon would raise, and Misconfigured, StoreUnusable."""
    if op not in OPERATIONS:
        raise unknown(op)
    operation = OPERATIONS[op]
    work = operation.prepare(params, at=SystemClock().now())
    home.make()
    settings = config.load(config_file=home.config_file, secrets_file=home.secrets_file)
    database = Database(settings.store.url or sqlite_url(home.database_file))
    try:
        migrate(database)
        with database.begin() if operation.writes else database.read() as connection:
            return work(connection)
    finally:
        database.close()
