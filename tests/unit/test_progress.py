"""How work is told while it goes on: phrases, pace, and what the message shows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.progress import Mark
from agentos.domain.states import JobState
from agentos.domain.work import Job, Plan
from agentos.engine.doing import Doing
from agentos.engine.waiting import Cause, Waiting
from agentos.frontdesk import progress
from agentos.frontdesk.phrases import lasted, pause, phrase
from agentos.frontdesk.progress import JobView, PlanView, Present

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def job(state: JobState = JobState.running, *, job_id: int = 12, **more: Any) -> Job:
    values: dict[str, Any] = {"title": "Summary of the report", "prompt": "p", "created_at": NOW}
    return Job(id=job_id, state=state, **{**values, **more})


def shown(view: JobView | PlanView, *, after: timedelta = 2 * MINUTE, **present: Any) -> str:
    known: dict[str, Any] = {"doing": {}, "waits": {}, **present}
    return progress.text(view, Present(NOW + after, **known))


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        ("reads report.pdf", "reading report.pdf"),
        ("reads 3 files", "reading 3 files"),
        ("runs: cd x && python -m pytest -q", "running tests"),
        ("runs: npm install left-pad", "installing what it needs"),
        ("runs: /usr/bin/ffmpeg -i secret.mp4", "running ffmpeg"),
        ("runs: TOKEN=abc ./x", "running a command"),
        ("searches the web for flights", "searching the web for flights"),
        ("uses mcp__mail__send", "using mail send"),
        ("remembers: Anna is vegetarian", "making a note of something"),
        ("Show the date", "show the date"),
        ("thinking", "thinking"),
        ("", "working"),
    ],
)
def test_a_tool_is_said_as_to_somebody_who_waits(summary: str, said: str) -> None:
    assert phrase(summary) == said


@given(st.text(max_size=400))
def test_a_phrase_is_one_short_line_whatever_a_tool_says(summary: str) -> None:
    said = phrase(summary)
    assert said and len(said) <= 100 and "\n" not in said


def test_files_that_are_read_one_after_the_other_are_counted() -> None:
    doing = Doing("starting")
    said = []
    for summary in ("reads a.md", "reads b.md", "reads b.md", "reads https://x.org", "edits c.md"):
        doing.uses(summary)
        said.append(doing.words)
    assert said == [
        "reads a.md",
        "reads 2 files",
        "reads 2 files",
        "reads https://x.org",
        "edits c.md",
    ]
    doing.is_("thinking")
    doing.uses("edits d.md")
    assert doing.words == "edits d.md"


def test_a_running_job_tells_what_it_does_how_long_and_how_long_it_usually_takes() -> None:
    view = JobView(job(), began_at=NOW, usual=4 * MINUTE)
    assert shown(view, doing={12: "reads 3 files"}) == (
        "⚙ Summary of the report (#12)\nreading 3 files · 2 min, usually 4 min"
    )
    late = shown(view, after=7 * MINUTE, doing={12: "thinking"})
    assert late.endswith("thinking · 7 min, longer than usual (4 min)")
    assert shown(JobView(job(), began_at=NOW)).endswith("working · 2 min")


def test_what_a_worker_reads_does_not_bring_a_secret_into_the_chat() -> None:
    token = "sk-ant-" + "a" * 40
    view = JobView(job(), began_at=NOW)
    assert token not in shown(view, doing={12: f"searches the web for {token}"})


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        (Waiting(Cause.held, "all 3 slots are taken", hold="slots"), "waits for a free slot"),
        (
            Waiting(Cause.held, "claude rests until 14:05", hold="backend_rests"),
            "claude rests until 14:05",
        ),
        (Waiting(Cause.due, "tries again at 14:05 (in 20 s)"), "tries again at 14:05 (in 20 s)"),
        (Waiting(Cause.turn, "far down the queue"), "waits for its turn"),
    ],
)
def test_a_job_that_waits_says_for_what(waiting: Waiting, said: str) -> None:
    assert progress.told(waiting) == said
    text = shown(JobView(job(JobState.queued)), waits={12: said}, after=timedelta(seconds=20))
    assert text == f"⏳ Summary of the report (#12)\n{said} · 20 s"


def test_a_parked_job_waits_for_the_owner() -> None:
    text = shown(JobView(job(JobState.parked), began_at=NOW))
    assert text.splitlines()[1] == "waits for your answer · 2 min"


@pytest.mark.parametrize(
    ("state", "said", "mark"),
    [
        (JobState.done, "✅ Summary of the report · 3 min", Mark.done),
        (JobState.failed, "⚠ Summary of the report · did not work out · 3 min", Mark.failed),
        (JobState.cancelled, "✕ Summary of the report · stopped after 3 min", Mark.stopped),
    ],
)
def test_an_end_says_how_it_went_and_how_long_it_took(
    state: JobState, said: str, mark: Mark
) -> None:
    view = JobView(job(state, finished_at=NOW + 3 * MINUTE), began_at=NOW)
    assert progress.ending(view) == said
    assert progress.mark_of(view) is mark


def test_what_never_started_has_no_time() -> None:
    view = JobView(job(JobState.cancelled, finished_at=NOW))
    assert progress.ending(view) == "✕ Summary of the report · stopped"


def test_a_plan_is_a_checklist() -> None:
    plan = Plan(
        id=3, conversation="telegram:42", title="A weekend in Lisbon", request="r", goal="g",
        steps=[], created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    done = job(JobState.done, title="What to see", finished_at=NOW + MINUTE)
    steps = [
        JobView(done, began_at=NOW),
        JobView(job(title="Where to eat", job_id=13), began_at=NOW + MINUTE),
        JobView(job(JobState.queued, title="The page", job_id=14)),
    ]
    view = PlanView(plan, steps)
    assert shown(view, doing={13: "reads a.md"}).splitlines() == [
        "⚙ A weekend in Lisbon",
        "1 of 3 done · 2 min",
        "✅ 1. What to see · 1 min",
        "⚙ 2. Where to eat",
        "     reading a.md · 1 min",
        "⏳ 3. The page",
    ]
    assert progress.mark_of(view) is Mark.working
    for step in steps[1:]:
        step.job.state, step.job.finished_at = JobState.cancelled, NOW + 2 * MINUTE
    assert view.is_over
    assert progress.ending(view).splitlines() == [
        "✕ A weekend in Lisbon · 2 min",
        "✅ 1. What to see · 1 min",
        "✕ 2. Where to eat",
        "✕ 3. The page",
    ]


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=3)))
def test_a_message_is_left_alone_for_longer_the_older_it_is(age: timedelta) -> None:
    assert timedelta(seconds=3) <= pause(age) <= pause(age + MINUTE) <= MINUTE


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h"), (5400, "1 h 30 min")],
)
def test_a_length_is_said_in_its_largest_unit(seconds: float, said: str) -> None:
    assert lasted(timedelta(seconds=seconds)) == said
