"""Workers and retries from outside: nothing that runs or waits is lost with them."""

import pytest

from agentos.config import Config
from agentos.domain.frames import Failure
from agentos.domain.states import JobState, RunState, TaskState, WorkerState
from agentos.engine.recovery import recover
from agentos.engine.settling import release
from agentos.errors import BadRequest, NotFound, WrongState
from agentos.home import Home
from agentos.store import runs, tasks, workers
from agentos.store.database import Database
from tests.row_room import NOW, Rows


@pytest.fixture
def there(any_database: Database, home: Home) -> Rows:
    return Rows(any_database, home)


def test_a_worker_is_added_listed_and_shown(there: Rows) -> None:
    there.ask("project.add", name="house")
    made = there.ask(
        "worker.add",
        name="ada",
        model="opus",
        persona="critic",
        skills=["writing", "writing"],
        project="house",
    )["worker"]
    assert (made["skills"], made["persistent"], made["state"]) == (["writing"], True, "idle")
    there.ask("worker.add", name="ben")
    assert [one["name"] for one in there.ask("worker.list")["workers"]] == ["ada", "ben"]
    assert there.ask("worker.show", worker="ben")["worker"]["model"] == Config().models.work
    assert there.ask("worker.show", worker="ada")["worker"]["project"] == "house"
    assert there.keys().count("worker_added") == 2


def test_a_list_tells_what_each_works_on_and_how_full_its_session_is(there: Rows) -> None:
    there.ask("worker.add", name="ada")
    job = there.job(title="Sort", worker="ada")
    there.start(job["id"], "ada")
    with there.database.begin() as connection:
        workers.change(connection, there.worker("ada").id or 0, session_tokens=60_000)
    (ada,) = there.ask("worker.list")["workers"]
    assert ada["working_on"] == {"id": job["id"], "title": "Sort"}
    assert ada["session_share"] == 0.5
    assert there.ask("worker.show", worker="ada")["runs"][0]["title"] == "Sort"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"name": "../ada"}, "name is wrong: begin with a letter or digit"),
        ({"name": "ada", "model": "--dangerous"}, "model is wrong: begin with"),
        ({"name": "ada", "persona": "a/b"}, "persona is wrong: begin with"),
        ({"name": "ada", "backend": "magic"}, "there is no backend 'magic'; there is claude"),
        ({"name": "ada", "skills": ["magic"]}, "there is no skill 'magic'; there is: "),
        ({"name": "ada", "skills": ["../x"]}, "is no name of a skill"),
    ],
)
def test_what_a_worker_cannot_be_is_one_line(
    there: Rows, params: dict[str, object], words: str
) -> None:
    for op, more in (("worker.add", {}), ("job.add", {"title": "T", "prompt": "P"})):
        renamed = {"worker" if op == "job.add" and key == "name" else key: value
                   for key, value in params.items()}  # fmt: skip
        expected = words.replace("name is wrong", "worker is wrong") if op == "job.add" else words
        with pytest.raises(BadRequest, match=expected) as raised:
            there.ask(op, **renamed, **more)
        assert "\n" not in str(raised.value)
    assert there.ask("worker.list")["workers"] == []


def test_a_broken_skill_of_the_owners_is_told_when_it_is_asked_for(there: Rows) -> None:
    file = there.home.root / "skills" / "mine" / "SKILL.md"
    file.parent.mkdir(parents=True)
    file.write_text("no front matter")
    with pytest.raises(BadRequest, match=r"skill 'mine' cannot be used: .*front matter"):
        there.job(skills=["mine"])


def test_an_idle_worker_retires_at_once_and_gives_its_name_back(there: Rows) -> None:
    there.ask("worker.add", name="ada", model="opus")
    retired = there.ask("worker.retire", worker="ada")
    assert (retired["worker"]["state"], retired["finishes"]) == ("retired", None)
    assert there.ask("worker.list")["workers"] == []
    assert there.ask("worker.list", retired=True)["workers"][0]["name"] == "ada"
    assert there.keys().count("worker_retired") == 1
    with pytest.raises(WrongState, match="takes no job any more"):
        there.ask("worker.retire", worker="ada")
    with pytest.raises(BadRequest, match=r"retired is worker 'ada'; .*--model"):
        there.job(worker="ada")
    there.ask("worker.add", name="ada", model="haiku")
    assert there.worker("ada").model == "haiku"
    with pytest.raises(BadRequest, match="named ada already"):
        there.ask("worker.add", name="ada")


def test_a_working_one_finishes_and_what_waited_for_it_goes_to_its_like(there: Rows) -> None:
    there.ask("worker.add", name="ada", model="opus", persona="critic", skills=["writing"])
    first, second = (there.job(worker="ada", skills=["planning"])["id"] for _ in range(2))
    run = there.start(first, "ada")
    retired = there.ask("worker.retire", worker="ada")
    assert retired["finishes"]["id"] == first
    assert retired["freed"] == [first, second]
    assert there.worker("ada").state is WorkerState.working
    assert there.state(first) is JobState.running
    freed = there.row(second)
    assert (freed.wants_worker_id, freed.model, freed.persona) == (None, "opus", "critic")
    assert freed.skills == ["writing", "planning"]
    there.end(run, RunState.done)
    with there.database.begin() as connection:
        release(connection, there.worker("ada"), session_id="s", at=NOW)
    assert there.worker("ada").state is WorkerState.retired


def test_the_front_desk_does_not_retire(there: Rows) -> None:
    with there.database.begin() as connection:
        workers.desk(connection, "front-desk", model="haiku", at=NOW)
    with pytest.raises(WrongState, match="front desk"):
        there.ask("worker.retire", worker="front-desk")
    assert there.ask("worker.list")["workers"] == []


def test_nobody_is_not_found(there: Rows) -> None:
    for op in ("worker.show", "worker.retire"):
        with pytest.raises(NotFound, match="There is no worker 'nobody'"):
            there.ask(op, worker="nobody")


def test_a_retried_job_begins_to_count_anew_and_takes_its_task_along(there: Rows) -> None:
    there.ask("worker.add", name="ada")
    task = there.ask("task.add", title="Paint")["task"]["id"]
    job = there.job(task=task, worker="ada")["id"]
    with there.database.begin() as connection:
        tasks.follow(connection, task, TaskState.running, by="engine", at=NOW)  # type: ignore[arg-type]
    there.end(there.start(job, "ada"), RunState.failed, failure=Failure.crashed)
    with there.database.read() as connection:
        assert runs.count_failed(connection, job, Failure.crashed) == 1
        assert tasks.get(connection, task).state is TaskState.failed
    again = there.ask("job.retry", job=job)["job"]
    assert (again["state"], again["error"], again["finished_at"]) == ("queued", None, None)
    with there.database.read() as connection:
        assert runs.count_failed(connection, job, Failure.crashed) == 0
        assert tasks.get(connection, task).state is TaskState.pending
    there.end(there.start(job, "ada"), RunState.failed, failure=Failure.crashed)
    with there.database.read() as connection:
        assert runs.count_failed(connection, job, Failure.crashed) == 1
        assert [run.number for run in runs.list_for_job(connection, job)] == [1, 2]


def test_crashes_from_before_a_retry_do_not_set_a_job_aside_again(there: Rows) -> None:
    there.ask("worker.add", name="ada")
    job = there.job(worker="ada")["id"]
    for _ in range(2):
        there.start(job, "ada")
        with there.database.begin() as connection:
            recover(connection, at=NOW, max_crashes=2)
    assert there.state(job) is JobState.failed
    there.ask("job.retry", job=job)
    there.start(job, "ada")
    with there.database.begin() as connection:
        assert recover(connection, at=NOW, max_crashes=2) == [job]
    assert there.state(job) is JobState.queued


@pytest.mark.parametrize("state", [JobState.done, JobState.cancelled, JobState.queued])
def test_only_what_failed_is_tried_again(there: Rows, state: JobState) -> None:
    job = there.job()["id"]
    if state is not JobState.queued:
        there.finish(job, state)
    with pytest.raises(WrongState, match="only a job that failed"):
        there.ask("job.retry", job=job)


def test_a_retried_job_whose_worker_has_retired_goes_to_its_like(there: Rows) -> None:
    there.ask("worker.add", name="ada", model="opus")
    job = there.job(worker="ada")["id"]
    there.finish(job, JobState.failed)
    there.ask("worker.retire", worker="ada")
    there.ask("job.retry", job=job)
    assert (there.row(job).wants_worker_id, there.row(job).model) == (None, "opus")


def test_a_retry_names_those_that_were_cancelled_with_it(there: Rows) -> None:
    job = there.job()["id"]
    dependent = there.job(title="Later", needs=[job])["id"]
    there.finish(job, JobState.failed)
    there.finish(dependent, JobState.cancelled)
    assert there.ask("job.retry", job=job)["left"] == [{"id": dependent, "title": "Later"}]


@pytest.mark.parametrize("running", [True, False])
def test_a_cancelled_job_is_told_once_where_it_was_asked_for(there: Rows, running: bool) -> None:
    there.ask("worker.add", name="ada")
    job = there.job(title="Sort", worker="ada", conversation="telegram:42")["id"]
    if running:
        there.start(job, "ada")
    there.ask("job.cancel", job=job)
    words = "was running and is stopped" if running else "is cancelled"
    assert there.said(job) == [f"✕ **Sort** {words}."]
    with pytest.raises(WrongState):
        there.ask("job.cancel", job=job)
    assert len(there.said(job)) == 1
