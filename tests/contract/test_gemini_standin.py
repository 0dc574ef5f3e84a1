"""The Gemini stand-in at the level of HTTP: events, errors, function calls, controls."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule

PATH = "/v1beta/models/gemini-2.5-flash"


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    process = StandinProcess.start_blocking("gemini")
    yield process
    process.stop_blocking()


@pytest.fixture
async def control(standin: StandinProcess) -> AsyncIterator[MessagesControl]:
    async with MessagesControl(standin.url) as control:
        await control.reset()
        yield control


@pytest.fixture
async def client(standin: StandinProcess) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-goog-api-key": "very-secret"}
    async with httpx.AsyncClient(base_url=standin.url, headers=headers, trust_env=False) as client:
        yield client


def _body(*said: str, **more: Any) -> dict[str, Any]:
    roles = ("user", "model")
    contents = [
        {"role": roles[number % 2], "parts": [{"text": text}]} for number, text in enumerate(said)
    ]
    return {"contents": contents, **more}


async def _plays(control: MessagesControl, *replies: dict[str, Any], **fields: Any) -> None:
    rule = Rule.model_validate({"turn": list(replies), **fields})
    await control.add_rules([rule], replace=True)


def _events(text: str) -> list[dict[str, Any]]:
    return [json.loads(part.removeprefix("data: ")) for part in text.strip().split("\r\n\r\n")]


async def test_a_stream_says_why_it_ends_and_what_it_used_in_its_last_event(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    call = {"tool": "write_file", "input": {"file_path": "a", "content": "b"}}
    await _plays(control, {"blocks": [{"thinking": "hm"}, {"text": "words " * 20}, call]})
    answer = await client.post(f"{PATH}:streamGenerateContent?alt=sse", json=_body("hi"))
    assert answer.headers["content-type"].startswith("text/event-stream")
    *before, last = _events(answer.text)
    parts = [one["candidates"][0]["content"]["parts"][0] for one in (*before, last)]
    assert parts[0] == {"text": "hm", "thought": True}
    assert "".join(part.get("text", "") for part in parts[1:]) == "words " * 20
    assert parts[-1] == {"functionCall": {"name": "write_file", "args": call["input"]}}
    assert not any("usageMetadata" in one for one in before)
    assert last["candidates"][0]["finishReason"] == "STOP"
    used = last["usageMetadata"]
    assert used["totalTokenCount"] == used["promptTokenCount"] + used["candidatesTokenCount"]
    assert last["modelVersion"] == "gemini-2.5-flash"


async def test_a_turn_goes_on_with_the_result_of_its_function(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    call = {"tool": "look", "input": {"at": "sky"}}
    await _plays(control, {"blocks": [call]}, {"blocks": [{"text": "blue"}]})
    asked = _body("look up", systemInstruction={"parts": [{"text": "Be brief."}]})
    asked["tools"] = [{"functionDeclarations": [{"name": "look"}]}]
    first = (await client.post(f"{PATH}:generateContent", json=asked)).json()
    result = {"functionResponse": {"name": "look", "response": {"output": "all clear"}}}
    asked["contents"] += [
        first["candidates"][0]["content"],
        {"role": "user", "parts": [result]},
    ]
    second = (await client.post(f"{PATH}:generateContent", json=asked)).json()
    assert second["candidates"][0]["content"]["parts"] == [{"text": "blue"}]
    one, two = await control.requests()
    assert (one.prompt, one.system, one.tools) == ("look up", "Be brief.", ["look"])
    assert (two.prompt, two.tool_results, two.reply) == ("look up", ["all clear"], 1)
    assert two.auth == "x-goog-api-key"
    assert "very-secret" not in json.dumps([one.model_dump(), two.model_dump()])


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        ({"kind": "rate_limit", "retry_after": 34}, 429, "RESOURCE_EXHAUSTED"),
        ({"kind": "overloaded"}, 503, "UNAVAILABLE"),
        ({"kind": "server_error"}, 500, "INTERNAL"),
        ({"kind": "auth"}, 401, "UNAUTHENTICATED"),
        ({"kind": "bad_request"}, 400, "INVALID_ARGUMENT"),
    ],
)
async def test_a_refusal_has_the_words_of_the_api(
    client: httpx.AsyncClient,
    control: MessagesControl,
    fault: dict[str, Any],
    status: int,
    name: str,
) -> None:
    await _plays(control, {"fault": fault})
    answer = await client.post(f"{PATH}:generateContent", json=_body("hi"))
    told = answer.json()["error"]
    assert (answer.status_code, told["code"], told["status"]) == (status, status, name)
    delays = [detail["retryDelay"] for detail in told.get("details", [])]
    assert delays == (["34s"] if "retry_after" in fault else [])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{PATH}:generateContent", {}, 400),
        (f"{PATH}:generateContent", {"contents": [{"role": "user", "parts": []}]}, 400),
        (f"{PATH}:generateContent", {"contents": [{"role": "x", "parts": [{"text": "a"}]}]}, 400),
        (f"{PATH}:generateContent", [1], 400),
        (f"{PATH}:embedContent", _body("hi"), 404),
        ("/v1beta/models/no-such-model:generateContent", _body("hi"), 404),
    ],
)
async def test_what_the_api_would_not_take_is_not_taken(
    client: httpx.AsyncClient, control: MessagesControl, path: str, body: Any, status: int
) -> None:
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, status)


async def test_who_shows_no_key_is_refused(standin: StandinProcess) -> None:
    async with httpx.AsyncClient(base_url=standin.url, trust_env=False) as stranger:
        answer = await stranger.post(f"{PATH}:generateContent", json=_body("hi"))
    assert answer.status_code == 401


async def test_without_a_rule_the_house_answers(
    client: httpx.AsyncClient, control: MessagesControl
) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer", "maximum": 7}}}
    wanted = {"generationConfig": {"responseJsonSchema": schema}}
    answer = (await client.post(f"{PATH}:generateContent", json=_body("rate", **wanted))).json()
    [part] = answer["candidates"][0]["content"]["parts"]
    assert json.loads(part["text"]) == {"score": 7}
    [seen] = await control.requests()
    assert (seen.rule, seen.schema_properties) == ("house", ["score"])
