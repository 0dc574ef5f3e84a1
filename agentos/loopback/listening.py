"""A door for HTTP in the daemon itself: for a webhook, and for whoever asks how it is."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_TRY_AGAIN_SECONDS = 5.0
_END_WITHIN_SECONDS = 3.0


@dataclass(frozen=True)
class Call:
    """A request: its headers in lower case, and its body for whoever wants it."""

    headers: Mapping[str, str]
    request: Request

    async def read(self, *, most: int) -> bytes | None:
        """The body; None when it is larger than `most` bytes, or ends in the middle."""
        told = self.headers.get("content-length", "0")
        if not told.isdigit() or int(told) > most:
            return None
        body = b""
        try:
            async for piece in self.request.stream():
                body += piece
                if len(body) > most:
                    return None
        except ClientDisconnect:
            return None
        return body


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    status: int = 200
    content: dict[str, Any] = field(default_factory=dict)


Answer = Callable[[Call], Awaitable[Reply]]


class _Quiet(uvicorn.Server):
    """A server that leaves the signals to the daemon it is in."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Listener:
    """Listens at one address; what it answers is added before it runs."""

    def __init__(self, address: str, *, announce: Callable[[str], None]) -> None:
        self.address = address
        self._announce = announce
        self._routes: list[Route] = []

    def add(self, path: str, answer: Answer, *, method: str) -> None:
        """Answer a method at a path."""

        async def respond(request: Request) -> Response:
            reply = await answer(Call(request.headers, request))
            return JSONResponse(reply.content, status_code=reply.status)

        self._routes.append(Route(path, respond, methods=[method]))

    async def run(self) -> None:
        """Listen until cancelled. An address that is taken is told of once, and tried again."""
        is_told = False
        while True:
            try:
                door = self._open()
            except OSError as error:
                if not is_told:
                    self._announce(f"Nothing can listen at {self.address} ({error.strerror}).")
                is_told = True
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                continue
            await self._serve(door)

    def _open(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        return socket.create_server((host.strip("[]"), int(port)), backlog=128)

    async def _serve(self, door: socket.socket) -> None:
        config = uvicorn.Config(
            Starlette(routes=self._routes),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=100,
            timeout_graceful_shutdown=1,
        )
        server = _Quiet(config)
        serving = asyncio.create_task(server.serve(sockets=[door]))
        try:
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await asyncio.wait([serving], timeout=_END_WITHIN_SECONDS)
            door.close()
