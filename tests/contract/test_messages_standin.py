"""The real Claude CLI, through the real SDK, in front of the Messages stand-in."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    Message,
    ResultMessage,
    StreamEvent,
    TextBlock,
    query,
)

from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    process = StandinProcess.start_blocking("messages")
    yield process
    process.stop_blocking()


@pytest.fixture
async def control(standin: StandinProcess) -> AsyncIterator[MessagesControl]:
    async with MessagesControl(standin.url) as control:
        await control.reset()
        yield control


@pytest.fixture
def options(standin: StandinProcess, tmp_path: Path) -> ClaudeAgentOptions:
    work = tmp_path / "work"
    work.mkdir()
    # The CLI inherits the environment, so what could lead it elsewhere is emptied.
    foreign = {name: "" for name in os.environ if name.startswith(("ANTHROPIC_", "CLAUDE"))}
    env = {
        **foreign,
        "ANTHROPIC_BASE_URL": standin.url,
        "ANTHROPIC_API_KEY": "stand-in",
        "CLAUDE_CONFIG_DIR": str(tmp_path / "config"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    return ClaudeAgentOptions(
        tools=[], setting_sources=[], strict_mcp_config=True, cwd=work, env=env
    )


def _rule(*replies: dict[str, Any], **fields: Any) -> Rule:
    return Rule.model_validate({"turn": list(replies), **fields})


def _says(text: str, **fields: Any) -> dict[str, Any]:
    return {"blocks": [{"text": text}], **fields}


async def _ask(prompt: str, options: ClaudeAgentOptions) -> list[Message]:
    return [message async for message in query(prompt=prompt, options=options)]


def _result(messages: list[Message]) -> ResultMessage:
    last = messages[-1]
    assert isinstance(last, ResultMessage)
    return last


async def test_text_streams_in_several_pieces(
    control: MessagesControl, options: ClaudeAgentOptions
) -> None:
    text = "Some words that are long enough to come in more than one piece. " * 3
    await control.add_rules([_rule(_says(text))])
    options.include_partial_messages = True
    messages = await _ask("talk", options)
    deltas = [one.event.get("delta", {}) for one in messages if isinstance(one, StreamEvent)]
    pieces = [delta["text"] for delta in deltas if delta.get("type") == "text_delta"]
    assert len(pieces) > 2
    assert "".join(pieces) == text
    assert _result(messages).result == text


async def test_usage_arrives_exactly_as_scripted(
    control: MessagesControl, options: ClaudeAgentOptions
) -> None:
    usage = {
        "input_tokens": 1234,
        "output_tokens": 56,
        "cache_read_input_tokens": 700,
        "cache_creation_input_tokens": 80,
    }
    await control.add_rules([_rule(_says("ok", usage=usage))])
    told = _result(await _ask("count", options)).usage
    assert told is not None
    assert {name: told[name] for name in usage} == usage


async def test_counted_usage_is_what_the_request_recorded(
    control: MessagesControl, options: ClaudeAgentOptions
) -> None:
    await control.add_rules([_rule(_says("twelve chars"))])
    told = _result(await _ask("count", options)).usage
    assert told is not None
    [request] = await control.requests()
    assert told["input_tokens"] == request.input_tokens
    assert told["output_tokens"] == 3


async def test_a_tool_really_runs_and_its_result_comes_back(
    control: MessagesControl, options: ClaudeAgentOptions
) -> None:
    write = {"tool": "Write", "input": {"file_path": "{{cwd}}/note.md", "content": "# {{prompt}}"}}
    rule = _rule({"blocks": [{"text": "Writing."}, write]}, _says("Written."))
    await control.add_rules([rule])
    options.tools = ["Write"]
    options.permission_mode = "acceptEdits"
    result = _result(await _ask("tea", options))
    assert (result.result, result.num_turns) == ("Written.", 2)
    assert options.cwd is not None
    assert (Path(options.cwd) / "note.md").read_text() == "# tea"
    first, second = await control.requests()
    assert (first.reply, second.reply) == (0, 1)
    assert "note.md" in second.tool_results[0]


async def test_thinking_comes_as_a_block_of_its_own(
    control: MessagesControl, options: ClaudeAgentOptions
) -> None:
    await control.add_rules([_rule({"blocks": [{"thinking": "hmm " * 20}, {"text": "So."}]})])
    messages = await _ask("think", options)
    kinds = [
        type(block).__name__
        for message in messages
        if isinstance(message, AssistantMessage)
        for block in message.content
    ]
    assert kinds == ["ThinkingBlock", "TextBlock"]


async def test_a_structured_answer_ends_the_turn_with_one_request(
    control: MessagesControl, options: ClaudeAgentOptions
) -> None:
    await control.add_rules([_rule({"blocks": [{"structured": {"colour": "red"}}]})])
    properties = {"colour": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["colour"]}
    options.output_format = {"type": "json_schema", "schema": schema}
    result = _result(await _ask("which colour?", options))
    assert result.structured_output == {"colour": "red"}
    [request] = await control.requests()
    assert request.schema_properties == ["colour"]
    assert request.prompt == "which colour?"


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "rate_limit", "retry_after": 0},
        {"kind": "overloaded"},
        {"kind": "server_error", "status": 503},
        {"kind": "drop"},
        {"kind": "drop_before"},
    ],
    ids=lambda fault: str(fault["kind"]),
)
async def test_the_cli_tries_again_after_a_passing_fault(
    control: MessagesControl, options: ClaudeAgentOptions, fault: dict[str, Any]
) -> None:
    reply = _says("Here after all.", fault={**fault, "times": 1})
    await control.add_rules([_rule(reply, times=1)])
    result = _result(await _ask("try", options))
    assert (result.is_error, result.result) == (False, "Here after all.")
    requests = await control.requests()
    assert [one.fault for one in requests] == [fault["kind"], None]


@pytest.mark.parametrize(
    ("kind", "status"),
    [("rate_limit", 429), ("auth", 401), ("bad_request", 400), ("not_found", 404)],
)
async def test_a_lasting_fault_ends_with_its_status(
    control: MessagesControl, options: ClaudeAgentOptions, kind: str, status: int
) -> None:
    fault = {"kind": kind, "message": "No, said the test."}
    await control.add_rules([_rule({"fault": fault})])
    options.env["CLAUDE_CODE_MAX_RETRIES"] = "0"
    messages: list[Message] = []
    # The SDK ends the stream of an error result with an exception of its own.
    with pytest.raises(Exception, match="error"):
        async for message in query(prompt="try", options=options):
            messages.append(message)
    result = _result(messages)
    assert result.is_error
    assert result.api_error_status == status


async def test_a_session_is_told_in_the_request_and_can_be_resumed(
    control: MessagesControl, options: ClaudeAgentOptions
) -> None:
    await control.add_rules([_rule(_says("one"), times=1), _rule(_says("two"))])
    first = _result(await _ask("remember me", options))
    options.resume = first.session_id
    second = _result(await _ask("again", options))
    assert (first.result, second.result) == ("one", "two")
    requests = await control.requests()
    assert {one.session_id for one in requests} == {first.session_id}
    assert [one.prompt for one in requests] == ["remember me", "again"]


async def test_two_sessions_at_once_keep_their_own_place(
    control: MessagesControl, options: ClaudeAgentOptions
) -> None:
    write = {
        "tool": "Write",
        "input": {"file_path": "{{cwd}}/{{match.name}}.md", "content": "{{match.name}}"},
    }
    rule = _rule(
        {"blocks": [write], "delay_ms": 50},
        _says("{{match.name}}"),
        when={"prompt": r"(?P<name>\w+)$"},
    )
    await control.add_rules([rule])
    options.tools = ["Write"]
    options.permission_mode = "acceptEdits"
    names = ["ann", "bob", "cat"]
    runs = await asyncio.gather(*(_ask(f"write {name}", options) for name in names))
    assert [_result(run).result for run in runs] == names
    assert options.cwd is not None
    assert sorted(path.stem for path in Path(options.cwd).iterdir()) == names


async def test_the_house_model_does_a_job_with_real_tools(
    control: MessagesControl, options: ClaudeAgentOptions, tmp_path: Path
) -> None:
    artefacts = tmp_path / "artefacts"
    artefacts.mkdir()
    options.tools = ["Bash", "Write"]
    options.allowed_tools = ["Bash"]
    options.permission_mode = "acceptEdits"
    options.add_dirs = [artefacts]
    prompt = f"Task: Write a short note about tea\nArtefacts folder: {artefacts}"
    result = _result(await _ask(prompt, options))
    [report] = artefacts.iterdir()
    assert report.name in str(result.result)
    assert "without a real Claude" in report.read_text()
    assert "clock said" in report.read_text()
    assert result.num_turns == 3


async def test_the_house_model_talks(control: MessagesControl, options: ClaudeAgentOptions) -> None:
    messages = await _ask("<message>what is 12 * 7?</message>", options)
    said = [
        block.text
        for message in messages
        if isinstance(message, AssistantMessage)
        for block in message.content
        if isinstance(block, TextBlock)
    ]
    assert said == ["That makes 84."]


async def test_a_warm_client_keeps_its_turns_apart_also_after_clear(
    control: MessagesControl, options: ClaudeAgentOptions
) -> None:
    rule = _rule(_says("{{match.n}}"), when={"prompt": r"turn (?P<n>\d)"})
    await control.add_rules([rule])
    told = []
    async with ClaudeSDKClient(options) as client:
        for prompt in ("turn 1", "turn 2", "/clear", "turn 3"):
            await client.query(prompt)
            told.append(_result([message async for message in client.receive_response()]))
    assert [one.result for one in told] == ["1", "2", "", "3"]
    assert told[3].session_id != told[0].session_id
    requests = await control.requests()
    assert [one.prompt for one in requests] == ["turn 1", "turn 2", "turn 3"]
