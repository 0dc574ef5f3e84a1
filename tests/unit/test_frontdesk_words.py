"""What the front desk says, as it is read on a phone."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from agentos.domain.frames import Failure, TurnEnded
from agentos.domain.plan import Step
from agentos.domain.work import Plan, TaskKind
from agentos.frontdesk import words
from agentos.frontdesk.estimates import Estimate
from agentos.frontdesk.revision import compare

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def step(title: str, *after: int, kind: str = "research", minutes: int = 5) -> dict[str, object]:
    return {
        "title": title,
        "kind": kind,
        "prompt": "…",
        "after": list(after),
        "minutes": minutes,
    }


def plan(**more: Any) -> Plan:
    values: dict[str, Any] = {
        "id": 3,
        "conversation": "telegram:42",
        "title": "A weekend in Lisbon",
        "request": "plan a weekend in Lisbon",
        "goal": "A plan for two days with what to see and where to eat.",
        "steps": [
            step("What to see", minutes=10),
            step("Where to eat", minutes=20),
            step("The plan as a page", 0, 1, kind="writing", minutes=60),
        ],
        "risks": ["Prices change every week."],
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Plan(**{**values, **more})


def test_a_plan(snapshot: SnapshotAssertion) -> None:
    assert words.plan(plan()) == snapshot(name="new")
    changed = words.plan(plan(version=2, risks=[]), note=words.one_step_only("broke off"))
    assert changed == snapshot(name="changed, with a note")


def test_a_plan_tells_what_it_costs_what_it_will_ask_and_what_a_change_has_changed(
    snapshot: SnapshotAssertion,
) -> None:
    before = [Step.model_validate(each) for each in plan().steps]
    steps = [
        before[0],
        before[1].model_copy(update={"prompt": "Only fish.", "title": "Where to eat fish"}),
        Step(title="Day trip to Sintra", kind=TaskKind.research, prompt="…", minutes=15),
    ]
    shown = words.plan(
        plan(
            version=2,
            steps=[step.model_dump(mode="json") for step in steps],
            asks=["Which of the two hotels?"],
        ),
        model="sonnet",
        estimates=[
            Estimate(8, Decimal("0.2"), usual=True),
            Estimate(20, Decimal("0.004")),
            Estimate(15, Decimal(0)),
        ],
        revision=compare(before, steps),
    )
    assert shown == snapshot


@pytest.mark.parametrize("key", ["go", "change", "drop"])
def test_a_plan_after_the_tap(key: str, snapshot: SnapshotAssertion) -> None:
    shown = words.plan_after_tap(words.plan(plan()), key)
    assert "before you say Go" not in shown
    assert shown == snapshot


def test_the_end_of_a_plan(snapshot: SnapshotAssertion) -> None:
    assert words.plan_done("Lisbon", done=2, files=["a.md"], troubles=[]) == snapshot(name="good")
    many = [f"{number}.md" for number in range(12)]
    trouble = ["The page (#4) failed: the disk is full"]
    assert words.plan_done("Lisbon", done=1, files=many, troubles=trouble) == snapshot(name="bad")


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2026, 11, 20, 15, 5, tzinfo=UTC), "today at 15:05"),
        (datetime(2026, 11, 21, 9, 0, tzinfo=UTC), "on Sat 21 Nov at 09:00"),
        (datetime(2027, 1, 2, 9, 0, tzinfo=UTC), "on Sat 2 Jan 2027 at 09:00"),
    ],
)
def test_a_moment_is_said_as_people_say_it(at: datetime, said: str) -> None:
    assert words.moment(at, now=NOW) == said


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(seconds=20), "1 min"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(minutes=150), "2 h 30 min"),
    ],
)
def test_a_span_is_said_in_its_largest_unit(length: timedelta, said: str) -> None:
    assert words.span(length) == said


def test_every_failure_has_words_without_details() -> None:
    for failure in [*Failure, None]:
        ended = TurnEnded(turn_id="t", failure=failure, problem="Traceback sk-ant-secret")
        why = words.cause(ended)
        assert why
        assert "secret" not in words.outage(why) + words.no_answer(why)


def test_a_timeout_names_the_seconds() -> None:
    ended = TurnEnded(turn_id="t", failure=Failure.transient, problem="no answer in 60 s")
    assert words.cause(ended) == "did not answer within 60 seconds"


def test_a_limit_names_its_end_when_it_is_known() -> None:
    limited = TurnEnded(turn_id="t", failure=Failure.rate_limited, retry_after_seconds=1800)
    assert words.cause(limited) == "has reached its usage limit for about 30 min more"
