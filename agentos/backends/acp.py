"""The Agent Client Protocol: JSON-RPC 2.0 over the standard streams of a CLI, one object a line.

Only what a session of ours needs is here: asking, hearing what the agent says until it answers,
and answering what it asks itself. What the objects mean is for the backend that speaks with it.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from agentos.backends.cli_process import CliProcess, Json

VERSION = 1
_NO_SUCH_METHOD = -32601


class Refused(Exception):
    """The agent answered with an error: a code of JSON-RPC, or the HTTP status of a model."""

    def __init__(self, code: int, words: str) -> None:
        self.code = code
        self.words = words
        super().__init__(words)


class Gone(Exception):
    """The agent's output has ended, or it did not answer in time."""


class AcpAgent:
    """Speaks with one running agent; one question at a time."""

    def __init__(self, process: CliProcess) -> None:
        self._process = process
        self._asked = 0
        self._said: asyncio.Queue[Json | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def ask(self, method: str, params: Json) -> AsyncGenerator[Json, None]:
        """What the agent says until it answers; the last is its answer, `{"result": …}`.

        Raises Refused for an error, Gone when it ends before.
        """
        self._asked += 1
        await self._process.say(
            {"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params}
        )
        while True:
            said = await self._next()
            if "method" in said or said.get("id") != self._asked:
                yield said
                continue
            if "error" in said:
                raise _refused(said["error"])
            result = said.get("result")
            yield {"result": result if isinstance(result, dict) else {}}
            return

    async def call(self, method: str, params: Json, *, within: timedelta) -> Json:
        """The answer alone; what is said before it is of no use."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                async for said in self.ask(method, params):
                    if "result" in said:
                        result: Json = said["result"]
                        return result
        except TimeoutError as error:
            raise Gone(f"no answer to {method} for {within.total_seconds():g} seconds") from error
        raise Gone

    async def drain(self, *, until: str, within: timedelta) -> None:
        """Let go of updates up to the first of a kind, or for as long as that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                while kind_of(await self._next()) != until:
                    pass

    async def answer(self, asked: Json, result: Json) -> None:
        """Answer a question of the agent's."""
        await self._process.say({"jsonrpc": "2.0", "id": asked.get("id"), "result": result})

    async def decline(self, asked: Json) -> None:
        """Say that we have no such method; a notification gets no answer."""
        if "id" in asked:
            error = {"code": _NO_SUCH_METHOD, "message": f"no method {asked.get('method')}"}
            await self._process.say({"jsonrpc": "2.0", "id": asked["id"], "error": error})

    async def close(self) -> None:
        """Stop listening."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _next(self) -> Json:
        said = await self._said.get()
        if said is None:
            self._said.put_nowait(None)  # it stays ended
            raise Gone
        return said

    async def _read(self) -> None:
        """In a task of its own, so that who stops waiting does not stop the reading."""
        try:
            async for said in self._process.objects():
                self._said.put_nowait(said)
        finally:
            self._said.put_nowait(None)


def update_of(said: Json) -> Json:
    """The update that a notification brings; empty when it brings none."""
    params = said.get("params") if said.get("method") == "session/update" else None
    update = params.get("update") if isinstance(params, dict) else None
    return update if isinstance(update, dict) else {}


def kind_of(said: Json) -> str:
    """What kind of update a notification is."""
    return str(update_of(said).get("sessionUpdate", ""))


def _refused(error: Any) -> Refused:
    told = error if isinstance(error, dict) else {"message": str(error)}
    code = told.get("code")
    words = str(told.get("message") or "it did not say why")
    details = told.get("data")
    if isinstance(details, dict) and details.get("details"):
        words = f"{words}: {details['details']}"
    return Refused(code if isinstance(code, int) else 0, " ".join(words.split())[:500])
