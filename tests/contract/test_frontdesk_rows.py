"""What the front desk asks the rows, on each database that must work."""

from datetime import UTC, datetime

from sqlalchemy import Connection

from agentos.domain.states import Actor, JobState, PlanState
from agentos.domain.talk import Message
from agentos.domain.work import Job, Plan
from agentos.frontdesk import closing
from agentos.frontdesk.surroundings import cut
from agentos.store import jobs, messages, outbox, plans
from agentos.store.database import Database

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def message(connection: Connection, text: str, *, external_id: str) -> Message:
    row = Message(
        channel="telegram",
        conversation="telegram:42",
        external_id=external_id,
        external_message_id=f"m{external_id}",
        text=text,
        received_at=NOW,
    )
    stored = messages.receive(connection, row)
    assert stored is not None
    return stored


def approved_plan(connection: Connection) -> Plan:
    plan = plans.add(
        connection,
        Plan(
            conversation="telegram:42",
            title="Lisbon",
            request="x",
            goal="x",
            steps=[],
            created_at=NOW,
            updated_at=NOW,
        ),
    )
    plans.move(connection, plan.id or 0, PlanState.approved, by=Actor.owner, at=NOW)
    return plan


def test_a_plan_is_open_until_its_end_is_told(any_database: Database) -> None:
    with any_database.begin() as connection:
        plan = approved_plan(connection)
        plan_id = plan.id or 0
        job = jobs.enqueue(
            connection, Job(title="Facts", prompt="x", plan_id=plan_id, created_at=NOW)
        )
        assert [one.id for one in plans.list_unclosed(connection)] == [plan_id]
        assert not closing.has_ended(connection, plan_id)
        jobs.move(connection, job.id or 0, JobState.done, by=Actor.engine, at=NOW)
        assert closing.has_ended(connection, plan_id)
        for _ in range(2):
            closing.close(connection, plan_id, at=NOW)
        assert plans.list_unclosed(connection) == []
        said = outbox.find_by_key(connection, f"plan-done:{plan_id}")
        assert said is not None
        assert "1 of 1 step done." in said.text


def test_unfinished_jobs_are_told_apart_by_conversation(any_database: Database) -> None:
    with any_database.begin() as connection:
        for place in ("telegram:42", "terminal:main", "telegram:42"):
            row = Job(title=place, prompt="x", conversation=place, created_at=NOW)
            jobs.enqueue(connection, row)
        jobs.move(connection, 1, JobState.cancelled, by=Actor.owner, at=NOW)
        everywhere = jobs.list_unfinished(connection)
        here = jobs.list_unfinished(connection, conversation="telegram:42")
    assert [job.id for job in everywhere] == [3, 2]
    assert [job.id for job in here] == [3]


def test_a_message_is_found_by_what_the_channel_calls_it(any_database: Database) -> None:
    with any_database.begin() as connection:
        first = message(connection, "one", external_id="1")
        second = message(connection, "two", external_id="2")
        before = messages.find_before(connection, "telegram:42", before_id=second.id or 0)
        assert before is not None
        assert before.id == first.id
        assert messages.find_before(connection, "telegram:42", before_id=first.id or 0) is None
        found = messages.find_by_external_message(
            connection, channel="telegram", external_message_id="m2"
        )
        assert found is not None
        assert cut(found.text, 10) == "two"
        assert (
            messages.find_by_external_message(
                connection, channel="terminal", external_message_id="m2"
            )
            is None
        )
