"""The ledger: what each turn of a model used."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, bindparam, func, select

from agentos.domain.ledger import Purpose, Usage
from agentos.domain.work import Task, TaskKind
from agentos.store import pools, rows

USAGE, TASK = rows.table_of(Usage), rows.table_of(Task)
# Prices change, and so does what is asked for.
_LATELY = 30
_SINCE, _UNTIL = (bindparam(name, type_=USAGE.c.at.type) for name in ("since", "until"))
_BETWEEN = select(
    func.coalesce(
        func.sum(USAGE.c.input_tokens + USAGE.c.output_tokens + USAGE.c.cache_write_tokens), 0
    )
).where(USAGE.c.at > _SINCE, USAGE.c.at <= _UNTIL)


def record(connection: Connection, row: Usage) -> None:
    """Write down what a turn used, and count it in the pools of its backend."""
    rows.add(connection, row)
    pools.spend(connection, row.backend, tokens=row.tokens, at=row.at)


def tokens_between(connection: Connection, since: datetime, until: datetime) -> int:
    """What counts against limits of all that was used in that time."""
    return int(connection.execute(_BETWEEN, {"since": since, "until": until}).scalar_one())


def total_for_job(connection: Connection, job_id: int) -> Usage:
    """The sums over all turns of a job, as one row that is not stored."""
    columns = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    sums = [func.coalesce(func.sum(USAGE.c[name]), 0).label(name) for name in columns]
    cost = func.coalesce(func.sum(USAGE.c.cost_usd), 0).label("cost_usd")
    row = connection.execute(select(*sums, cost).where(USAGE.c.job_id == job_id)).one()
    totals = dict(row._mapping)
    totals["cost_usd"] = Decimal(str(totals["cost_usd"]))
    return Usage(job_id=job_id, **totals)


def mean_cost(connection: Connection, kind: TaskKind, *, least: int) -> Decimal | None:
    """What the last jobs that did tasks of a kind have cost on average; None when few did."""
    costs = (
        select(func.sum(USAGE.c.cost_usd).label("cost"))
        .join(TASK, TASK.c.id == USAGE.c.task_id)
        .where(TASK.c.kind == kind, USAGE.c.purpose == Purpose.work, USAGE.c.job_id.is_not(None))
        .group_by(USAGE.c.job_id)
        .order_by(USAGE.c.job_id.desc())
        .limit(_LATELY)
        .subquery()
    )
    count, mean = connection.execute(select(func.count(), func.avg(costs.c.cost))).one()
    return Decimal(str(mean)) if count >= least else None


@dataclass(frozen=True)
class Sum:
    """What one purpose has used."""

    purpose: Purpose
    tokens: int
    cost_usd: Decimal


def sums_since(connection: Connection, since: datetime) -> list[Sum]:
    """What was used since then, by purpose, the most first."""
    tokens = func.sum(USAGE.c.input_tokens + USAGE.c.output_tokens + USAGE.c.cache_write_tokens)
    cost = func.sum(USAGE.c.cost_usd)
    statement = select(USAGE.c.purpose, tokens, cost).where(USAGE.c.at >= since)
    found = connection.execute(statement.group_by(USAGE.c.purpose))
    sums = [Sum(row[0], int(row[1]), Decimal(str(row[2]))) for row in found]
    return sorted(sums, key=lambda one: (-one.cost_usd, -one.tokens))


def tokens_for(connection: Connection, purposes: Collection[Purpose], *, since: datetime) -> int:
    """What counts against limits of all that was used for some purposes since then."""
    tokens = USAGE.c.input_tokens + USAGE.c.output_tokens + USAGE.c.cache_write_tokens
    statement = select(func.coalesce(func.sum(tokens), 0)).where(
        USAGE.c.at > since, USAGE.c.purpose.in_(list(purposes))
    )
    return int(connection.execute(statement).scalar_one())
