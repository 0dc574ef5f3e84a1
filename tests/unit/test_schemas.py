"""Structured answers: the schema a provider gets, and reading what it sends."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agentos.domain.frames import Failure, TurnEnded
from agentos.domain.plan import PlanDraft
from agentos.domain.schemas import read_answer, schema_of
from agentos.domain.triage import BigWork, QuickWork, Triage

WORK = {"outcome": "quick_work", "title": "Tea", "kind": "writing", "prompt": "Write of tea."}


def ended(**more: Any) -> TurnEnded:
    return TurnEnded(turn_id="t", **more)


def answer(decision: dict[str, Any]) -> dict[str, Any]:
    return {"reason": "because", "decision": decision}


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for part in schema.values():
            yield from parts(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from parts(part)


@pytest.mark.parametrize("kind", [Triage, PlanDraft])
def test_a_schema_is_one_plain_object(kind: Any) -> None:
    schema = schema_of(kind)
    assert schema["type"] == "object"
    allowed = {"type", "const", "enum", "description", "anyOf", "items"}
    for part in parts(schema):
        if part.get("type") == "object":
            assert set(part) == {"type", "properties", "required"}
            assert part["required"] == list(part["properties"])
        elif "type" in part or "anyOf" in part:
            assert set(part) <= allowed


def test_the_schema_of_triage_has_its_outcomes() -> None:
    variants = schema_of(Triage)["properties"]["decision"]["anyOf"]
    outcomes = [variant["properties"]["outcome"]["const"] for variant in variants]
    assert outcomes == ["respond", "quick_work", "big_work", "clarify", "defer", "steer"]


def test_a_structured_answer_is_read() -> None:
    triage = read_answer(Triage, ended(structured=answer(WORK)))
    assert triage is not None
    assert isinstance(triage.decision, QuickWork)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(answer(WORK)),
        f"Here it is:\n```json\n{json.dumps(answer(WORK), indent=1)}\n```\nDone.",
        f"I think {json.dumps(answer(WORK))} fits.",
    ],
)
def test_an_answer_in_the_text_is_found(text: str) -> None:
    assert read_answer(Triage, ended(text=text)) is not None


def test_what_is_too_long_is_cut() -> None:
    big = {"outcome": "big_work", "title": "t" * 500, "request": "r" * 9000}
    triage = read_answer(Triage, ended(structured=answer(big) | {"reason": "x" * 900}))
    assert triage is not None
    assert isinstance(triage.decision, BigWork)
    assert len(triage.decision.title) == 200
    assert triage.decision.title.endswith("…")
    assert len(triage.decision.request) == 8000
    clarify = {"outcome": "clarify", "question": "Which?", "options": list("abcdefg")}
    assert read_answer(Triage, ended(structured=answer(clarify))) is not None


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"text": "I'd rather not."},
        {"text": "{" * 5000},
        {"text": "[1, 2]"},
        {"structured": {"reason": "x"}},
        {"structured": answer({"outcome": "dance"})},
        {"structured": answer({"outcome": "defer", "reminder": "x", "at": "soon"})},
        {"structured": answer(WORK), "failure": Failure.nonsense},
    ],
)
def test_nonsense_is_none(more: dict[str, Any]) -> None:
    assert read_answer(Triage, ended(**more)) is None


def test_a_plan_whose_steps_wait_for_later_ones_is_none() -> None:
    step = {"title": "a", "kind": "code", "prompt": "p", "after": [1]}
    assert read_answer(PlanDraft, ended(structured={"goal": "g", "steps": [step]})) is None
