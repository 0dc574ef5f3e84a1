"""The gateway: holds the model's key, so that no worker needs to.

A worker's CLI is given the address of this process and a token that is good for nothing else; the
gateway puts the real key into each request and hands the rest through, byte by byte. It runs as
`python -m agentos.backends.gateway` and reads one JSON line from its standard input:

    {"upstream": "https://…", "token": "<what the workers show>", "headers": {"x-api-key": "…"}}
"""

import json
import secrets
from collections.abc import AsyncIterator, Mapping

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agentos.loopback.serving import cut, serve

# These belong to one connection, not to the message on it (RFC 9110, 7.6.1); the credentials are
# replaced, and httpx sets the host and the length itself.
_NOT_PASSED = {
    "authorization",
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-api-key",
    "x-goog-api-key",
}
# Where the CLIs show their token; Google's also take it as a parameter of the address.
_SHOWN = ("x-api-key", "x-goog-api-key")
_PARAMETER = "key"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class Gateway:
    """Passes requests on with the real key."""

    def __init__(self, *, upstream: str, token: str, headers: Mapping[str, str]) -> None:
        self._token = token
        self._headers = dict(headers)
        # No limit on reading: a model may think for long, and who waits for it has a limit.
        timeout = httpx.Timeout(None, connect=15.0)
        self._client = httpx.AsyncClient(base_url=upstream, timeout=timeout)

    def app(self) -> Starlette:
        """The server."""
        return Starlette(routes=[Route("/{path:path}", self._pass, methods=_METHODS)])

    async def _pass(self, request: Request) -> Response:
        if not self._knows(request):
            return _error(401, "authentication_error", "this gateway serves agentos alone")
        headers = {
            name: value for name, value in request.headers.items() if name not in _NOT_PASSED
        }
        query = httpx.QueryParams(request.url.query).remove(_PARAMETER)
        outgoing = self._client.build_request(
            request.method,
            request.url.path + (f"?{query}" if query else ""),
            headers={**headers, **self._headers},
            content=await request.body(),
        )
        try:
            answer = await self._client.send(outgoing, stream=True)
        except httpx.ConnectError as error:
            return _error(502, "api_error", f"the model cannot be reached: {error}")
        except httpx.TransportError:
            await cut(request.scope)  # it hung up on us, so we hang up, too
            return Response(status_code=502)
        passed = {name: value for name, value in answer.headers.items() if name not in _NOT_PASSED}
        return StreamingResponse(_body(request, answer), answer.status_code, passed)

    def _knows(self, request: Request) -> bool:
        found = [request.headers.get(name) for name in _SHOWN]
        found += [request.headers.get("authorization"), request.query_params.get(_PARAMETER)]
        shown = next((each for each in found if each), "").removeprefix("Bearer ")
        return secrets.compare_digest(shown.encode(), self._token.encode())


async def _body(request: Request, answer: httpx.Response) -> AsyncIterator[bytes]:
    """The raw bytes as they come, still compressed if they were; a break is passed on as one."""
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    except httpx.TransportError:
        await cut(request.scope)
    finally:
        await answer.aclose()


def _error(status: int, kind: str, message: str) -> Response:
    body = {"type": "error", "error": {"type": kind, "message": message}}
    return JSONResponse(body, status_code=status)


if __name__ == "__main__":
    # Unbuffered: what follows on standard input, its end, is for `serve` to see.
    with open(0, "rb", buffering=0, closefd=False) as standard_input:
        settings = json.loads(standard_input.readline())
    serve(Gateway(**settings).app(), port=0, with_parent=True)
