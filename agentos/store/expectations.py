"""What jobs of a sort use and how long they take, learned from those that are done."""

from datetime import timedelta

from sqlalchemy import Connection, bindparam, select

from agentos.domain.capacity import Expectation
from agentos.domain.work import Job, Task, TaskKind
from agentos.store import rows
from agentos.store.prepared import Prepared

EXPECTATION = rows.table_of(Expectation)
TASK = rows.table_of(Task)
# Four characters are about one token of English, and of code.
_CHARACTERS_A_TOKEN = 4
# Before anything was learned: a system prompt, a few tools, a short answer.
_TOKENS_AT_FIRST = 8_000
_WEIGHT = 0.2
_BY_SORT = Prepared(select(EXPECTATION).where(EXPECTATION.c.sort == bindparam("sort")))
_KIND_OF = select(TASK.c.kind).where(TASK.c.id == bindparam("task_id"))


def expect(connection: Connection, job: Job) -> int:
    """The tokens a job will use: its prompt's, and what its sort used beyond that."""
    learned = find(connection, _sort_of(connection, job))
    beyond = _TOKENS_AT_FIRST if learned is None else round(learned.tokens)
    return len(job.prompt) // _CHARACTERS_A_TOKEN + beyond


def find(connection: Connection, sort: str) -> Expectation | None:
    """What was learned of a sort, or None."""
    found = _BY_SORT.fetch(connection, Expectation, {"sort": sort})
    return found[0] if found else None


def find_for(connection: Connection, job: Job) -> Expectation | None:
    """What was learned of jobs like this one, or None."""
    return find(connection, _sort_of(connection, job))


def learn(connection: Connection, job: Job, *, tokens: int, took: timedelta) -> None:
    """Take in what a job that is done has used: an exponential moving average."""
    sort = _sort_of(connection, job)
    beyond = max(0, tokens - len(job.prompt) // _CHARACTERS_A_TOKEN)
    seconds = took.total_seconds()
    known = find(connection, sort)
    if known is None:
        row = Expectation(sort=sort, tokens=beyond, seconds=seconds, samples=1)
        connection.execute(EXPECTATION.insert(), row.model_dump())
        return
    weight = max(_WEIGHT, 1 / (known.samples + 1))
    connection.execute(
        EXPECTATION.update()
        .where(EXPECTATION.c.sort == sort)
        .values(
            tokens=known.tokens + weight * (beyond - known.tokens),
            seconds=known.seconds + weight * (seconds - known.seconds),
            samples=known.samples + 1,
        )
    )


def sort_of(kind: TaskKind) -> str:
    """The sort of jobs that do tasks of a kind."""
    return f"kind:{kind.value}"


def _sort_of(connection: Connection, job: Job) -> str:
    if job.template is not None:
        return f"template:{job.template}"
    if job.task_id is not None:
        kind = connection.execute(_KIND_OF, {"task_id": job.task_id}).scalar()
        return f"kind:{kind}"
    return "job"
