from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.classifier import classify
from agentos.domain.triage import Clarify, Defer, QuickWork
from agentos.domain.work import TaskKind

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("hi", "respond"),
        ("what do you think of rust?", "respond"),
        ("how do I write python code?", "respond"),
        ("🙂", "respond"),
        ("", "respond"),
        ("write a haiku about rain", "quick_work"),
        ("could you please summarise this page", "quick_work"),
        ("plan a trip to Lisbon", "big_work"),
        ("build me a website for my bakery", "big_work"),
        ("fix it", "clarify"),
        ("remind me to pay rent", "clarify"),
        ("remind me tomorrow at 9 to call mum", "defer"),
        ("لطفا سلام", "respond"),
    ],
)
def test_plain_rules_tell_the_five_apart(text: str, outcome: str) -> None:
    assert classify(text, now=NOW).decision.outcome == outcome


def test_a_reminder_keeps_what_and_when() -> None:
    decision = classify("please remind me to stretch in 20 minutes", now=NOW).decision
    assert isinstance(decision, Defer)
    assert decision.reminder == "Stretch"
    assert decision.at.isoformat() == "2026-11-20T10:20:00+01:00"


def test_a_reminder_without_a_time_is_asked_about() -> None:
    decision = classify("remind me to pay rent", now=NOW).decision
    assert isinstance(decision, Clarify)
    assert "When" in decision.question


def test_the_kind_of_work_is_read_from_the_request() -> None:
    decision = classify("write a python script that counts words", now=NOW).decision
    assert isinstance(decision, QuickWork)
    assert decision.kind is TaskKind.code


@given(st.text(max_size=20_000))
def test_any_text_is_classified(text: str) -> None:
    assert classify(text, now=NOW).reason
