"""The HTTP answers of the Messages stand-in: right ones, errors in the API's form, broken ones."""

import asyncio
import json
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agentos.loopback.serving import Silence, cut
from agentos.standins.messages.answer import events_of
from agentos.standins.script import Fault, FaultKind, Reply

Json = dict[str, Any]

_ERRORS: dict[FaultKind, tuple[int, str, str]] = {
    FaultKind.rate_limit: (429, "rate_limit_error", "This request would exceed your rate limit."),
    FaultKind.overloaded: (529, "overloaded_error", "Overloaded"),
    FaultKind.server_error: (500, "api_error", "Internal server error"),
    FaultKind.auth: (401, "authentication_error", "invalid x-api-key"),
    FaultKind.bad_request: (400, "invalid_request_error", "messages: the request is not valid"),
    FaultKind.not_found: (404, "not_found_error", "model: there is none of this name"),
}


class Trickle(Response):
    """A body sent piece by piece. After `cut_after` pieces the connection is cut instead."""

    def __init__(
        self,
        pieces: Iterable[bytes],
        *,
        media_type: str,
        gap: timedelta = timedelta(0),
        length: int | None = None,
        cut_after: int | None = None,
        silence: timedelta | None = None,
    ) -> None:
        super().__init__(media_type=media_type)
        self._pieces = list(pieces)
        self._gap = gap.total_seconds()
        self._cut_after = cut_after
        self._silence = silence
        headers = MutableHeaders(raw=self.raw_headers)
        del headers["content-length"]
        if length is not None:
            headers["content-length"] = str(length)
        headers["request-id"] = new_request_id()
        headers["cache-control"] = "no-cache"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers, then what this answer has of a body."""
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        if self._silence is not None:
            # An empty body part pushes the headers out; nothing follows them.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            await asyncio.sleep(self._silence.total_seconds())
            await cut(scope)
            return
        for number, piece in enumerate(self._pieces):
            if number == self._cut_after:
                await cut(scope)
                return
            if number and self._gap:
                await asyncio.sleep(self._gap)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if self._cut_after is not None:
            await cut(scope)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def new_request_id() -> str:
    """A fresh id of the form that the API gives its requests."""
    return f"req_{uuid.uuid4().hex[:24]}"


def error(status: int, kind: str, message: str, *, headers: Json | None = None) -> Response:
    """An error as the API words it, its request id in the header and in the body."""
    request_id = new_request_id()
    body = {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }
    return JSONResponse(
        body, status_code=status, headers={**(headers or {}), "request-id": request_id}
    )


def answer(message: Json, *, streamed: bool, reply: Reply | None = None) -> Response:
    """The message as it is meant to arrive."""
    gap = timedelta(milliseconds=reply.chunk_delay_ms if reply else 0)
    if not streamed:
        return JSONResponse(message, headers={"request-id": new_request_id()})
    return Trickle(events_of(message), media_type="text/event-stream; charset=utf-8", gap=gap)


def faulty_answer(message: Json, *, fault: Fault, streamed: bool) -> Response:
    """The message as it must not arrive: refused, cut, silent, slow or garbled."""
    match fault.kind:
        case FaultKind.drop_before:
            return Silence()
        case FaultKind.drop:
            return _cut_short(message, streamed=streamed, after=fault.after_chunks)
        case FaultKind.stall:
            silence = timedelta(seconds=fault.seconds)
            return Trickle([], media_type=_media_type(streamed), silence=silence)
        case FaultKind.nonsense:
            garbled = b"event: message_start\ndata: {oops\n\n" if streamed else b"<html>oops"
            return Trickle([garbled], media_type=_media_type(streamed))
        case FaultKind.slow:
            return _spread(message, streamed=streamed, over=timedelta(seconds=fault.seconds))
        case _:
            return _refusal(fault)


def _refusal(fault: Fault) -> Response:
    status, kind, words = _ERRORS[fault.kind]
    if fault.kind is FaultKind.server_error:
        status = fault.status
    return error(status, kind, fault.message or words, headers=_limit_headers(fault))


def _limit_headers(fault: Fault) -> Json:
    headers = {}
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    if fault.kind is FaultKind.rate_limit and fault.reset_at is not None:
        headers["anthropic-ratelimit-unified-status"] = "rejected"
        headers["anthropic-ratelimit-unified-representative-claim"] = "five_hour"
        headers["anthropic-ratelimit-unified-reset"] = str(int(fault.reset_at.timestamp()))
    return headers


def _cut_short(message: Json, *, streamed: bool, after: int) -> Response:
    if streamed:
        return Trickle(events_of(message), media_type=_media_type(True), cut_after=after)
    whole = json.dumps(message).encode()
    half = whole[: len(whole) // 2]
    return Trickle([half], media_type=_media_type(False), length=len(whole), cut_after=1)


def _spread(message: Json, *, streamed: bool, over: timedelta) -> Response:
    whole = json.dumps(message).encode()
    pieces = list(events_of(message)) if streamed else [whole[:1], whole[1:]]
    return Trickle(pieces, media_type=_media_type(streamed), gap=over / max(1, len(pieces) - 1))


def _media_type(streamed: bool) -> str:
    return "text/event-stream; charset=utf-8" if streamed else "application/json"
