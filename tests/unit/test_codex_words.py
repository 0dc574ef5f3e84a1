import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos.backends.codex import failure_of
from agentos.backends.codex_profile import strict, to_toml
from agentos.backends.codex_usage import Counted, of_turn
from agentos.domain.frames import Failure

ID = "01a1fe2b-cbf7-7101-8e44-39459b1e9fff"
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(words, words | st.booleans() | st.integers(-9, 9)), words)
def test_settings_are_read_back_as_they_were(plain: dict[str, object], table: str) -> None:
    settings = {**plain, "agentos table": {table: {"a": "b"}, "x": plain}}
    read = tomllib.loads(to_toml(settings))
    read["agentos table"].setdefault("x", {})
    assert read == settings


def test_a_schema_is_made_strict_at_every_depth() -> None:
    schema = {
        "properties": {
            "default": {"type": "string", "default": "x"},
            "inner": {"anyOf": [{"properties": {"a": {}}}, {"type": "null"}]},
        }
    }
    assert strict(schema) == {
        "properties": {
            "default": {"type": "string"},
            "inner": {
                "anyOf": [
                    {"properties": {"a": {}}, "required": ["a"], "additionalProperties": False},
                    {"type": "null"},
                ]
            },
        },
        "required": ["default", "inner"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("problem", "failure"),
    [
        ("exceeded retry limit, last status: 429 Too Many Requests", Failure.rate_limited),
        ("You've hit your usage limit.", Failure.rate_limited),
        ("Quota exceeded. Check your plan and billing details.", Failure.authentication),
        ("unexpected status 403 Forbidden: no", Failure.authentication),
        ("Missing environment variable: `X`", Failure.authentication),
        ("Codex ran out of room in the model's context window.", Failure.refused),
        ("stream disconnected before completion: reset", Failure.transient),
        ("", Failure.transient),
    ],
)
def test_a_cause_is_known_by_the_words_of_the_cli(problem: str, failure: Failure) -> None:
    assert failure_of(problem) is failure


def rollout(state: Path, *payloads: object) -> None:
    folder = state / "sessions" / "2026" / "11" / "21"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"type": "event_msg", "payload": one}) for one in payloads]
    (folder / f"rollout-x-{ID}.jsonl").write_text("\n".join([*lines, '{"turn_token_usage": {"']))


def test_a_turn_is_counted_for_itself_without_what_came_from_the_cache(tmp_path: Path) -> None:
    one = {"input_tokens": 100, "cached_input_tokens": 0, "output_tokens": 7}
    two = {"input_tokens": 90, "cached_input_tokens": 60, "output_tokens": 5}
    rollout(
        tmp_path,
        {"type": "task_started", "turn_id": "a"},
        {"turn_id": "a", "turn_token_usage": one},
        {"type": "task_started", "turn_id": "b"},
        {"turn_id": "b", "turn_token_usage": {"input_tokens": 30}},
        {"turn_id": "b", "turn_token_usage": two, "usage": {"input_tokens": 60}},
        ["nothing"],
    )
    told = Counted(input_tokens=190, cached_input_tokens=60, output_tokens=12)
    use = of_turn(ID, state=tmp_path, model="m", told=told)
    usage = use.turn
    assert use.session_tokens == 60
    assert (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens) == (30, 60, 5)
    assert usage.tokens == 35


def test_a_turn_without_an_answer_has_used_nothing(tmp_path: Path) -> None:
    one = {"input_tokens": 100}
    rollout(
        tmp_path,
        {"turn_id": "a", "turn_token_usage": one},
        {"type": "task_started", "turn_id": "b"},
    )
    assert of_turn(ID, state=tmp_path, model="m", told=None).turn.tokens == 0


@pytest.mark.parametrize("session_id", ["", "../../../etc/passwd", "*", ID])
def test_without_a_file_what_was_told_counts(tmp_path: Path, session_id: str) -> None:
    told = Counted(input_tokens=10, cached_input_tokens=99, output_tokens=1)
    usage = of_turn(session_id, state=tmp_path, model="m", told=told).turn
    assert (usage.input_tokens, usage.cache_read_tokens) == (0, 10)
