"""The gateway hands everything through but the key, which stays with it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from agentos.backends.claude_access import (
    Credentials,
    ModelAccess,
    find_credentials,
    open_gateway,
)
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule

KEY = "sk-ant-api03-this-is-the-real-one"
BODY = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def access(model: StandinProcess, tmp_path: Path) -> AsyncIterator[ModelAccess]:
    credentials = find_credentials(base_url=model.url, known={"ANTHROPIC_API_KEY": KEY})
    assert credentials is not None
    made, gateway = await open_gateway(credentials, config_folder=tmp_path)
    yield made
    await gateway.stop()


async def ask(access: ModelAccess, **headers: str) -> httpx.Response:
    url = access.variables["ANTHROPIC_BASE_URL"] + "/v1/messages?beta=true"
    shown = {"x-api-key": access.variables["ANTHROPIC_API_KEY"], **headers}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(url, json=BODY, headers=shown)


async def rule(model: StandinProcess, reply: dict[str, object]) -> None:
    async with MessagesControl(model.url) as control:
        await control.add_rules([Rule.model_validate({"when": {}, "turn": [reply]})])


def test_the_key_is_in_nothing_that_a_worker_gets(access: ModelAccess) -> None:
    assert KEY not in json.dumps(dict(access.variables))
    assert KEY not in repr(access)
    assert KEY not in repr(Credentials("ANTHROPIC_API_KEY", KEY, ""))


async def test_a_request_arrives_with_the_real_key_and_its_answer_comes_back(
    model: StandinProcess, access: ModelAccess
) -> None:
    await rule(model, {"blocks": [{"text": "hi there"}]})
    answer = await ask(access)
    assert answer.json()["content"][0]["text"] == "hi there"
    async with MessagesControl(model.url) as control:
        seen = (await control.requests())[-1]
    assert seen.auth == "x-api-key"


async def test_somebody_without_the_token_gets_nothing(
    model: StandinProcess, access: ModelAccess
) -> None:
    answer = await ask(access, **{"x-api-key": "wrong"})
    assert answer.status_code == 401
    async with MessagesControl(model.url) as control:
        assert await control.requests() == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [({"kind": "rate_limit", "retry_after": 7}, 429), ({"kind": "overloaded"}, 529)],
)
async def test_a_refusal_is_handed_through_with_its_headers(
    model: StandinProcess, access: ModelAccess, fault: dict[str, object], status: int
) -> None:
    await rule(model, {"blocks": [{"text": "x"}], "fault": fault})
    answer = await ask(access)
    assert answer.status_code == status
    if status == 429:
        assert answer.headers["retry-after"] == "7"


async def test_a_broken_connection_is_handed_through_as_one(
    model: StandinProcess, access: ModelAccess
) -> None:
    await rule(model, {"blocks": [{"text": "x" * 4000}], "fault": {"kind": "drop_before"}})
    with pytest.raises(httpx.TransportError):
        await ask(access)


async def test_a_model_that_is_not_there_is_told_as_an_api_error(tmp_path: Path) -> None:
    credentials = Credentials("ANTHROPIC_API_KEY", KEY, "http://127.0.0.1:9")
    access, gateway = await open_gateway(credentials, config_folder=tmp_path)
    answer = await ask(access)
    await gateway.stop()
    assert answer.status_code == 502
    assert "cannot be reached" in answer.json()["error"]["message"]
