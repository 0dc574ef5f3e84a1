"""What a daemon that starts again makes of jobs that were live at crash after crash."""

from datetime import timedelta

from sqlalchemy import Connection

from agentos.domain.states import JobState
from agentos.domain.work import Job, Worker
from agentos.engine.recovery import put_back, recover
from agentos.standins.clock import VirtualClock
from agentos.store import jobs, outbox, runs, workers
from agentos.store.database import Database

_MOST = 3


def _go_live(connection: Connection, job_id: int, *, clock: VirtualClock) -> None:
    job = jobs.get(connection, job_id)
    row = Worker(name=f"w{job.attempts}", model="sonnet", created_at=clock.now())
    worker = workers.add(connection, row)
    lease = timedelta(minutes=2)
    run = runs.start(
        connection, job, worker, now=clock.now(), lease=lease, model="sonnet", node="here"
    )
    assert run is not None


def test_a_job_that_is_live_in_every_crash_is_set_aside_and_the_owner_hears_of_it(
    database: Database, clock: VirtualClock
) -> None:
    row = Job(
        title="Dig a hole",
        prompt="dig",
        conversation="terminal:main",
        created_at=clock.now(),
    )
    with database.begin() as connection:
        job_id = jobs.enqueue(connection, row).id or 0
    for crash in range(1, _MOST + 1):
        with database.begin() as connection:
            _go_live(connection, job_id, clock=clock)
        with database.begin() as connection:
            again = recover(connection, at=clock.now(), max_crashes=_MOST)
        assert again == ([job_id] if crash < _MOST else [])
    with database.read() as connection:
        assert jobs.get(connection, job_id).state is JobState.failed
        (said,) = outbox.list_for_job(connection, job_id)
    assert "Dig a hole" in said.text and "the daemon ended 3 times while it ran" in said.text


def test_an_orderly_stop_does_not_count_against_a_job(
    database: Database, clock: VirtualClock
) -> None:
    row = Job(title="Dig", prompt="dig", conversation="terminal:main", created_at=clock.now())
    with database.begin() as connection:
        job = jobs.enqueue(connection, row)
        assert job.id is not None
        for _ in range(_MOST + 2):
            _go_live(connection, job.id, clock=clock)
            put_back(connection, at=clock.now())
        assert jobs.get(connection, job.id).state is JobState.queued
        _go_live(connection, job.id, clock=clock)
        assert recover(connection, at=clock.now(), max_crashes=_MOST) == [job.id]
