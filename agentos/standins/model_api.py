"""A stand-in of any model's API: rules are played, requests recorded; the form is a `Wire`'s.

The rules, their faults and the /_standin/ endpoints are those of the Messages stand-in, so
`MessagesControl` talks to each of these as well.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentos.loopback.serving import Silence
from agentos.standins import house_model
from agentos.standins.controls import ControlRefused, read_body, refuse
from agentos.standins.messages.app import RulesBody
from agentos.standins.messages.playbook import Playbook, Scripted
from agentos.standins.messages.replies import Trickle
from agentos.standins.messages.turn import Turn
from agentos.standins.placeholders import fill
from agentos.standins.recording import Record, Recording
from agentos.standins.script import Block, Fault, FaultKind, Reply, Script

Json = dict[str, Any]

_STATUS = {
    FaultKind.rate_limit: 429,
    FaultKind.overloaded: 529,
    FaultKind.auth: 401,
    FaultKind.bad_request: 400,
    FaultKind.not_found: 404,
}
_STREAM = "text/event-stream; charset=utf-8"
# Where the APIs take a credential. It is never kept.
_CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
_SECRET_HEADERS = frozenset({*_CREDENTIALS, "cookie", "proxy-authorization"})
_SYSTEM_KEPT = 20_000


class Wire(Protocol):
    """The form of one API."""

    # As in "responses stand-in".
    kind: str
    # The paths of requests that want an answer of the model (Starlette's patterns), all POST.
    paths: tuple[str, ...]

    def problem_with(self, body: Any, *, path: Mapping[str, str]) -> tuple[int, str] | None:
        """Status and words when the API would refuse a body; `path` is what the pattern matched."""
        ...

    def read_turn(self, body: Json, *, path: Mapping[str, str], headers: Headers) -> Turn:
        """What a request asks. Its `key` is the same for all requests of a turn."""
        ...

    def message(self, turn: Turn, *, blocks: list[Block], reply: Reply | None) -> Json:
        """The whole answer, as the API gives it when nothing is streamed."""
        ...

    def pieces(self, message: Json) -> Iterable[bytes]:
        """The same as server-sent events, one a piece."""
        ...

    def error(self, status: int, message: str, *, headers: Mapping[str, str]) -> Response:
        """A refusal in the words of the API; empty words take those that are usual."""
        ...


class ModelStandin:
    """The rules that are played and the requests that came, for one API."""

    def __init__(self, script: Script, *, wire: Wire) -> None:
        self._script = script
        self._wire = wire
        self._playbook = Playbook(script.rules)
        self._recording = Recording()

    def app(self) -> Starlette:
        """The whole server."""
        routes = [
            Route("/", self._root, methods=["GET", "HEAD"]),
            *(Route(path, self._asked, methods=["POST"]) for path in self._wire.paths),
            Route("/_standin/rules", self._add_rules, methods=["POST"]),
            Route("/_standin/requests", self._requests),
            Route("/_standin/reset", self._reset, methods=["POST"]),
        ]
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        return Starlette(
            routes=routes,
            middleware=[hosts],
            exception_handlers={ControlRefused: refuse, 404: self._not_found},
        )

    async def _root(self, request: Request) -> Response:
        return JSONResponse({"standin": self._wire.kind})

    async def _not_found(self, request: Request, wrong: Exception) -> Response:
        return self._wire.error(404, f"No such endpoint: {request.url.path}", headers={})

    async def _asked(self, request: Request) -> Response:
        record = self._recording.add(auth=_auth(request), headers=_harmless(request))
        try:
            body = _parsed(await request.body())
        except ClientDisconnect:
            record["outcome"] = "client_went_away"
            return Response(status_code=400)
        if record["auth"] is None:
            return self._refused(record, 401, "")
        path = {name: str(value) for name, value in request.path_params.items()}
        if problem := self._wire.problem_with(body, path=path):
            return self._refused(record, *problem)
        turn = self._wire.read_turn(body, path=path, headers=request.headers)
        record.update(_told(turn))
        scripted = self._playbook.choose(turn)
        if scripted is None:
            record.update(rule="house", reply=turn.answered, fault=None, outcome="served")
            message = self._wire.message(turn, blocks=house_model.answer(turn), reply=None)
            return self._answer(message, streamed=turn.streamed, gap=timedelta(0))
        return await self._play(turn, scripted=scripted, record=record)

    async def _play(self, turn: Turn, *, scripted: Scripted, record: Record) -> Response:
        fault, reply = scripted.fault, scripted.reply
        record.update(rule=scripted.rule, reply=scripted.position, fault=fault and fault.kind.value)
        if reply is None:
            problem = f"stand-in: {scripted.rule} has no reply number {scripted.position + 1}"
            return self._refused(record, 400, problem)
        record["outcome"] = "faulted" if fault else "served"
        if reply.delay_ms:
            await asyncio.sleep(reply.delay_ms / 1000)
        told = [block.model_dump(exclude_unset=True) for block in reply.blocks]
        blocks = [Block.model_validate(fill(one, values=scripted.values)) for one in told]
        message = self._wire.message(turn, blocks=blocks, reply=reply)
        if fault is not None:
            return self._faulty(message, fault=fault, streamed=turn.streamed)
        gap = timedelta(milliseconds=reply.chunk_delay_ms)
        return self._answer(message, streamed=turn.streamed, gap=gap)

    def _answer(self, message: Json, *, streamed: bool, gap: timedelta) -> Response:
        if not streamed:
            return JSONResponse(message)
        return Trickle(self._wire.pieces(message), media_type=_STREAM, gap=gap)

    def _faulty(self, message: Json, *, fault: Fault, streamed: bool) -> Response:
        pieces = list(self._wire.pieces(message)) if streamed else [json.dumps(message).encode()]
        media_type = _STREAM if streamed else "application/json"
        match fault.kind:
            case FaultKind.drop_before:
                return Silence()
            case FaultKind.drop:
                after = min(fault.after_chunks, len(pieces))
                return Trickle(pieces, media_type=media_type, cut_after=after)
            case FaultKind.stall:
                silence = timedelta(seconds=fault.seconds)
                return Trickle([], media_type=media_type, silence=silence)
            case FaultKind.nonsense:
                garbled = b"event: oops\ndata: {oops\n\n" if streamed else b"<html>oops"
                return Trickle([garbled], media_type=media_type)
            case FaultKind.slow:
                gap = timedelta(seconds=fault.seconds) / max(1, len(pieces) - 1)
                return Trickle(pieces, media_type=media_type, gap=gap)
            case _:
                status = _STATUS.get(fault.kind, fault.status)
                after_words = (
                    {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
                )
                return self._wire.error(status, fault.message or "", headers=after_words)

    def _refused(self, record: Record, status: int, problem: str) -> Response:
        record["outcome"] = f"refused: {problem or status}"
        return self._wire.error(status, problem, headers={})

    async def _add_rules(self, request: Request) -> Response:
        body = await read_body(request, model=RulesBody)
        if body.replace:
            self._playbook.clear()
        self._playbook.append(body.rules)
        return JSONResponse({"rules": len(self._playbook)})

    async def _requests(self, request: Request) -> Response:
        since = int(request.query_params.get("since", "0"))
        return JSONResponse({"requests": self._recording.since(since)})

    async def _reset(self, request: Request) -> Response:
        """Back to the start: the script that was given, nothing recorded."""
        self._playbook = Playbook(self._script.rules)
        self._recording.clear()
        return JSONResponse({"ok": True})


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _auth(request: Request) -> str | None:
    """Which header carried a credential."""
    return next((name for name in _CREDENTIALS if request.headers.get(name)), None)


def _harmless(request: Request) -> dict[str, str]:
    return {name: text for name, text in request.headers.items() if name not in _SECRET_HEADERS}


def _told(turn: Turn) -> Record:
    return {
        "model": turn.model,
        "session_id": turn.session_id,
        "system": turn.system[:_SYSTEM_KEPT],
        "prompt": turn.prompt,
        "tools": list(turn.tools),
        "schema_properties": list(turn.schema_properties),
        "tool_results": list(turn.tool_results),
        "tool_errors": list(turn.tool_errors),
        "cwd": turn.cwd,
        "streamed": turn.streamed,
        "input_tokens": turn.input_tokens,
    }
