"""The Messages stand-in at the level of HTTP: events, errors, broken connections, controls."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from agentos.domain.plan import PlanDraft
from agentos.domain.triage import Triage
from agentos.standins.messages_control import BlockingMessagesControl, MessagesControl
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
async def client(standin: StandinProcess) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-api-key": "very-secret", "anthropic-version": "2023-06-01"}
    async with httpx.AsyncClient(base_url=standin.url, headers=headers, trust_env=False) as client:
        yield client


def _body(prompt: str = "hi", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": "claude-x", "max_tokens": 100, "messages": messages, **more}


async def _plays(control: MessagesControl, *replies: dict[str, Any], **fields: Any) -> None:
    rule = Rule.model_validate({"turn": list(replies), **fields})
    await control.add_rules([rule], replace=True)


def _events(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for part in text.strip().split("\n\n"):
        name, data = part.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def _structured(
    client: httpx.AsyncClient, prompt: str, schema: dict[str, Any]
) -> dict[str, Any]:
    tools = [{"name": "StructuredOutput", "input_schema": schema}]
    message = (await client.post("/v1/messages", json=_body(prompt, tools=tools))).json()
    [block] = message["content"]
    assert block["name"] == "StructuredOutput"
    answer: dict[str, Any] = block["input"]
    return answer


async def test_the_stream_has_the_events_of_the_api_in_their_order(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    tool = {"tool": "Bash", "input": {"command": "echo a rather long command " * 4}}
    await _plays(control, {"blocks": [{"thinking": "hm"}, {"text": "words"}, tool]})
    response = await client.post("/v1/messages", json=_body(stream=True))
    assert response.headers["content-type"].startswith("text/event-stream")
    events = _events(response.text)
    assert all(name == data["type"] for name, data in events)
    names = [name for name, _ in events]
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    starts = [
        data["content_block"]["type"]
        for name, data in events
        if name.endswith("_start") and "content_block" in data
    ]
    assert starts == ["thinking", "text", "tool_use"]
    pieces = [
        data["delta"]["partial_json"]
        for _, data in events
        if data.get("delta", {}).get("type") == "input_json_delta"
    ]
    assert len(pieces) > 3
    assert json.loads("".join(pieces)) == tool["input"]
    assert events[-2][1]["delta"]["stop_reason"] == "tool_use"


async def test_the_plain_answer_says_the_same_as_the_stream(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    await _plays(control, {"blocks": [{"text": "one two three four five six seven"}]})
    plain = (await client.post("/v1/messages", json=_body())).json()
    streamed = _events((await client.post("/v1/messages", json=_body(stream=True))).text)
    text = "".join(
        data["delta"].get("text", "") for name, data in streamed if name == "content_block_delta"
    )
    assert plain["content"] == [{"type": "text", "text": text}]
    assert plain["stop_reason"] == "end_turn"
    assert streamed[-2][1]["usage"]["output_tokens"] == plain["usage"]["output_tokens"] == 9


async def test_tokens_are_counted_as_they_are_charged(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    body = _body(system="You are brief.", tools=[{"name": "Bash", "input_schema": {}}])
    counted = (await client.post("/v1/messages/count_tokens", json=body)).json()["input_tokens"]
    message = (await client.post("/v1/messages", json=body)).json()
    assert message["usage"]["input_tokens"] == counted > 20


async def test_the_root_and_the_models_answer(client: httpx.AsyncClient) -> None:
    assert (await client.head("/")).status_code == 200
    models = (await client.get("/v1/models")).json()
    assert models["first_id"] == models["data"][0]["id"]


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ({"kind": "rate_limit"}, 429, "rate_limit_error"),
        ({"kind": "overloaded"}, 529, "overloaded_error"),
        ({"kind": "server_error"}, 500, "api_error"),
        ({"kind": "server_error", "status": 502}, 502, "api_error"),
        ({"kind": "auth"}, 401, "authentication_error"),
        ({"kind": "bad_request"}, 400, "invalid_request_error"),
        ({"kind": "not_found"}, 404, "not_found_error"),
    ],
)
async def test_errors_have_the_form_of_the_api(
    client: httpx.AsyncClient,
    control: MessagesControl,
    fault: dict[str, Any],
    status: int,
    kind: str,
) -> None:
    await _plays(control, {"fault": fault})
    response = await client.post("/v1/messages", json=_body(stream=True))
    told = response.json()
    assert (response.status_code, told["type"], told["error"]["type"]) == (status, "error", kind)
    assert response.headers["request-id"] == told["request_id"]


async def test_a_rate_limit_tells_when_it_ends(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    reset = datetime(2030, 1, 1, tzinfo=UTC)
    fault = {"kind": "rate_limit", "retry_after": 7, "reset_at": reset.isoformat()}
    await _plays(control, {"fault": fault})
    headers = (await client.post("/v1/messages", json=_body())).headers
    assert headers["retry-after"] == "7"
    assert headers["anthropic-ratelimit-unified-reset"] == str(int(reset.timestamp()))
    assert headers["anthropic-ratelimit-unified-status"] == "rejected"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["drop", "drop_before"])
async def test_a_drop_is_a_broken_connection(
    client: httpx.AsyncClient, control: MessagesControl, kind: str, stream: bool
) -> None:
    await _plays(control, {"blocks": [{"text": "x" * 500}], "fault": {"kind": kind, "times": 1}})
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/v1/messages", json=_body(stream=stream))
    assert (await client.post("/v1/messages", json=_body(stream=stream))).status_code == 200


async def test_what_was_sent_before_a_drop_arrives(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    fault = {"kind": "drop", "after_chunks": 5}
    await _plays(control, {"blocks": [{"text": "x" * 500}], "fault": fault})
    came = b""
    with pytest.raises(httpx.RemoteProtocolError):
        async with client.stream("POST", "/v1/messages", json=_body(stream=True)) as response:
            async for piece in response.aiter_raw():
                came += piece
    assert len(_events(came.decode())) == 5


async def test_a_stall_sends_headers_and_then_nothing(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    await _plays(control, {"fault": {"kind": "stall", "seconds": 5}})
    began = asyncio.get_running_loop().time()
    with pytest.raises(httpx.ReadTimeout):
        async with client.stream(
            "POST", "/v1/messages", json=_body(stream=True), timeout=0.3
        ) as response:
            assert response.status_code == 200
            await response.aread()
    assert asyncio.get_running_loop().time() - began < 3


async def test_nonsense_is_no_protocol(client: httpx.AsyncClient, control: MessagesControl) -> None:
    await _plays(control, {"fault": {"kind": "nonsense"}})
    plain = await client.post("/v1/messages", json=_body())
    with pytest.raises(json.JSONDecodeError):
        plain.json()
    streamed = await client.post("/v1/messages", json=_body(stream=True))
    with pytest.raises(json.JSONDecodeError):
        _events(streamed.text)


async def test_a_slow_answer_comes_whole(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    fault = {"kind": "slow", "seconds": 0.3}
    await _plays(control, {"blocks": [{"text": "whole"}], "fault": fault})
    began = asyncio.get_running_loop().time()
    response = await client.post("/v1/messages", json=_body(stream=True))
    assert _events(response.text)[-1][0] == "message_stop"
    assert asyncio.get_running_loop().time() - began >= 0.28


async def test_a_request_without_a_credential_is_refused(standin: StandinProcess) -> None:
    async with httpx.AsyncClient(base_url=standin.url, trust_env=False) as anonymous:
        response = await anonymous.post("/v1/messages", json=_body())
    assert response.status_code == 401


async def test_requests_are_recorded_without_secrets(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    await client.post("/v1/messages", json=_body("remember", system="be brief"))
    [request] = await control.requests()
    assert (request.auth, request.prompt, request.system) == ("x-api-key", "remember", "be brief")
    assert (request.rule, request.outcome) == ("house", "served")
    assert "very-secret" not in request.model_dump_json()
    assert await control.requests(since=1) == []


async def test_a_blocking_caller_can_control_it_too(
    standin: StandinProcess, control: MessagesControl, client: httpx.AsyncClient
) -> None:
    blocking = BlockingMessagesControl(standin.url)
    blocking.add_rules([Rule.model_validate({"turn": [{"blocks": [{"text": "yes"}]}]})])
    await client.post("/v1/messages", json=_body())
    assert [one.rule for one in blocking.requests()] == ["rule 0"]
    blocking.reset()
    assert blocking.requests() == []
    blocking.close()


async def test_wrong_rules_are_refused_with_one_line(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    response = await client.post("/_standin/rules", json={"rules": [{"turn": [{}]}]})
    assert response.status_code == 400
    assert response.json() == {"error": "rules[0].turn[0]: a reply needs blocks or a fault"}


async def test_controls_take_only_json(client: httpx.AsyncClient) -> None:
    plain = {"content-type": "text/plain"}
    response = await client.post("/_standin/rules", content="{}", headers=plain)
    assert response.status_code == 415


async def test_waiting_for_a_request_gives_up_in_time(control: MessagesControl) -> None:
    with pytest.raises(TimeoutError, match="no request matches"):
        await control.wait_for_request("never", timeout=timedelta(milliseconds=50))


async def test_a_turn_that_outgrows_its_rule_is_an_error_that_says_so(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    await _plays(control, {"blocks": [{"text": "only one"}]}, name="short")
    body = _body()
    body["messages"] += [
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": [{"type": "tool_result", "content": "y"}]},
    ]
    response = await client.post("/v1/messages", json=body)
    assert response.status_code == 400
    assert "short has no reply number 2" in response.json()["error"]["message"]


async def test_twenty_sessions_at_once_each_get_their_own_answer(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    reply = {"blocks": [{"text": "I am {{match.n}}"}], "chunk_delay_ms": 5}
    await _plays(control, reply, when={"prompt": r"number (?P<n>\d+)"})
    asked = [client.post("/v1/messages", json=_body(f"number {n}", stream=True)) for n in range(20)]
    for number, response in enumerate(await asyncio.gather(*asked)):
        assert f"I am {number}" in response.text


async def test_the_house_model_decides_what_a_message_is(client: httpx.AsyncClient) -> None:
    prompt = (
        "Now: 2026-03-02T10:00:00+01:00\n<message>\nremind me in 20 minutes to stretch\n</message>"
    )
    schema = {"type": "object", "properties": {"reason": {}, "decision": {}}}
    triage = Triage.model_validate(await _structured(client, prompt, schema))
    assert triage.decision.outcome == "defer"
    assert triage.decision.at == datetime.fromisoformat("2026-03-02T10:20:00+01:00")


async def test_the_house_model_plans_and_takes_a_change(client: httpx.AsyncClient) -> None:
    schema = PlanDraft.model_json_schema()
    request = "<request>plan a weekend in Lisbon</request>"
    plan = PlanDraft.model_validate(await _structured(client, request, schema))
    assert [step.kind.value for step in plan.steps] == ["research", "writing"]
    assert plan.steps[1].after == [0]
    change = "<change>add a budget</change>"
    longer = PlanDraft.model_validate(await _structured(client, request + change, schema))
    assert "budget" in longer.steps[2].prompt
    assert "budget" in longer.goal
    drop = "<change>without the write-up</change>"
    shorter = PlanDraft.model_validate(await _structured(client, request + drop, schema))
    assert len(shorter.steps) == 1


async def test_the_house_model_lets_work_pass_and_says_that_it_judged_nothing(
    client: httpx.AsyncClient,
) -> None:
    properties = {
        "score": {"type": "integer", "minimum": 0, "maximum": 100},
        "summary": {"type": "string"},
        "issues": {"type": "array", "items": {"type": "string"}},
    }
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    judged = await _structured(client, "judge", schema)
    assert judged["score"] == 100
    assert "checks nothing" in judged["summary"]
    assert judged["issues"] == []


async def test_any_other_schema_gets_its_smallest_instance(client: httpx.AsyncClient) -> None:
    properties = {
        "colour": {"enum": ["red", "blue"]},
        "count": {"type": "integer", "minimum": 3},
        "names": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/Name"}},
        "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "optional": {"type": "string"},
    }
    required = ["colour", "count", "names", "maybe"]
    name = {"type": "string", "minLength": 2}
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "$defs": {"Name": name},
    }
    answer = await _structured(client, "anything", schema)
    assert answer == {"colour": "red", "count": 3, "names": ["--", "--"], "maybe": None}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("hello!", "Hello!"),
        ("what can you do?", "built-in stand-in"),
        ("(3 + 4) * 2", "makes 14"),
        ("7 / 0", "stand-in"),
        ("what time is it?", "10:00 on Monday, 2 March 2026"),
        ("the sea", "the sea"),
        ("thanks", "welcome"),
    ],
)
async def test_the_house_model_chats(client: httpx.AsyncClient, said: str, expected: str) -> None:
    prompt = f"Now: 2026-03-02T10:00:00+01:00\n<message>{said}</message>"
    message = (await client.post("/v1/messages", json=_body(prompt))).json()
    assert expected in message["content"][0]["text"]


@pytest.mark.parametrize(
    ("failed", "said"), [(True, "could not write"), (False, "The report is in tea-errors.md")]
)
async def test_the_house_model_says_whether_it_could_write(
    client: httpx.AsyncClient, failed: bool, said: str
) -> None:
    body = _body(
        "Task: Tea errors\nArtefacts folder: /out", tools=[{"name": "Write", "input_schema": {}}]
    )
    write = (await client.post("/v1/messages", json=body)).json()["content"]
    assert write[1]["input"]["file_path"] == "/out/tea-errors.md"
    result = {"type": "tool_result", "content": "written: tea-errors.md", "is_error": failed}
    body["messages"] += [
        {"role": "assistant", "content": write},
        {"role": "user", "content": [result]},
    ]
    last = (await client.post("/v1/messages", json=body)).json()
    assert said in last["content"][0]["text"]


async def test_what_a_session_is_told_while_it_works_is_recorded(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    asked = _body("work")
    asked["messages"] += [
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "x", "input": {}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "y"}]},
        {"role": "system", "content": [{"type": "text", "text": "Come to an end."}]},
    ]
    await client.post("/v1/messages", json=asked)
    (request,) = await control.requests()
    assert (request.prompt, request.told) == ("work", ["Come to an end."])
