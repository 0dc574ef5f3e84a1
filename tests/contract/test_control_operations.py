"""What can be asked of the rows from outside, on SQLite and on Postgres."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from agentos.domain.ledger import Purpose, Usage
from agentos.domain.states import Actor, CardState, JobState, MessageState, TaskState
from agentos.domain.talk import Card, CardKind, Message
from agentos.domain.work import Artefact, Job, Worker
from agentos.errors import BadRequest, NotFound, WrongState
from agentos.home import Home
from agentos.store import (
    artefacts,
    cards,
    jobs,
    messages,
    outbox,
    runs,
    tasks,
    usage,
    workers,
)
from agentos.store.database import Database
from tests.row_room import NOW, Answer, Rows


@pytest.fixture
def there(any_database: Database, home: Home) -> Rows:
    return Rows(any_database, home)


def test_projects_tasks_and_jobs_hang_together(there: Rows) -> None:
    there.ask("project.add", name="house", description="All of it")
    task = there.ask("task.add", title="Paint", kind="writing", project="house")["task"]
    job = there.job(task=task["id"])
    assert job["project"] == "house"
    shown = there.ask("project.show", project="1")
    assert [one["title"] for one in shown["tasks"]] == ["Paint"]
    assert [one["id"] for one in shown["jobs"]] == [job["id"]]
    assert there.ask("task.show", task=task["id"])["jobs"][0]["id"] == job["id"]
    assert there.ask("project.list")["projects"][0]["name"] == "house"
    assert there.ask("task.list", project="house", state="pending")["tasks"][0]["kind"] == "writing"


def test_a_job_is_added_with_all_its_wishes(there: Rows) -> None:
    first = there.job()
    due = NOW + timedelta(hours=1)
    job = there.job(
        title="  Two \n words ",
        priority=0,
        model="opus",
        persona="poet",
        skills=["writing"],
        needs=[first["id"], first["id"]],
        at=due.isoformat(),
        timeout_seconds=60,
        conversation="telegram:42",
    )
    assert job["title"] == "Two words"
    assert (job["lane"], job["timeout_seconds"], job["conversation"]) == (0, 60, "telegram:42")
    assert datetime.fromisoformat(job["run_at"]) == due
    story = there.ask("job.show", job=job["id"])
    assert [one["id"] for one in story["needs"]] == story["waits_for"] == [first["id"]]


def test_the_same_key_adds_one_job(there: Rows) -> None:
    assert there.job(key="k")["id"] == there.job(key="k", title="Other")["id"]
    assert len(there.ask("job.list")["jobs"]) == 1


def test_a_named_worker_is_made_when_a_model_is_named_too(there: Rows) -> None:
    with pytest.raises(BadRequest, match="no worker 'ada'; `pm worker list`"):
        there.job(worker="ada")
    first = there.job(worker="ada", model="haiku")
    assert there.job(worker="ada")["wants_worker_id"] == first["wants_worker_id"]
    with there.database.read() as connection:
        ada = workers.find_by_name(connection, "ada")
    assert ada is not None
    assert ada.persistent
    with pytest.raises(BadRequest, match="runs on claude"):
        there.job(worker="ada", backend="codex")


def test_a_job_cannot_need_one_that_was_cancelled(there: Rows) -> None:
    first = there.job()
    there.ask("job.cancel", job=first["id"])
    with pytest.raises(WrongState, match="would never start"):
        there.job(needs=[first["id"]])


@pytest.mark.parametrize(
    ("op", "params", "words"),
    [
        ("job.add", {"title": "T"}, "job.add needs prompt"),
        ("job.add", {"title": " ", "prompt": "P"}, "a job needs a title"),
        ("job.add", {"title": "T", "prompt": " \n"}, "a job needs a prompt"),
        ("job.add", {"title": "T", "prompt": "P", "priority": 9}, "priority is wrong"),
        ("job.add", {"title": "T", "prompt": "P", "at": "2026-01-01T00:00"}, "at is wrong"),
        ("job.add", {"title": "T", "prompt": "P\x00"}, "zero characters"),
        ("job.add", {"title": "T", "prompt": "\ud800"}, "prompt is wrong"),
        ("job.add", {"title": "T", "prompt": "P", "conversation": "x"}, "conversation is wrong"),
        ("job.list", {"state": "asleep"}, "state is wrong"),
        ("job.list", {"limit": 0}, "limit is wrong"),
        ("job.show", {"job": "seven"}, "job is wrong"),
        ("job.show", {"job": 10**30}, "job is wrong"),
        ("job.show", {}, "job.show needs job"),
        ("task.add", {"title": "T", "kind": "magic"}, "kind is wrong"),
        ("task.add", {"title": "T", "colour": "red"}, "does not know colour; it knows title"),
        ("project.add", {"name": " "}, "a project needs a name"),
    ],
)
def test_wrong_words_are_one_clear_line(there: Rows, op: str, params: Answer, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as raised:
        there.ask(op, **params)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("job.show", {"job": 7}),
        ("job.cancel", {"job": 7}),
        ("job.logs", {"job": 7}),
        ("task.show", {"task": 7}),
        ("project.show", {"project": 7}),
        ("project.show", {"project": "nowhere"}),
        ("job.add", {"title": "T", "prompt": "P", "task": 7}),
        ("job.add", {"title": "T", "prompt": "P", "project": "nowhere"}),
        ("job.add", {"title": "T", "prompt": "P", "needs": [7]}),
        ("task.list", {"project": "nowhere"}),
    ],
)
def test_what_is_not_there_is_not_found(there: Rows, op: str, params: Answer) -> None:
    with pytest.raises(NotFound, match="There is no"):
        there.ask(op, **params)


def test_a_refused_job_leaves_nothing_behind(there: Rows) -> None:
    with pytest.raises(NotFound):
        there.job(worker="new", model="haiku", needs=[99])
    with there.database.read() as connection:
        assert workers.list_all(connection) == []
    assert there.ask("job.list")["jobs"] == []


@pytest.mark.parametrize("state", [JobState.queued, JobState.running, JobState.parked])
def test_cancelling_takes_the_task_and_the_cards_along(there: Rows, state: JobState) -> None:
    task = there.ask("task.add", title="Paint")["task"]["id"]
    job = there.job(task=task)["id"]
    with there.database.begin() as connection:
        for step in (JobState.running, JobState.parked)[: 0 if state is JobState.queued else 2]:
            jobs.move(connection, job, step, by=Actor.engine, at=NOW)
            if step is state:
                break
        card = Card(
            kind=CardKind.ask,
            channel="terminal",
            conversation="terminal:main",
            question="Which?",
            options=[],
            job_id=job,
            created_at=NOW,
        )
        card_id = cards.open_card(connection, card).id
    answer = there.ask("job.cancel", job=job)
    assert (answer["was"], answer["job"]["state"]) == (state.value, "cancelled")
    with there.database.read() as connection:
        assert tasks.get(connection, task).state is TaskState.cancelled
        assert cards.get(connection, card_id or 0).state is CardState.cancelled
    with pytest.raises(WrongState, match="nothing to cancel"):
        there.ask("job.cancel", job=job)


def test_a_job_tells_its_whole_story(there: Rows) -> None:
    with there.database.begin() as connection:
        message = messages.receive(
            connection,
            Message(
                channel="terminal",
                conversation="terminal:main",
                external_id="1",
                text="Write it",
                received_at=NOW,
            ),
        )
        assert message is not None and message.id is not None
        triage = {"reason": "a clear request", "decision": {"outcome": "quick_work"}}
        messages.set_triage(connection, message.id, triage, by="haiku", at=NOW)
        messages.move(connection, message.id, MessageState.handled, at=NOW)
        job = jobs.enqueue(
            connection, Job(title="T", prompt="P", message_id=message.id, created_at=NOW)
        )
        worker_id = there_worker(connection)
        run = runs.start(
            connection,
            job,
            workers.get(connection, worker_id),
            now=NOW,
            lease=timedelta(minutes=2),
            model="sonnet",
            node="here",
        )
        assert run is not None and run.id is not None and job.id is not None
        for _ in range(2):
            usage.record(
                connection,
                Usage(
                    purpose=Purpose.work,
                    backend="claude",
                    model="sonnet",
                    input_tokens=100,
                    output_tokens=10,
                    cost_usd=Decimal("0.25"),
                    job_id=job.id,
                    at=NOW,
                ),
            )
        artefacts.add(
            connection,
            Artefact(
                job_id=job.id,
                run_id=run.id,
                name="a.md",
                path="/home/a.md",
                media_type="text/markdown",
                size=3,
                created_at=NOW,
            ),
        )
        outbox.say(
            connection, key="k", conversation="terminal:main", text="Done.", at=NOW, job_id=job.id
        )
    story = there.ask("job.show", job=job.id)
    assert story["message"]["reason"] == "a clear request"
    assert story["message"]["triaged_by"] == "haiku"
    assert story["runs"][0]["worker"] == "ada"
    assert "token" not in story["runs"][0]
    assert story["usage"]["input_tokens"] == 200
    assert Decimal(story["usage"]["cost_usd"]) == Decimal("0.5")
    assert [file["name"] for file in story["artefacts"]] == ["a.md"]
    assert [row["text"] for row in story["said"]] == ["Done."]
    assert [event["key"] for event in story["events"]][:2] == ["job_queued", "run_started"]
    assert not story["ended"]


def there_worker(connection: Any) -> int:
    made = workers.add(connection, Worker(name="ada", model="sonnet", created_at=NOW))
    assert made.id is not None
    return made.id


def test_the_log_goes_on_after_the_last_event(there: Rows) -> None:
    job = there.job()["id"]
    first = there.ask("job.logs", job=job)
    assert [event["key"] for event in first["events"]] == ["job_queued"]
    assert not first["ended"]
    there.ask("job.cancel", job=job)
    more = there.ask("job.logs", job=job, since_event=first["events"][-1]["id"])
    assert [event["key"] for event in more["events"]] == ["job_cancelled"]
    assert more["ended"]


def test_lists_can_be_filtered_and_cut(there: Rows) -> None:
    for number in range(5):
        there.job(title=f"T{number}")
    there.ask("job.cancel", job=1)
    listed = there.ask("job.list", limit=2)
    assert [job["title"] for job in listed["jobs"]] == ["T4", "T3"]
    assert listed["counts"] == {"queued": 4, "cancelled": 1}
    assert [job["id"] for job in there.ask("job.list", state="cancelled")["jobs"]] == [1]
