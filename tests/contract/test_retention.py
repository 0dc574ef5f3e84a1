"""What ended long ago goes, a little at a time; what is needed, owed or reviewed stays."""

from datetime import timedelta
from decimal import Decimal

import pytest

from agentos.control.tidying import tidy
from agentos.domain.ledger import Purpose, Usage
from agentos.domain.states import Actor, CardState, JobState, RunState, WorkerState
from agentos.domain.talk import Card, CardKind
from agentos.domain.work import Artefact, Job, Review, Run, Worker
from agentos.home import Home
from agentos.store import artefacts, cards, events, jobs, outbox, retention, rows, usage, workers
from agentos.store.database import Database
from tests.row_room import NOW, Rows

LATER = NOW + timedelta(days=100)
KEEP = timedelta(days=90)


@pytest.fixture
def there(any_database: Database, home: Home) -> Rows:
    return Rows(any_database, home)


def old_job(there: Rows, **params: object) -> int:
    """A job that a worker of its own has done long ago, with all that belongs to one."""
    job_id: int = there.job(**params)["id"]
    with there.database.begin() as connection:
        workers.employ(connection, there_is_a_worker(f"once-{job_id}"))
    run = there.start(job_id, f"once-{job_id}")
    with there.database.begin() as connection:
        usage.record(
            connection,
            Usage(
                purpose=Purpose.work,
                backend="claude",
                model="sonnet",
                output_tokens=7,
                cost_usd=Decimal("0.50"),
                job_id=job_id,
                run_id=run.id,
                at=NOW,
            ),
        )
        folder = there.home.job_folder(job_id)
        folder.mkdir()
        (folder / "a.md").write_text("a")
        file = Artefact(
            job_id=job_id,
            run_id=run.id or 0,
            name="a.md",
            path=str(folder / "a.md"),
            media_type="text/markdown",
            size=1,
            created_at=NOW,
        )
        artefacts.add(connection, file)
    there.end(run, RunState.done)
    with there.database.begin() as connection:
        worker_id = there.worker(f"once-{job_id}").id or 0
        workers.change(connection, worker_id, state=WorkerState.retired, last_used_at=NOW)
    return job_id


def there_is_a_worker(name: str) -> Worker:
    return Worker(name=name, model="sonnet", persistent=True, created_at=NOW)


def recent_job(there: Rows) -> int:
    """A job that has just ended: what is old is counted from it."""
    there.now = LATER
    job_id: int = old_job(there)
    there.now = NOW
    return job_id


async def tidied(there: Rows) -> dict[str, object]:
    done = await tidy(there.database, home=there.home, now=LATER, keep=KEEP)
    return done.told()


def is_there(there: Rows, job_id: int) -> bool:
    with there.database.read() as connection:
        return rows.find(connection, Job, job_id) is not None


async def test_old_jobs_go_with_all_that_is_theirs_and_costs_stay(there: Rows) -> None:
    old = [old_job(there) for _ in range(3)]
    recent = recent_job(there)
    told = await tidied(there)
    assert (told["jobs"], told["runs"], told["workers"], told["folders"]) == (3, 3, 3, 3)
    assert not any(is_there(there, job_id) for job_id in old)
    assert [each.name for each in there.home.jobs.iterdir()] == [str(recent)]
    with there.database.read() as connection:
        assert {event.job_id for event in events.list_since(connection, 0)} <= {recent, None}
        spent = rows.newest(connection, Usage, limit=10)
        assert sum(row.cost_usd for row in spent) == Decimal("2.00")
    assert there.ask("job.show", job=recent)["artefacts"]
    again = await tidied(there)
    assert not any(again[name] for name in ("jobs", "runs", "workers", "folders"))


async def test_what_is_owed_needed_or_asked_stays(there: Rows) -> None:
    unsaid, needed, asked = (old_job(there) for _ in range(3))
    waits = there.job(needs=[needed])["id"]
    with there.database.begin() as connection:
        outbox.say(
            connection, key="k", conversation="terminal:main", text="t", at=NOW, job_id=unsaid
        )
        cards.open_card(
            connection,
            Card(
                kind=CardKind.ask,
                channel="terminal",
                conversation="terminal:main",
                question="?",
                options=[],
                job_id=asked,
                created_at=NOW,
            ),
        )
    gone = old_job(there)
    recent_job(there)
    await tidied(there)
    assert [is_there(there, each) for each in (unsaid, needed, asked, waits, gone)] == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert there.home.job_folder(needed).is_dir()


async def test_what_was_reviewed_stays_with_its_review(there: Rows) -> None:
    task = there.ask("task.add", title="Paint")["task"]["id"]
    job_id = old_job(there, task=task)
    with there.database.begin() as connection:
        (run,) = rows.newest(connection, Run, limit=1, job_id=job_id)
        rows.add(
            connection,
            Review(
                task_id=task,
                run_id=run.id or 0,
                backend="codex",
                model="other",
                passed=True,
                score=Decimal("0.9"),
                created_at=NOW,
            ),
        )
    recent_job(there)
    await tidied(there)
    assert there.ask("task.show", task=task)["reviews"][0]["passed"] is True
    assert len(there.ask("job.show", job=job_id)["runs"]) == 1


async def test_the_newest_job_stays_so_its_number_is_not_given_again(there: Rows) -> None:
    """A result is said under the number of its job, and said once: another one's would be lost."""
    jobs_before = [old_job(there) for _ in range(2)]
    with there.database.begin() as connection:
        retention.remove(connection, before=LATER)
    assert not is_there(there, jobs_before[0])
    assert there.job()["id"] > max(jobs_before)


async def test_the_stream_of_events_goes_on_where_it_was(there: Rows) -> None:
    for _ in range(2):
        old_job(there)
    last = there.ask("engine.events", newest=True)["last"]
    while True:
        with there.database.begin() as connection:
            if not retention.remove(connection, before=LATER):
                break
    there.job()
    after = there.ask("engine.events", since=last)["events"]
    assert [event["key"] for event in after] == ["job_queued"]


async def test_a_clock_that_jumped_ahead_makes_nothing_old(there: Rows) -> None:
    job_id = old_job(there)
    old_job(there)
    ten_years = timedelta(days=3650)
    done = await tidy(there.database, home=there.home, now=NOW + ten_years, keep=KEEP)
    assert not done
    assert is_there(there, job_id)


async def test_a_crash_between_rows_and_folders_is_made_good_the_next_time(there: Rows) -> None:
    old = old_job(there)
    recent = recent_job(there)
    with there.database.begin() as connection:
        retention.remove(connection, before=NOW + timedelta(days=1))
    assert there.home.job_folder(old).is_dir()
    to_come = there.home.job_folder(recent + 1)
    to_come.mkdir()
    assert (await tidied(there))["folders"] == 1
    assert not there.home.job_folder(old).exists()
    assert to_come.is_dir()


async def test_a_folder_without_rights_goes_and_a_link_takes_nothing_along(there: Rows) -> None:
    locked, linked = old_job(there), old_job(there)
    recent_job(there)
    inside = there.home.job_folder(locked) / "work"
    inside.mkdir()
    (inside / "b.md").write_text("b")
    inside.chmod(0o000)
    elsewhere = there.home.root / "precious"
    elsewhere.mkdir()
    (elsewhere / "keep.md").write_text("keep")
    there.home.job_folder(linked).rename(there.home.root / "away")
    there.home.job_folder(linked).symlink_to(elsewhere)
    assert (await tidied(there))["folders"] == 2
    assert (elsewhere / "keep.md").read_text() == "keep"
    assert not there.home.job_folder(locked).exists()


async def test_each_transaction_is_short(there: Rows) -> None:
    for _ in range(12):
        old_job(there)
    recent_job(there)
    with there.database.begin() as connection:
        first = retention.remove(connection, before=NOW + timedelta(days=1), limit=5)
    assert first.jobs == 5
    assert (await tidied(there))["jobs"] == 7


def test_a_cancelled_card_does_not_hold_its_job(there: Rows) -> None:
    job_id = old_job(there)
    with there.database.begin() as connection:
        card = Card(
            kind=CardKind.ask,
            channel="terminal",
            conversation="terminal:main",
            question="?",
            options=[],
            job_id=job_id,
            created_at=NOW,
        )
        cards.cancel(connection, cards.open_card(connection, card).id or 0, at=NOW)
    recent_job(there)
    with there.database.begin() as connection:
        assert retention.remove(connection, before=NOW + timedelta(days=1)).jobs == 1
    with there.database.read() as connection:
        assert cards.get(connection, card.id or 0).state is CardState.cancelled


def test_an_unfinished_jobs_retries_are_still_counted_after_tidying(there: Rows) -> None:
    there.ask("worker.add", name="ada")
    job_id = there.job(worker="ada")["id"]
    there.finish(job_id, JobState.failed)
    there.ask("job.retry", job=job_id)
    recent_job(there)
    with there.database.begin() as connection:
        retention.remove(connection, before=NOW + timedelta(days=1))
        jobs.move(connection, job_id, JobState.cancelled, by=Actor.owner, at=LATER)
    assert "job_retried" in [one["key"] for one in there.ask("job.logs", job=job_id)["events"]]
