"""What a daemon that starts again makes of jobs that were live at crash after crash."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.frames import Failure, TurnEnded
from agentos.domain.states import JobState
from agentos.domain.work import Job, Run, Worker
from agentos.engine.recovery import put_back, recover, settle_ended
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.store import jobs, outbox, runs, workers
from agentos.store.database import Database
from agentos.worker.transcript import Transcript

_MOST = 3


def _go_live(connection: Connection, job_id: int, *, clock: VirtualClock) -> Run:
    job = jobs.get(connection, job_id)
    row = Worker(name=f"w{job.attempts}", model="sonnet", created_at=clock.now())
    worker = workers.add(connection, row)
    lease = timedelta(minutes=2)
    run = runs.start(
        connection, job, worker, now=clock.now(), lease=lease, model="sonnet", node="here"
    )
    assert run is not None
    return run


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


def _left_behind(connection: Connection, home: Home, *, clock: VirtualClock) -> tuple[int, Run]:
    """A job whose daemon was killed while its child went on."""
    row = Job(title="Dig", prompt="dig", conversation="terminal:main", created_at=clock.now())
    job_id = jobs.enqueue(connection, row).id or 0
    home.job_folder(job_id).mkdir()
    return job_id, _go_live(connection, job_id, clock=clock)


def _ends(home: Home, run: Run, ended: TurnEnded) -> None:
    path = home.job_folder(run.job_id) / "transcript.jsonl"
    Transcript(str(path), run_id=run.id).keep(ended)


def test_what_a_child_had_done_when_nobody_was_there_to_hear_it_is_not_done_again(
    database: Database, home: Home, clock: VirtualClock
) -> None:
    with database.begin() as connection:
        job_id, run = _left_behind(connection, home, clock=clock)
    artefacts = home.job_folder(job_id) / "artefacts"
    artefacts.mkdir()
    (artefacts / "hole.txt").write_text("deep")
    text = "Dug it. " * 10_000
    _ends(home, run, TurnEnded(turn_id=run.token, text=text))
    with database.begin() as connection:
        assert settle_ended(connection, at=clock.now(), config=Config(), home=home) == [job_id]
        assert recover(connection, at=clock.now(), max_crashes=1) == []
        job = jobs.get(connection, job_id)
        assert (job.state, job.result) == (JobState.done, text)
        said = outbox.list_for_job(connection, job_id)
        assert ["Dug it." in each.text for each in said] == [True, False]
        assert said[1].file_path == str(artefacts / "hole.txt")
        assert settle_ended(connection, at=clock.now(), config=Config(), home=home) == []


@pytest.mark.parametrize(
    "left",
    [
        None,
        "{",
        TurnEnded(turn_id="of another run", text="done"),
        TurnEnded(turn_id="", failure=Failure.crashed, problem="it broke"),
    ],
)
def test_what_had_not_come_to_its_end_is_done_again(
    database: Database, home: Home, clock: VirtualClock, left: TurnEnded | str | None
) -> None:
    with database.begin() as connection:
        job_id, run = _left_behind(connection, home, clock=clock)
    if isinstance(left, TurnEnded):
        _ends(home, run, left.model_copy(update={"turn_id": left.turn_id or run.token}))
    elif left is not None:
        (home.job_folder(job_id) / "ended.json").write_text(left)
    with database.begin() as connection:
        assert settle_ended(connection, at=clock.now(), config=Config(), home=home) == []
        assert recover(connection, at=clock.now(), max_crashes=3) == [job_id]
