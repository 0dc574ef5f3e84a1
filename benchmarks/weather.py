"""What lies between a model and its callers: at times it storms, and nothing gets through.

A storm is a fault of `agentos.standins.script` that meets every request for as long as it lasts.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from agentos.loopback.serving import cut
from agentos.standins.messages.replies import faulty_answer
from agentos.standins.script import Fault, FaultKind
from benchmarks.tripwire import MODEL, kind_of

_PARTS_BEFORE_THE_CUT = 3
# A model thinks: without that nothing would ever be in the middle of a turn.
_THINKS_SECONDS = 0.15


class Weather:
    """Over the app it wraps. Without a storm everything passes."""

    def __init__(self) -> None:
        self.storm: Fault | None = None
        # Requests that a storm has met.
        self.met = 0

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """The app, under this weather."""

        async def weathered(scope: Scope, receive: Receive, send: Send) -> None:
            if kind_of(scope) == MODEL:
                await asyncio.sleep(_THINKS_SECONDS)
            storm = self.storm
            if storm is None or kind_of(scope) != MODEL:
                await app(scope, receive, send)
                return
            self.met += 1
            if storm.kind is FaultKind.drop:
                await app(scope, receive, _cut_off(scope, send))
                return
            await faulty_answer({}, fault=storm, streamed=True)(scope, receive, send)

        return weathered


def _cut_off(scope: Scope, send: Send) -> Send:
    """Let the beginning of an answer pass, then cut its connection."""
    parts = 0

    async def sending(message: MutableMapping[str, Any]) -> None:
        nonlocal parts
        parts += 1
        if parts > _PARTS_BEFORE_THE_CUT:
            await cut(scope)
        else:
            await send(message)

    return sending
