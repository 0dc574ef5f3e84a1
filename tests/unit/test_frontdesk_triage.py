"""Decisions that no model makes: times that cannot be, questions without end, commands."""

from datetime import UTC, datetime, timedelta

import pytest

from agentos.domain.states import JobState
from agentos.domain.triage import Clarify, Defer, Respond, Triage
from agentos.domain.work import Plan
from agentos.frontdesk.commands import catalogue, work
from agentos.frontdesk.intake import Intake
from agentos.frontdesk.lines import cut
from agentos.frontdesk.plans import draft_of, single_step
from agentos.frontdesk.surroundings import told
from agentos.frontdesk.triage import LOCAL_RULES, Decided, sane, unstuck
from agentos.home import shipped_root

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def defer(at: datetime, reminder: str = "Stretch") -> Triage:
    return Triage(reason="x", decision=Defer(outcome="defer", reminder=reminder, at=at))


def test_a_time_ahead_is_kept() -> None:
    triage = defer(NOW + timedelta(minutes=1))
    assert sane(triage, now=NOW) == triage


@pytest.mark.parametrize("days", [-1, 0, 365 * 40])
def test_a_time_that_is_no_time_for_a_reminder_is_asked_about(days: int) -> None:
    triage = sane(defer(NOW + timedelta(days=days)), now=NOW)
    assert isinstance(triage.decision, Clarify)


def test_a_question_and_its_answer_are_no_part_of_the_reminder() -> None:
    said = "Stretch (Asked: When should I remind you? Answer: In an hour)"
    triage = sane(defer(NOW + timedelta(hours=1), reminder=said), now=NOW)
    assert isinstance(triage.decision, Defer)
    assert triage.decision.reminder == "Stretch"


def test_after_enough_questions_there_is_an_answer() -> None:
    question = Clarify(outcome="clarify", question="Which?", options=["a", "b"])
    decided = Decided(triage=Triage(reason="x", decision=question), by="haiku")
    stuck = unstuck(decided, Intake(shown="fix it"), now=NOW)
    assert isinstance(stuck.triage.decision, Respond)
    assert stuck.by == LOCAL_RULES


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("/status", ("status", "")),
        ("  /Stop ALL ", ("stop", "ALL")),
        ("/help@agentos_bot", ("help", "")),
        ("/stop\n12", ("stop", "12")),
        ("/etc/hosts looks odd", None),
        ("/ hello", None),
        ("/", None),
        ("1/2", None),
        ("hello /status", None),
        ("", None),
    ],
)
def test_a_command_is_told_from_a_message(text: str, parsed: tuple[str, str] | None) -> None:
    assert catalogue.parse(text) == parsed


def test_every_state_of_a_job_has_a_mark() -> None:
    assert set(work.MARKS) == set(JobState)


def test_a_request_as_a_single_step_is_a_plan_again() -> None:
    draft = single_step("plan " + "a very long weekend " * 600)
    (step,) = draft.steps
    assert len(step.title) == 80
    row = Plan(
        conversation="telegram:42",
        title="x",
        request="x",
        created_at=NOW,
        updated_at=NOW,
        **draft.model_dump(mode="json"),
    )
    assert draft_of(row) == draft


def test_cutting_keeps_what_fits() -> None:
    assert cut("a  b\nc", 10) == "a b c"
    assert cut("abcdef", 4) == "abc…"
    assert len(cut("x " * 10_000, 100)) <= 100


def test_what_the_owner_has_not_filled_in_costs_nothing() -> None:
    shipped = (shipped_root() / "memory" / "core-memory.md").read_text()
    said = told(shipped)
    assert "yet)" not in said and "<!--" not in said
    assert "## Rules" in said and "## Priorities" not in said
    filled = shipped.replace("1. (not told yet)", "1. The move in March")
    assert "## Priorities\n\n1. The move in March" in told(filled)
