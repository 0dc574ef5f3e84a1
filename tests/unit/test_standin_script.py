"""The stand-in's scripts: what is refused, what is filled in, which reply is due."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentos.errors import Misconfigured
from agentos.standins.messages.playbook import Playbook
from agentos.standins.messages.turn import Turn, read_turn
from agentos.standins.placeholders import fill, names_in
from agentos.standins.script import Script, load_script


def _written(folder: Path, document: Any) -> Path:
    path = folder / "script.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def _rule(**fields: Any) -> dict[str, Any]:
    return {"turn": [{"blocks": [{"text": "hello"}]}], **fields}


def _turn(prompt: str = "hi", *, answered: int = 0, **body: Any) -> Turn:
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    for number in range(answered):
        use = {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {}}
        messages.append({"role": "assistant", "content": [use]})
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "done"}
        messages.append({"role": "user", "content": [result]})
    return read_turn({"model": "claude-x", "messages": messages, **body})


def _playbook(*rules: dict[str, Any]) -> Playbook:
    return Playbook(Script.model_validate({"rules": rules}).rules)


def test_a_script_that_is_right_is_read(tmp_path: Path) -> None:
    script = load_script(_written(tmp_path, {"rules": [_rule(name="greeting", times=2)]}))
    assert [rule.name for rule in script.rules] == ["greeting"]


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"rules": [{"turn": []}]}, "rules[0].turn: List should have at least 1 item"),
        ({"rules": [_rule(tims=1)]}, "rules[0].tims: Extra inputs are not permitted"),
        (
            {"rules": [_rule(when={"prompt": "("})]},
            "rules[0].when.prompt: Input should be a valid regular expression",
        ),
        (
            {"rules": [{"turn": [{"blocks": [{"text": "a", "tool": "b"}]}]}]},
            "rules[0].turn[0].blocks[0]: a block has exactly one of text, thinking, tool",
        ),
        (
            {"rules": [{"turn": [{}]}]},
            "rules[0].turn[0]: a reply needs blocks or a fault",
        ),
        (
            {"rules": [{"turn": [{"fault": {"kind": "tired"}}]}]},
            "rules[0].turn[0].fault.kind: Input should be 'rate_limit'",
        ),
        (
            {"rules": [{"turn": [{"blocks": [{"text": "{{match.who}}"}]}]}]},
            "rules[0]: nothing fills {{match.who}}",
        ),
        ("{oops", "the document: Invalid JSON"),
    ],
)
def test_a_wrong_script_is_told_in_one_line_with_the_place(
    tmp_path: Path, document: Any, complaint: str
) -> None:
    path = _written(tmp_path, document)
    with pytest.raises(Misconfigured) as told:
        load_script(path)
    assert complaint in str(told.value)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_missing_script_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="No such file"):
        load_script(tmp_path / "none.json")


def test_placeholders_are_filled_at_any_depth() -> None:
    value = {"path": "{{ cwd }}/a.md", "lines": [{"x": "{{match.who}}!"}], "n": 3}
    filled = fill(value, values={"cwd": "/w", "match.who": "Ann"})
    assert filled == {"path": "/w/a.md", "lines": [{"x": "Ann!"}], "n": 3}


def test_braces_in_what_is_filled_in_stay_as_they_are() -> None:
    assert fill("said {{prompt}}", values={"prompt": "{{cwd}}", "cwd": "/w"}) == "said {{cwd}}"


def test_names_are_found_in_nested_values() -> None:
    assert names_in([{"a": "{{cwd}} {{match.x}}"}, "{{prompt}}"]) == {"cwd", "match.x", "prompt"}


def test_named_groups_of_the_prompt_reach_the_reply() -> None:
    playbook = _playbook(
        {
            "when": {"prompt": r"greet (?P<who>\w+)"},
            "turn": [{"blocks": [{"text": "Hello {{match.who}}"}]}],
        }
    )
    chosen = playbook.choose(_turn("please greet Ann"))
    assert chosen is not None
    assert chosen.values["match.who"] == "Ann"


def test_which_reply_is_due_is_counted_from_the_request() -> None:
    playbook = _playbook({"turn": [{"blocks": [{"text": name}]} for name in ("a", "b")]})
    for answered, wanted in ((1, "b"), (0, "a"), (1, "b")):
        chosen = playbook.choose(_turn(answered=answered))
        assert chosen is not None
        assert chosen.reply is not None
        assert chosen.reply.blocks[0].text == wanted


def test_a_turn_longer_than_its_rule_gets_no_reply() -> None:
    chosen = _playbook(_rule()).choose(_turn(answered=1))
    assert chosen is not None
    assert chosen.reply is None


def test_times_counts_turns_and_not_requests() -> None:
    two_replies = [{"blocks": [{"text": "a"}]}, {"blocks": [{"text": "b"}]}]
    playbook = _playbook({"times": 1, "turn": two_replies})
    assert playbook.choose(_turn("one")) is not None
    assert playbook.choose(_turn("one", answered=1)) is not None
    assert playbook.choose(_turn("two")) is None


def test_a_request_repeated_after_a_fault_belongs_to_the_same_turn() -> None:
    playbook = _playbook(
        {"times": 1, "turn": [{"blocks": [{"text": "a"}], "fault": {"kind": "drop", "times": 2}}]}
    )
    faults = [playbook.choose(_turn()) for _ in range(3)]
    assert [one is not None and one.fault is not None for one in faults] == [True, True, False]
    assert playbook.choose(_turn()) is None


def test_rules_are_tried_in_order_and_all_conditions_must_hold() -> None:
    playbook = _playbook(
        _rule(name="other model", when={"prompt": "hi", "model": "opus"}),
        _rule(name="with a tool", when={"tool": "Bash"}),
        _rule(name="plain", when={"prompt": "hi"}),
    )
    bash = {"name": "Bash", "input_schema": {"type": "object"}}
    chosen = [playbook.choose(_turn()), playbook.choose(_turn(tools=[bash]))]
    assert [one and one.rule for one in chosen] == ["plain", "with a tool"]


def test_a_rule_may_ask_for_a_property_of_the_structured_answer() -> None:
    playbook = _playbook(_rule(when={"schema_property": "decision"}))
    schema = {"type": "object", "properties": {"decision": {"type": "string"}}}
    tool = {"name": "StructuredOutput", "input_schema": schema}
    assert playbook.choose(_turn()) is None
    assert playbook.choose(_turn(tools=[tool])) is not None


def test_the_prompt_is_what_the_person_said_last() -> None:
    said = [
        {"type": "text", "text": "<system-reminder>\nPrimary working directory: /w\n"},
        {"type": "text", "text": "do it\nArtefacts folder: /out"},
        {"type": "text", "text": "<system-reminder>be kind</system-reminder>"},
    ]
    only_reminded = {"role": "user", "content": said[:1]}
    messages = [{"role": "user", "content": said}, only_reminded]
    turn = read_turn({"model": "m", "messages": messages})
    assert (turn.prompt, turn.cwd, turn.artefacts) == (said[1]["text"], "/w", "/out")


@pytest.mark.parametrize(
    "user_id",
    [
        '{"device_id": "d", "session_id": "11111111-2222-3333-4444-555555555555"}',
        "user_abc_account__session_11111111-2222-3333-4444-555555555555",
    ],
)
def test_the_session_is_read_from_the_metadata(user_id: str) -> None:
    turn = _turn(metadata={"user_id": user_id})
    assert turn.session_id == "11111111-2222-3333-4444-555555555555"


def test_input_tokens_are_a_quarter_of_the_characters_rounded_up() -> None:
    messages = [{"role": "user", "content": "x"}]
    chars = len("sys") + len(json.dumps(messages))
    turn = read_turn({"model": "m", "system": "sys", "messages": messages})
    assert turn.input_tokens == -(-chars // 4)
