from datetime import UTC, datetime

import pytest

from agentos.domain.states import WorkerState
from agentos.domain.work import Job, Worker, WorkerRole
from agentos.engine.choosing import choose_worker, must_wait, takes_jobs

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def a_job(**more: object) -> Job:
    return Job(id=1, title="t", prompt="p", created_at=NOW, **more)


def a_worker(number: int, **more: object) -> Worker:
    values = {"model": "sonnet", "name": f"w{number}", "persistent": True, "created_at": NOW}
    return Worker(id=number, **{**values, **more})


def test_the_worker_a_job_names_is_taken_before_any_other() -> None:
    idle = [a_worker(1), a_worker(2, model="opus")]
    assert choose_worker(a_job(wants_worker_id=2), idle, model="sonnet") is idle[1]


def test_a_job_waits_for_the_worker_it_names() -> None:
    assert must_wait(a_job(wants_worker_id=9), [a_worker(1)])
    assert not must_wait(a_job(wants_worker_id=1), [a_worker(1)])
    assert not must_wait(a_job(), [])


def test_a_projects_worker_is_taken_before_a_free_one() -> None:
    idle = [a_worker(1), a_worker(2, project_id=7)]
    assert choose_worker(a_job(project_id=7), idle, model="sonnet") is idle[1]


def test_a_worker_of_another_project_is_never_taken() -> None:
    idle = [a_worker(1, project_id=8)]
    assert choose_worker(a_job(project_id=7), idle, model="sonnet") is None
    assert choose_worker(a_job(), idle, model="sonnet") is None


def test_backend_model_persona_and_skills_must_fit() -> None:
    idle = [a_worker(1, persona="critic", skills=["writing"])]
    fitting = a_job(persona="critic", skills=["writing"])
    assert choose_worker(fitting, idle, model="sonnet") is idle[0]
    assert choose_worker(fitting, idle, model="opus") is None
    assert choose_worker(a_job(persona="engineer"), idle, model="sonnet") is None
    assert choose_worker(a_job(skills=["research"]), idle, model="sonnet") is None
    assert choose_worker(a_job(backend="codex"), idle, model="sonnet") is None


def test_nobody_idle_means_a_new_ephemeral_worker() -> None:
    assert choose_worker(a_job(), [], model="sonnet") is None


def test_the_worker_a_job_names_need_not_be_of_its_kind() -> None:
    idle = [a_worker(1, backend="codex", model="deep", project_id=8)]
    assert choose_worker(a_job(wants_worker_id=1), idle, model="sonnet") is idle[0]


def test_a_projects_worker_of_another_model_is_not_taken_unasked() -> None:
    idle = [a_worker(1, project_id=7, model="opus"), a_worker(2)]
    assert choose_worker(a_job(project_id=7), idle, model="sonnet") is idle[1]
    assert choose_worker(a_job(project_id=7), idle, model="opus") is idle[0]


def test_of_workers_that_fit_the_longest_unused_is_taken() -> None:
    idle = [a_worker(3), a_worker(1), a_worker(2)]
    assert choose_worker(a_job(), idle, model="sonnet") is idle[0]


def test_a_worker_may_know_more_than_is_asked_for() -> None:
    idle = [a_worker(1, skills=["writing", "research"])]
    assert choose_worker(a_job(skills=["research"]), idle, model="sonnet") is idle[0]


@pytest.mark.parametrize(
    "never",
    [{"state": WorkerState.retired}, {"persistent": False}, {"role": WorkerRole.front_desk}],
)
def test_some_workers_take_no_job_by_name_now_or_later(never: dict[str, object]) -> None:
    assert not takes_jobs(a_worker(1, **never))
    assert takes_jobs(a_worker(1, state=WorkerState.working))
