"""Talking to a running Messages stand-in: give it rules, ask what it was asked."""

import asyncio
import re
import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import BaseModel, ConfigDict

from agentos.standins.script import Rule

_POLL = 0.03


class SeenRequest(BaseModel):
    """One POST /v1/messages, as the stand-in recorded it.

    `at` is wall time, `monotonic` the machine's monotonic clock, both at arrival, in seconds.
    `rule` is the name of the rule that served it, or "house". `auth` names the header that
    carried a credential.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    index: int
    at: float
    monotonic: float
    auth: str | None
    headers: dict[str, str]
    outcome: str = ""
    model: str = ""
    session_id: str | None = None
    system: str = ""
    prompt: str = ""
    tools: list[str] = []
    schema_properties: list[str] = []
    tool_results: list[str] = []
    tool_errors: list[str] = []
    cwd: str = ""
    streamed: bool = False
    input_tokens: int = 0
    told: list[str] = []
    rule: str | None = None
    reply: int | None = None
    fault: str | None = None


class MessagesControl:
    """The controls of one stand-in, for async callers. Use as a context manager."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def add_rules(self, rules: Sequence[Rule], *, replace: bool = False) -> None:
        """Rules to try after those that are there, or instead of them."""
        _checked(await self._client.post("/_standin/rules", json=_rules_body(rules, replace)))

    async def requests(self, *, since: int = 0) -> list[SeenRequest]:
        """What came, from request number `since` on."""
        return _seen(await self._client.get("/_standin/requests", params={"since": since}))

    async def wait_for_request(
        self,
        prompt: str,
        *,
        timeout: timedelta = timedelta(seconds=30),  # noqa: ASYNC109
        since: int = 0,
    ) -> SeenRequest:
        """The first request whose prompt matches the regex, or TimeoutError."""
        deadline = time.monotonic() + timeout.total_seconds()
        while True:
            requests = await self.requests(since=since)
            for request in requests:
                if request.prompt and re.search(prompt, request.prompt):
                    return request
            if time.monotonic() > deadline:
                raise TimeoutError(f"no request matches {prompt!r}; {len(requests)} came")
            await asyncio.sleep(_POLL)

    async def reset(self) -> None:
        """Back to the script it was started with, nothing recorded."""
        _checked(await self._client.post("/_standin/reset"))


class BlockingMessagesControl:
    """The same for callers without an event loop: the demo's start and command lines."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def add_rules(self, rules: Sequence[Rule], *, replace: bool = False) -> None:
        """Rules to try after those that are there, or instead of them."""
        _checked(self._client.post("/_standin/rules", json=_rules_body(rules, replace)))

    def requests(self, *, since: int = 0) -> list[SeenRequest]:
        """What came, from request number `since` on."""
        return _seen(self._client.get("/_standin/requests", params={"since": since}))

    def reset(self) -> None:
        """Back to the script it was started with, nothing recorded."""
        _checked(self._client.post("/_standin/reset"))


def _rules_body(rules: Sequence[Rule], replace: bool) -> dict[str, Any]:
    told = [rule.model_dump(mode="json", exclude_unset=True) for rule in rules]
    return {"rules": told, "replace": replace}


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise ValueError(response.json().get("error", response.text))
    return response


def _seen(response: httpx.Response) -> list[SeenRequest]:
    return [SeenRequest.model_validate(one) for one in _checked(response).json()["requests"]]
