"""Serve one app on loopback, say where on stdout, and go when the parent goes."""

import asyncio
import json
import os
import select
import socket
import sys
import threading
from typing import cast

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from agentos.loopback.process import PORT

_LOOPBACK = "127.0.0.1"
_TRANSPORT = "agentos.transport"


class CuttableConnection(H11Protocol):
    """HTTP/1.1 whose app may cut the connection under the client, as a real network does."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the app a way to its own transport."""
        super().connection_made(transport)
        inner = cast(ASGIApp, self.app)

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[_TRANSPORT] = transport
            await inner(scope, receive, send)

        self.app = with_transport


async def cut(scope: Scope) -> None:
    """Close the connection of a request at once: no end of body, no error, no reply."""
    transport: asyncio.Transport = scope[_TRANSPORT]
    transport.abort()
    # connection_lost runs in the loop's next round; before it uvicorn would still answer 500.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class Silence(Response):
    """The reply that never comes: the connection is closed before its first byte."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut, and send nothing."""
        await cut(scope)


class _Announcing(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        sys.stdout.write(json.dumps({"url": f"http://{_LOOPBACK}:{port}"}) + "\n")
        sys.stdout.flush()


def serve(app: ASGIApp, *, port: int, with_parent: bool) -> None:
    """Serve until a signal; with `with_parent` also until stdin ends or the parent is gone.

    Port 0 takes a free one. Once it listens, one JSON line with the url goes to stdout.
    """
    config = uvicorn.Config(
        app,
        http=CuttableConnection,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
    )
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((_LOOPBACK, port or int(os.environ.get(PORT, "0"))))
    if with_parent:
        threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    _Announcing(config).run(sockets=[listener])


def _leave_with_parent(parent: int) -> None:
    """Exit once stdin ends. The parent's id is watched too: its forks may hold the pipe open."""
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], 0.5)
        if readable and not os.read(sys.stdin.fileno(), 4096):
            break
    os._exit(0)
