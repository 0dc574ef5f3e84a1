"""The ledger: what each turn of a model used."""

from decimal import Decimal

from sqlalchemy import Connection, func, select

from agentos.domain.ledger import Usage
from agentos.store import rows

USAGE = rows.table_of(Usage)


def record(connection: Connection, row: Usage) -> None:
    """Write down what a turn used."""
    rows.add(connection, row)


def total_for_job(connection: Connection, job_id: int) -> Usage:
    """The sums over all turns of a job, as one row that is not stored."""
    columns = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    sums = [func.coalesce(func.sum(USAGE.c[name]), 0).label(name) for name in columns]
    cost = func.coalesce(func.sum(USAGE.c.cost_usd), 0).label("cost_usd")
    row = connection.execute(select(*sums, cost).where(USAGE.c.job_id == job_id)).one()
    totals = dict(row._mapping)
    totals["cost_usd"] = Decimal(str(totals["cost_usd"]))
    return Usage(job_id=job_id, **totals)
