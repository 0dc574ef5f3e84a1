"""Cards and decisions from outside, on SQLite and on Postgres."""

from datetime import timedelta

import pytest

from agentos.domain.states import JobState, RunState
from agentos.domain.talk import Grant, Scope
from agentos.errors import BadRequest, NotFound, WrongState
from agentos.home import Home
from agentos.store import grants
from agentos.store.database import Database
from tests.row_room import NOW, Rows

OPTIONS = [
    {"key": "a", "label": "Direct", "consequence": "Ship now"},
    {"key": "b", "label": "Staged"},
]


@pytest.fixture
def there(any_database: Database, home: Home) -> Rows:
    return Rows(any_database, home)


def test_asking_for_a_task_parks_its_job_and_the_answer_queues_it(there: Rows) -> None:
    task = there.ask("task.add", title="Ship", kind="code")["task"]
    job = there.job(task=task["id"], conversation="telegram:42")
    asked = {"task": task["id"], "question": " How? ", "options": OPTIONS}
    card = there.ask("task.ask", **asked, expires_seconds=7200)["card"]
    assert (card["question"], card["kind"], card["job_id"]) == ("How?", "ask", job["id"])
    assert card["expires_at"] == (NOW + timedelta(hours=2)).isoformat().replace("+00:00", "Z")
    assert [one["key"] for one in card["options"]] == ["a", "b", "other"]
    assert there.ask("task.ask", **asked)["card"]["id"] == card["id"]  # asked twice is once
    assert there.state(job["id"]) is JobState.parked
    assert there.ask("task.show", task=task["id"])["task"]["state"] == "waiting"
    there.now = NOW + timedelta(minutes=90)
    (listed,) = there.ask("card.list")["cards"]
    assert (listed["id"], listed["age"]) == (card["id"], "1 h")
    with pytest.raises(BadRequest, match=r"has no 'z'; it has a \(Direct\), b \(Staged\)"):
        there.ask("card.answer", card=card["id"], answer="z")
    answered = there.ask("card.answer", card=card["id"], answer="staged")["card"]
    assert (answered["state"], answered["answer"], answered["answered_via"]) == (
        "answered",
        "b",
        "pm",
    )
    with pytest.raises(WrongState, match="the answer was Staged"):
        there.ask("card.answer", card=card["id"], answer="a")
    assert there.state(job["id"]) is JobState.queued
    assert there.ask("card.list")["cards"] == []
    assert there.ask("card.list", every=True)["cards"][0]["answer_shown"] == "Staged"
    assert there.said(job["id"])[0].startswith("❓ **T** asks:\n\nHow?")


def test_a_task_without_a_job_can_be_asked_about_and_an_ended_job_not(there: Rows) -> None:
    task = there.ask("task.add", title="Ship", kind="code")["task"]
    card = there.ask("task.ask", task=task["id"], question="How?")["card"]
    assert (card["job_id"], card["task"]) == (None, "Ship")
    there.ask("card.answer", card=card["id"], words="as you like")
    assert there.ask("card.show", card=card["id"])["card"]["words"] == "as you like"
    job = there.job()
    there.finish(job["id"])
    with pytest.raises(WrongState, match="nobody would go on"):
        there.ask("job.ask", job=job["id"], question="How?")
    with pytest.raises(NotFound):
        there.ask("task.ask", task=99, question="How?")


def test_a_question_that_cannot_be_answered_is_refused(there: Rows) -> None:
    job = there.job()
    for options in ([OPTIONS[0], OPTIONS[0]], [{"key": "other", "label": "x"}]):
        with pytest.raises(BadRequest, match="a key of its own"):
            there.ask("job.ask", job=job["id"], question="How?", options=options)
    with pytest.raises(BadRequest, match="only be answered in words"):
        there.ask("job.ask", job=job["id"], question="How?", other=False)
    card = there.ask("job.ask", job=job["id"], question="How?", options=OPTIONS, other=False)
    with pytest.raises(BadRequest, match="takes no words"):
        there.ask("card.answer", card=card["card"]["id"], words="x")


def test_a_job_that_runs_goes_on_running_when_it_is_asked_for(there: Rows) -> None:
    there.ask("worker.add", name="w", model="sonnet")
    job = there.job(worker="w")
    run = there.start(job["id"], "w")
    card = there.ask("job.ask", job=job["id"], question="How?", options=OPTIONS)["card"]
    assert there.state(job["id"]) is JobState.running
    # A job that failed takes its question along.
    there.end(run, RunState.failed)
    assert there.ask("card.show", card=card["id"])["card"]["state"] == "cancelled"


def test_the_policy_tells_rules_and_decisions_and_takes_one_back(there: Rows) -> None:
    job = there.job()
    with there.database.begin() as connection:
        grant = Grant(
            tool="Bash",
            pattern="git push",
            scope=Scope.job,
            job_id=job["id"],
            via="telegram",
            decided_at=NOW,
        )
        grants.add(connection, grant)
    shown = there.ask("policy.show")
    assert shown["kinds"]["code"]["may"] == ["fetch", "install"]
    assert shown["kinds"]["writing"]["may"] == ["fetch"]
    (decision,) = shown["decisions"]
    assert (decision["pattern"], decision["state"]) == ("git push", "allowed")
    with there.database.read() as connection:
        assert [each.id for each in grants.list_for(connection, there.row(job["id"]))] == [1]
    assert there.ask("policy.revoke", grant=1)["grant"]["state"] == "revoked"
    with there.database.read() as connection:
        assert grants.list_for(connection, there.row(job["id"])) == []
    with pytest.raises(NotFound):
        there.ask("policy.revoke", grant=9)
    assert list(filter(lambda key: key.startswith("tool_"), there.keys())) == [
        "tool_allowed",
        "tool_revoked",
    ]


def test_what_is_allowed_once_is_used_by_its_own_job_and_once(there: Rows) -> None:
    job, other = there.job(), there.job()
    with there.database.begin() as connection:
        grant = Grant(tool="Bash", pattern="x", scope=Scope.once, job_id=job["id"], decided_at=NOW)
        grant_id = grants.add(connection, grant).id or 0
        assert not grants.use(connection, grant_id, job_id=other["id"], at=NOW)
        assert grants.use(connection, grant_id, job_id=job["id"], at=NOW)
        assert not grants.use(connection, grant_id, job_id=job["id"], at=NOW)
