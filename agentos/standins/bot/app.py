"""The Bot API stand-in: a call from the socket to its recorded outcome."""

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agentos.loopback.serving import Silence
from agentos.standins.bot.faults import CallFault, FaultPlan, PlannedFault
from agentos.standins.bot.limits import FloodLimits
from agentos.standins.bot.methods import LIMITED, METHODS, Method
from agentos.standins.bot.params import Params, read_params
from agentos.standins.bot.person import PersonControls
from agentos.standins.bot.polling import get_updates
from agentos.standins.bot.refusal import Refused, flood
from agentos.standins.bot.updates import PollAbandoned
from agentos.standins.bot.webhook import Carrier
from agentos.standins.bot.world import World
from agentos.standins.controls import ControlRefused, read_body, refuse
from agentos.standins.recording import Record, Recording

_BLOCKED = "bot was blocked by the user"
_FAKE_PIECE = 65536


class BotStandin:
    """One bot, its world, the faults planned for it, and every call it made."""

    def __init__(self, *, token: str, limits: bool = False) -> None:
        self._token = token
        self._with_limits = limits
        self._calls = Recording()
        self._faults = FaultPlan()
        self._carrier = Carrier()
        self._limits: FloodLimits | None = None
        self._begin()

    def app(self) -> Starlette:
        """The whole server."""
        acting = ("say", "edit", "tap", "send_file", "delete_topic", "duplicate")
        routes = [
            Route("/bot{token}/{method}", self._call, methods=["GET", "POST"]),
            Route("/file/bot{token}/{path:path}", self._download),
            *[Route(f"/_standin/{name}", self._person(name), methods=["POST"]) for name in acting],
            Route("/_standin/chat", self._person("look")),
            Route("/_standin/file", self._person("open_file")),
            Route("/_standin/faults", self._plan_fault, methods=["POST"]),
            Route("/_standin/calls", self._list_calls),
            Route("/_standin/reset", self._reset, methods=["POST"]),
        ]
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        return Starlette(
            routes=routes,
            middleware=[hosts],
            exception_handlers={ControlRefused: refuse, 404: _not_found},
        )

    def _begin(self) -> None:
        bot_id = self._token.partition(":")[0]
        self._world = World(bot_id=int(bot_id) if bot_id.isdigit() else 1000001)
        self._limits = FloodLimits() if self._with_limits else None
        self._faults.clear()
        self._calls.clear()

    def _person(self, name: str) -> Any:
        async def act(request: Request) -> Response:
            response: Response = await getattr(PersonControls(self._world), name)(request)
            return response

        return act

    async def _call(self, request: Request) -> Response:
        method = request.path_params["method"]
        record = self._calls.add(method=method, params={}, outcome="pending")
        try:
            response = await self._answered(request, method=method, record=record)
        except Refused as refused:
            record["outcome"] = refused.description
            return JSONResponse(refused.body(), status_code=refused.code)
        except (PollAbandoned, ClientDisconnect):
            record["outcome"] = "client_went_away"
            return Silence()
        except asyncio.CancelledError:
            record["outcome"] = "cancelled"
            raise
        return response

    async def _answered(self, request: Request, *, method: str, record: Record) -> Response:
        if request.path_params["token"] != self._token:
            raise Refused(401)
        params = await read_params(request)
        record["params"] = params.told()
        fault = self._faults.take(method)
        if fault is not None:
            record["fault"] = fault.kind.value
            if fault.kind is not CallFault.drop_after:
                return await _gone_wrong(fault, record=record)
        result = await self._perform(request, method=method, params=params)
        record["outcome"] = "ok"
        if method.lower() != "getupdates":
            record["result"] = result
        return Silence() if fault else JSONResponse({"ok": True, "result": result})

    async def _perform(self, request: Request, *, method: str, params: Params) -> Any:
        name = method.lower()
        if name == "getupdates":
            return await get_updates(self._world, params, gone=request.is_disconnected)
        known: Method | None = {
            "setwebhook": self._carrier.set_webhook,
            "deletewebhook": self._carrier.delete_webhook,
            "getwebhookinfo": self._carrier.get_webhook_info,
        }.get(name) or METHODS.get(name)
        if known is None:
            raise Refused(404)
        if self._limits is not None and name in LIMITED:
            self._limits.spend(params.integer("chat_id") or 0)
        return await known(self._world, params)

    async def _download(self, request: Request) -> Response:
        """The bytes of a file; of one that is only claimed, as many zeros."""
        wanted = request.path_params["path"]
        files = self._world.files.values()
        file = next((one for one in files if one.path == wanted), None)
        if request.path_params["token"] != self._token or file is None:
            return JSONResponse(Refused(404).body(), status_code=404)
        if file.content is not None:
            return Response(file.content, media_type="application/octet-stream")
        full, rest = divmod(file.size, _FAKE_PIECE)
        pieces = (bytes(size) for size in [*[_FAKE_PIECE] * full, rest])
        return StreamingResponse(pieces, media_type="application/octet-stream")

    async def _plan_fault(self, request: Request) -> Response:
        self._faults.add(await read_body(request, model=PlannedFault))
        return JSONResponse({"ok": True})

    async def _list_calls(self, request: Request) -> Response:
        since = int(request.query_params.get("since", "0"))
        wanted = request.query_params.get("method", "").lower()
        calls = self._calls.since(since)
        chosen = [call for call in calls if not wanted or call["method"].lower() == wanted]
        return JSONResponse({"calls": chosen})

    async def _reset(self, request: Request) -> Response:
        """A new world; a bot that polls finds itself in it with its next poll."""
        updates = self._world.updates.successor()
        await self._carrier.stop()
        self._begin()
        self._world.updates = updates
        return JSONResponse({"ok": True})


async def _gone_wrong(fault: PlannedFault, *, record: Record) -> Response:
    record["outcome"] = f"fault {fault.kind.value}"
    match fault.kind:
        case CallFault.flood:
            raise flood(fault.retry_after)
        case CallFault.forbidden:
            raise Refused(403, _BLOCKED)
        case CallFault.conflict:
            raise Refused(409, "terminated by other getUpdates request")
        case CallFault.bad_gateway:
            return HTMLResponse("<html><h1>502 Bad Gateway</h1></html>", status_code=502)
        case CallFault.hang:
            await asyncio.sleep(fault.seconds)
            return Silence()
        case CallFault.drop_before:
            return Silence()
        case _:
            raise Refused(int(fault.kind.value))


async def _not_found(request: Request, wrong: Exception) -> Response:
    return JSONResponse(Refused(404).body(), status_code=404)
