"""opencode's own server (`opencode serve`) on loopback: its process, its requests, its events."""

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Self

import httpx

from agentos.backends.cli_backend import cause
from agentos.backends.cli_process import CliProcess, Command, Json
from agentos.domain.frames import Failure

_NAME = "opencode"
_USER = "opencode"
_START_WITHIN = timedelta(seconds=120)
_ANSWER_WITHIN = timedelta(seconds=60)
_LISTENING = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")


class Gone(Exception):
    """The server has ended, or is none."""

    def __init__(self, failure: Failure, problem: str) -> None:
        self.failure = failure
        self.problem = problem
        super().__init__(problem)


class OpencodeServer:
    """One running server. Use `start`, then `end`, come what may."""

    def __init__(self, command: Command, *, password: str) -> None:
        self._process = CliProcess(command, name=_NAME)
        self._password = password
        self._client: httpx.AsyncClient | None = None
        self._events: asyncio.Queue[Json | None] = asyncio.Queue()
        self._side: list[asyncio.Task[None]] = []
        self._ended = False

    async def start(self) -> Self:
        """Start it and listen. Raises Gone when it does not, BackendFailed without a CLI."""
        await self._process.__aenter__()
        try:
            line = await self._process.line(within=_START_WITHIN)
            found = _LISTENING.search(line)
            if found is None:
                raise await self._gone(line)
            self._client = httpx.AsyncClient(
                base_url=found[1],
                auth=(_USER, self._password),
                timeout=_ANSWER_WITHIN.total_seconds(),
                trust_env=False,
            )
            connected = asyncio.Event()
            self._side = [
                asyncio.create_task(self._drain()),
                asyncio.create_task(self._listen(connected)),
            ]
            async with asyncio.timeout(_ANSWER_WITHIN.total_seconds()):
                await connected.wait()
            if not self.running:
                raise await self._gone("")
        except TimeoutError:
            await self.end()
            raise Gone(Failure.crashed, "its server does not tell what it does") from None
        except BaseException:
            await self.end()
            raise
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is there and tells what it does."""
        return self._process.running and not self._ended

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request; its JSON, or None for one that is not found. Raises Gone."""
        assert self._client is not None
        try:
            answer = await self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise await self._gone("") from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            words = " ".join(answer.text.split())[:300]
            raise Gone(Failure.crashed, f"its server says {answer.status_code}: {words}")
        with suppress(ValueError):
            return answer.json()
        return {}

    async def event(self) -> Json:
        """The next thing it tells. Raises Gone when it is no more."""
        event = await self._events.get()
        if event is None:
            raise await self._gone("")
        return event

    def forget_events(self) -> None:
        """Let go of what it told between two turns."""
        while not self._events.empty():
            if self._events.get_nowait() is None:
                self._events.put_nowait(None)  # it stays ended
                return

    async def end(self) -> None:
        """End it and what it started. Twice is fine."""
        for task in self._side:
            task.cancel()
        await asyncio.gather(*self._side, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
        await self._process.end()

    async def _gone(self, line: str) -> Gone:
        """What to say of it: its process has ended, or is of no use and is ended."""
        ending = await self._process.ended()
        if line and ending.exit_code == 0:
            return Gone(Failure.nonsense, f"its CLI talks nonsense: {line[:200]}")
        return Gone(*cause(ending))

    async def _drain(self) -> None:
        async for _ in self._process.objects():
            pass
        self._over()

    def _over(self) -> None:
        self._ended = True
        self._events.put_nowait(None)

    async def _listen(self, connected: asyncio.Event) -> None:
        assert self._client is not None
        try:
            async with self._client.stream("GET", "/event", timeout=None) as stream:
                async for line in stream.aiter_lines():
                    connected.set()
                    if event := _event(line):
                        self._events.put_nowait(event)
        except httpx.HTTPError:
            pass  # its end is told below
        finally:
            self._over()
            connected.set()  # whoever waits for that may see


def _event(line: str) -> Json | None:
    """The event on a line of the stream; None for what is none."""
    if not line.startswith("data:"):
        return None
    with suppress(ValueError, RecursionError):
        found = json.loads(line.removeprefix("data:"))
        if isinstance(found, dict) and isinstance(found.get("properties"), dict):
            return found
    return None
