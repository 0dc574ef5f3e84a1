"""The promises that the rows keep by themselves, on SQLite and on Postgres."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from agentos.domain.states import (
    Actor,
    CardState,
    JobState,
    MessageState,
    OutboxState,
    RunState,
    TaskState,
)
from agentos.domain.talk import Card, CardKind, Message
from agentos.domain.work import Job, Review, Run, Task, TaskKind, Worker
from agentos.errors import BadRequest, LeaseLost, NotFound, WrongState
from agentos.store import (
    cards,
    events,
    jobs,
    messages,
    outbox,
    people,
    projects,
    reviews,
    rows,
    runs,
    tasks,
    workers,
)
from agentos.store.database import Database
from agentos.store.migrate import migrate

NOW = datetime(2026, 11, 21, 9, 30, 15, 123456, tzinfo=UTC)
LEASE = timedelta(minutes=2)


def a_message(update: str = "1", **more: object) -> Message:
    values = {
        "channel": "telegram",
        "conversation": "telegram:7",
        "external_id": update,
        "text": "hello",
        "received_at": NOW,
    }
    return Message(**{**values, **more})


def a_job(**more: object) -> Job:
    return Job(**{"title": "t", "prompt": "p", "created_at": NOW, **more})


def a_worker(name: str = "w", **more: object) -> Worker:
    return Worker(**{"name": name, "model": "sonnet", "created_at": NOW, **more})


def started(database: Database, **more: object) -> tuple[Job, Worker, Run]:
    with database.begin() as connection:
        job = jobs.enqueue(connection, a_job(**more))
        worker = workers.add(connection, a_worker(f"w{job.id}"))
        run = runs.start(connection, job, worker, now=NOW, lease=LEASE, model="sonnet", node="here")
    assert run is not None
    return job, worker, run


def test_a_redelivered_update_changes_nothing(any_database: Database) -> None:
    with any_database.begin() as connection:
        first = messages.receive(connection, a_message())
        again = messages.receive(connection, a_message(text="other"))
    assert first is not None
    assert again is None
    with any_database.read() as connection:
        assert [m.text for m in messages.list_open(connection)] == ["hello"]


def test_times_come_back_aware_and_exact(any_database: Database) -> None:
    with any_database.begin() as connection:
        stored = messages.receive(connection, a_message())
        assert stored is not None
        found = messages.get(connection, stored.id or 0)
    assert found.received_at == NOW
    assert found.received_at.utcoffset() == timedelta()
    assert found.state is MessageState.received


def test_a_naive_time_is_refused(any_database: Database) -> None:
    naive = datetime(2026, 11, 21)
    with pytest.raises(Exception, match="naive"), any_database.begin() as connection:
        messages.receive(connection, a_message(received_at=naive))


def test_saying_something_twice_is_saying_it_once(any_database: Database) -> None:
    with any_database.begin() as connection:
        one = outbox.say(connection, key="k", conversation="telegram:7", text="a", at=NOW)
        two = outbox.say(connection, key="k", conversation="telegram:7", text="b", at=NOW)
    assert (two.id, two.text) == (one.id, "a")


def test_a_failing_row_holds_back_its_own_conversation_alone(any_database: Database) -> None:
    with any_database.begin() as connection:
        for key, chat in (("a1", "telegram:1"), ("a2", "telegram:1"), ("b1", "telegram:2")):
            outbox.say(connection, key=key, conversation=chat, text=key, at=NOW)
        head = outbox.find_by_key(connection, "a1")
        assert head is not None and head.id is not None
        assert outbox.mark_sending(connection, head.id)
        outbox.mark_retry(
            connection, head.id, at=NOW + timedelta(minutes=1), error="429", uncertain=False
        )
        due = outbox.list_due(connection, "telegram", now=NOW)
        assert [row.key for row in due] == ["b1"]
        later = outbox.list_due(connection, "telegram", now=NOW + timedelta(minutes=1))
        assert [row.key for row in later] == ["a1", "b1"]
        assert outbox.next_attempt(connection, "telegram") == NOW + timedelta(minutes=1)


def test_what_was_being_sent_at_a_crash_is_sent_again_and_marked(any_database: Database) -> None:
    with any_database.begin() as connection:
        row = outbox.say(connection, key="k", conversation="telegram:7", text="a", at=NOW)
        assert row.id is not None
        assert outbox.mark_sending(connection, row.id)
        assert not outbox.mark_sending(connection, row.id)
        assert outbox.recover(connection) == 1
        found = outbox.get(connection, row.id)
    assert (found.state, found.uncertain) == (OutboxState.pending, True)


def test_a_card_is_answered_once(any_database: Database) -> None:
    with any_database.begin() as connection:
        card = cards.open_card(
            connection,
            Card(
                kind=CardKind.ask,
                channel="telegram",
                conversation="telegram:7",
                question="Which?",
                options=[{"key": "a", "label": "A", "consequence": ""}],
                created_at=NOW,
            ),
        )
        assert card.id is not None
        with pytest.raises(BadRequest, match="has the options a"):
            cards.answer(connection, card.id, "z", via="telegram", at=NOW)
        assert cards.answer(connection, card.id, "a", via="telegram", at=NOW)
        assert not cards.answer(connection, card.id, "a", via="pm", at=NOW)
        assert not cards.cancel(connection, card.id, at=NOW)
        found = cards.get(connection, card.id)
    assert (found.state, found.answer) == (CardState.answered, "a")
    assert found.answered_via == "telegram"


def test_a_job_with_a_key_is_queued_once(any_database: Database) -> None:
    with any_database.begin() as connection:
        one = jobs.enqueue(connection, a_job(key="message:1"))
        two = jobs.enqueue(connection, a_job(key="message:1", title="other"))
    assert (two.id, two.title) == (one.id, "t")


def test_the_queue_is_in_the_order_of_lanes_then_priority_then_age(any_database: Database) -> None:
    with any_database.begin() as connection:
        made = [jobs.enqueue(connection, a_job(priority=p)) for p in (5, 2, 1, 0, 1)]
        ready = jobs.list_ready(connection, now=NOW, limit=10)
    assert [job.id for job in ready] == [made[i].id for i in (3, 2, 4, 1, 0)]


def test_a_job_waits_for_its_time_and_for_what_it_needs(any_database: Database) -> None:
    later = NOW + timedelta(hours=1)
    with any_database.begin() as connection:
        first = jobs.enqueue(connection, a_job())
        assert first.id is not None
        jobs.enqueue(connection, a_job(title="second"), needs=[first.id])
        jobs.enqueue(connection, a_job(title="timed", run_at=later))
        assert [j.id for j in jobs.list_ready(connection, now=NOW, limit=10)] == [first.id]
        assert jobs.next_due(connection, now=NOW) == later
        assert jobs.take(connection, first.id)
        jobs.move(connection, first.id, JobState.done, by=Actor.engine, at=NOW)
        titles = [j.title for j in jobs.list_ready(connection, now=later, limit=10)]
    assert titles == ["second", "timed"]


def test_a_job_that_needs_a_failed_one_is_doomed(any_database: Database) -> None:
    with any_database.begin() as connection:
        first = jobs.enqueue(connection, a_job())
        assert first.id is not None
        second = jobs.enqueue(connection, a_job(), needs=[first.id])
        assert jobs.list_doomed(connection) == []
        jobs.move(connection, first.id, JobState.cancelled, by=Actor.owner, at=NOW)
        doomed = jobs.list_doomed(connection)
    assert [(job.id, lost) for job, lost in doomed] == [(second.id, first.id)]


def test_needing_a_job_that_is_not_there_is_refused(any_database: Database) -> None:
    with pytest.raises(NotFound, match="no job 99"), any_database.begin() as connection:
        jobs.enqueue(connection, a_job(), needs=[99])


def test_a_job_is_claimed_by_one_of_many_at_once(any_database: Database) -> None:
    with any_database.begin() as connection:
        job = jobs.enqueue(connection, a_job())
        hands = [workers.add(connection, a_worker(f"w{n}")) for n in range(8)]

    def claim(worker: Worker) -> bool:
        try:
            with any_database.begin() as connection:
                run = runs.start(connection, job, worker, now=NOW, lease=LEASE, model="m", node="n")
        except IntegrityError:
            return False
        return run is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, hands)) == 1


def test_the_database_refuses_a_second_live_run_of_a_job_or_a_worker(
    any_database: Database,
) -> None:
    job, worker, run = started(any_database)
    other_job, other_worker, _ = started(any_database)
    copy = {"number": 2, "token": "t", "started_at": NOW, "heartbeat_at": NOW, "lease_until": NOW}
    for job_id, worker_id in ((job.id, other_worker.id), (other_job.id, worker.id)):
        with pytest.raises(IntegrityError), any_database.begin() as connection:
            rows.add(connection, Run(job_id=job_id, worker_id=worker_id, **copy))
    with any_database.begin() as connection:
        runs.settle(connection, run, RunState.done, at=NOW, detail=None)


def test_a_run_that_lost_its_lease_changes_nothing(any_database: Database) -> None:
    _, _, run = started(any_database)
    stale = run.model_copy(update={"token": "another"})
    with pytest.raises(LeaseLost), any_database.begin() as connection:
        runs.settle(connection, stale, RunState.done, at=NOW, detail=None)
    with any_database.begin() as connection:
        runs.settle(connection, run, RunState.failed, at=NOW, detail="it broke")
    with pytest.raises(LeaseLost), any_database.begin() as connection:
        runs.settle(connection, run, RunState.done, at=NOW, detail=None)
    with any_database.read() as connection:
        assert runs.get(connection, run.id or 0).detail == "it broke"


def test_a_task_is_not_done_without_a_passing_review_by_another_model(
    any_database: Database,
) -> None:
    with any_database.begin() as connection:
        task = tasks.add(
            connection,
            Task(
                title="t",
                kind=TaskKind.code,
                state=TaskState.ready,
                created_at=NOW,
                updated_at=NOW,
            ),
        )
    _, _, run = started(any_database, task_id=task.id)

    def done() -> None:
        with any_database.begin() as connection:
            connection.execute(text(f"UPDATE task SET state = 'done' WHERE id = {task.id}"))

    def review(model: str, *, passed: bool) -> None:
        with any_database.begin() as connection:
            reviews.add(
                connection,
                Review(
                    task_id=task.id,
                    run_id=run.id,
                    backend="claude",
                    model=model,
                    passed=passed,
                    score=Decimal("0.9"),
                    created_at=NOW,
                ),
            )

    for model, passed in ((None, False), ("sonnet", True), ("opus", False)):
        if model is not None:
            review(model, passed=passed)
        with pytest.raises(DBAPIError, match="passing review by another model"):
            done()
    review("opus", passed=True)
    done()


def test_a_refused_move_leaves_everything_as_it_was(any_database: Database) -> None:
    with any_database.begin() as connection:
        job = jobs.enqueue(connection, a_job())
    with pytest.raises(WrongState), any_database.begin() as connection:
        projects.add(connection, name="half", description="", at=NOW)
        jobs.move(connection, job.id or 0, JobState.parked, by=Actor.owner, at=NOW)
    with any_database.read() as connection:
        assert projects.list_all(connection, state=None, limit=9) == []


def test_the_owner_is_one_person_a_channel(any_database: Database) -> None:
    with any_database.begin() as connection:
        for who in ("1", "2"):
            people.pair(connection, channel="telegram", external_id=who, name="x", at=NOW)
        owner = people.find_owner(connection, "telegram")
        before = people.find(connection, channel="telegram", external_id="1")
    assert owner is not None and owner.external_id == "2"
    assert before is not None and before.role == "stranger"


def test_events_tell_a_jobs_life_in_order(any_database: Database) -> None:
    job, _, run = started(any_database)
    with any_database.begin() as connection:
        runs.settle(connection, run, RunState.done, at=NOW, detail=None)
    with any_database.read() as connection:
        keys = [event.key for event in events.list_since(connection, 0, job_id=job.id)]
    assert keys == ["job_queued", "run_started", "run_settled"]


def test_migrating_twice_changes_nothing(any_database: Database) -> None:
    with any_database.begin() as connection:
        jobs.enqueue(connection, a_job())
    migrate(any_database)
    with any_database.read() as connection:
        assert len(jobs.list_all(connection)) == 1
