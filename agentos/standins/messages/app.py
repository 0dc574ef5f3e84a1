"""The Messages API stand-in: the endpoints, from a request to its recorded answer."""

import asyncio
import json
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentos.standins import house_model
from agentos.standins.controls import ControlRefused, read_body, refuse
from agentos.standins.messages.answer import build_message
from agentos.standins.messages.playbook import Playbook, Scripted
from agentos.standins.messages.replies import answer, error, faulty_answer
from agentos.standins.messages.turn import Turn, count_tokens, problem_with, read_turn
from agentos.standins.placeholders import fill
from agentos.standins.recording import Record, Recording
from agentos.standins.script import Block, Script

_MODELS = (
    ("claude-opus-5-5", "Claude Opus 5.5"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5"),
    ("claude-haiku-5-5", "Claude Haiku 5.5"),
)
_SECRET_HEADERS = frozenset({"x-api-key", "authorization", "cookie", "proxy-authorization"})
_SYSTEM_KEPT = 20_000


class RulesBody(Script):
    """The body of POST /_standin/rules."""

    replace: bool = False


class MessagesStandin:
    """The rules that are played and the requests that came."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._playbook = Playbook(script.rules)
        self._recording = Recording()

    def app(self) -> Starlette:
        """The whole server."""
        routes = [
            Route("/", self._root, methods=["GET", "HEAD"]),
            Route("/v1/models", self._models),
            Route("/v1/messages", self._messages, methods=["POST"]),
            Route("/v1/messages/count_tokens", self._count_tokens, methods=["POST"]),
            Route("/_standin/rules", self._add_rules, methods=["POST"]),
            Route("/_standin/requests", self._requests),
            Route("/_standin/reset", self._reset, methods=["POST"]),
        ]
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        return Starlette(
            routes=routes,
            middleware=[hosts],
            exception_handlers={ControlRefused: refuse, 404: _not_found},
        )

    async def _root(self, request: Request) -> Response:
        return JSONResponse({"standin": "messages"})

    async def _models(self, request: Request) -> Response:
        data = [
            {
                "type": "model",
                "id": name,
                "display_name": title,
                "created_at": "2025-10-01T00:00:00Z",
            }
            for name, title in _MODELS
        ]
        ends = {"first_id": _MODELS[0][0], "last_id": _MODELS[-1][0]}
        return JSONResponse({"data": data, "has_more": False, **ends})

    async def _count_tokens(self, request: Request) -> Response:
        body = await _json(request)
        if problem := problem_with(body):
            return error(400, "invalid_request_error", problem)
        return JSONResponse({"input_tokens": count_tokens(body)})

    async def _messages(self, request: Request) -> Response:
        record = self._recording.add(auth=_auth(request), headers=_harmless_headers(request))
        try:
            body = await _json(request)
        except ClientDisconnect:
            record["outcome"] = "client_went_away"
            return Response(status_code=400)
        if record["auth"] is None:
            return _refused(record, 401, "authentication_error", "x-api-key header is required")
        if problem := problem_with(body):
            return _refused(record, 400, "invalid_request_error", problem)
        turn = read_turn(body)
        record.update(_told(turn))
        scripted = self._playbook.choose(turn)
        if scripted is None:
            record.update(rule="house", reply=turn.answered, fault=None, outcome="served")
            message = build_message(turn, blocks=house_model.answer(turn))
            return answer(message, streamed=turn.streamed)
        return await self._play(turn, scripted=scripted, record=record)

    async def _play(self, turn: Turn, *, scripted: Scripted, record: Record) -> Response:
        fault, reply = scripted.fault, scripted.reply
        record.update(rule=scripted.rule, reply=scripted.position, fault=fault and fault.kind.value)
        if reply is None:
            problem = f"stand-in: {scripted.rule} has no reply number {scripted.position + 1}"
            return _refused(record, 400, "invalid_request_error", problem)
        record["outcome"] = "faulted" if fault else "served"
        if reply.delay_ms:
            await asyncio.sleep(reply.delay_ms / 1000)
        told = [block.model_dump(exclude_unset=True) for block in reply.blocks]
        blocks = [Block.model_validate(fill(one, values=scripted.values)) for one in told]
        message = build_message(
            turn, blocks=blocks, usage=reply.usage, stop_reason=reply.stop_reason
        )
        if fault is None:
            return answer(message, streamed=turn.streamed, reply=reply)
        return faulty_answer(message, fault=fault, streamed=turn.streamed)

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


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError:
        return None


def _refused(record: Record, status: int, kind: str, problem: str) -> Response:
    record["outcome"] = f"refused: {problem}"
    return error(status, kind, problem)


async def _not_found(request: Request, wrong: Exception) -> Response:
    return error(404, "not_found_error", f"No such endpoint: {request.url.path}")


def _auth(request: Request) -> str | None:
    """Which header carried a credential. The credential itself is never kept."""
    for name in ("x-api-key", "authorization"):
        if request.headers.get(name):
            return name
    return None


def _harmless_headers(request: Request) -> dict[str, str]:
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
        "told": list(turn.told),
    }
