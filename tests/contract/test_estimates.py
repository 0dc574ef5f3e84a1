"""What a plan's steps will take and cost, learned from jobs that are done."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from agentos.domain.ledger import Purpose, Usage
from agentos.domain.plan import Step
from agentos.domain.work import Job, Task, TaskKind
from agentos.frontdesk.estimates import Estimate, estimate
from agentos.store import expectations, jobs, tasks, usage
from agentos.store.database import Database

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STEP = Step(title="Facts", kind=TaskKind.research, prompt="p", minutes=30, cost_usd=0.5)


def done(connection: Connection, kind: TaskKind, *, cost: str, minutes: int) -> None:
    task = tasks.add(connection, Task(title="t", kind=kind, created_at=NOW, updated_at=NOW))
    job = jobs.enqueue(connection, Job(title="t", prompt="p", task_id=task.id, created_at=NOW))
    for half in range(2):
        row = Usage(
            purpose=Purpose.work,
            backend="claude",
            model="sonnet",
            cost_usd=Decimal(cost) / 2,
            job_id=job.id,
            task_id=task.id,
            at=NOW + timedelta(seconds=half),
        )
        usage.record(connection, row)
    expectations.learn(connection, job, tokens=10, took=timedelta(minutes=minutes))


def test_a_step_is_expected_to_be_like_those_of_its_kind_once_there_are_three(
    any_database: Database,
) -> None:
    with any_database.begin() as connection:
        for cost in ("0.10", "0.20"):
            done(connection, TaskKind.research, cost=cost, minutes=4)
        done(connection, TaskKind.writing, cost="9.00", minutes=90)
        assert estimate(connection, [STEP]) == [Estimate(30, Decimal("0.50"))]
        done(connection, TaskKind.research, cost="0.30", minutes=4)
        assert estimate(connection, [STEP]) == [Estimate(4, Decimal("0.20"), usual=True)]
