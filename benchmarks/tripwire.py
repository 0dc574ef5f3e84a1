"""Killing at an exact moment: stand-ins in this process, and a wire that their traffic trips."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum, auto
from random import Random
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from agentos.loopback.serving import CuttableConnection, cut

MODEL = "model"
SENDS = frozenset({"sendmessage", "senddocument", "sendphoto"})
_UPDATES = "getupdates"
_EMPTY_REPLY = 60  # bytes; a poll that brought nothing is shorter


class Phase(StrEnum):
    """How far a request has come at the kill."""

    arrived = auto()  # it is here, and will not be carried out
    performed = auto()  # it was carried out, and its reply has not been sent
    answered = auto()  # its reply was sent, and may or may not have been read


@dataclass(frozen=True)
class Moment:
    """The nth request of some kinds, at a phase of it, and how long after that."""

    kinds: frozenset[str]  # empty: any
    phase: Phase
    nth: int
    delay: timedelta = timedelta(0)

    @property
    def label(self) -> str:
        """What the tally counts it as."""
        kinds = "+".join(sorted(self.kinds)) or "any"
        return f"{kinds} {self.phase}"


def soon(rng: Random) -> Moment:
    """A moment that comes with whatever is said next."""
    return Moment(kinds=frozenset(), phase=rng.choice(list(Phase)), nth=rng.randint(1, 6))


def pick(rng: Random) -> Moment:
    """A moment between an update's arrival and the last word about it."""
    kinds, most = rng.choices(
        (
            (frozenset({_UPDATES}), 2),
            (frozenset({"setmessagereaction"}), 2),
            (frozenset({MODEL}), 5),
            (SENDS, 2),
            (frozenset({"editmessagetext", "answercallbackquery"}), 1),
            (frozenset[str](), 16),
        ),
        weights=(4, 2, 8, 8, 2, 5),
    )[0]
    phase = rng.choice(list(Phase))
    nth = rng.randint(1, most)
    if kinds == {_UPDATES}:
        # The arrival of the next poll is what confirms the updates of the last one.
        phase, nth = rng.choice(((Phase.arrived, nth + 1), (Phase.answered, nth)))
    return Moment(kinds=kinds, phase=phase, nth=nth, delay=_delay(rng, kinds, phase))


def _delay(rng: Random, kinds: frozenset[str], phase: Phase) -> timedelta:
    """How long after it: commits follow within some milliseconds, so these count most."""
    if kinds == {_UPDATES} and phase is Phase.arrived:
        return timedelta(milliseconds=rng.uniform(3, 8))  # time to carry the confirmation out
    if phase is not Phase.answered:
        return timedelta(0)
    return timedelta(milliseconds=rng.choice((0, rng.uniform(0, 25), rng.uniform(0, 120))))


class Tripwire:
    """Watches the traffic of the apps it wraps; at the armed moment it acts, once."""

    def __init__(self) -> None:
        self._moment: Moment | None = None
        self._act: Callable[[], None] = lambda: None
        self._seen = 0

    def arm(self, moment: Moment, act: Callable[[], None]) -> None:
        """Count from now on, and act at the moment."""
        self._moment, self._act, self._seen = moment, act, 0

    def disarm(self) -> None:
        """Let everything pass."""
        self._moment = None

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """The app, watched."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            kind = kind_of(scope)
            if kind is None:
                await app(scope, receive, send)
                return
            if self._trips(kind, Phase.arrived) and kind != _UPDATES:
                await cut(scope)
                return
            replied = False

            async def sending(message: MutableMapping[str, Any]) -> None:
                nonlocal replied
                if message["type"] == "http.response.start" and _tells(kind, message):
                    replied = True
                    self._trips(kind, Phase.performed)
                await send(message)

            await app(scope, receive, sending)
            if replied:
                self._trips(kind, Phase.answered)

        return watched

    def _trips(self, kind: str, phase: Phase) -> bool:
        moment = self._moment
        if moment is None or phase is not moment.phase:
            return False
        if moment.kinds and kind not in moment.kinds:
            return False
        self._seen += 1
        if self._seen < moment.nth:
            return False
        self._moment = None
        if moment.delay:
            asyncio.get_running_loop().call_later(moment.delay.total_seconds(), self._act)
        else:
            self._act()
        return True


class InProcess:
    """An app served on loopback by this process. Use as a context manager."""

    def __init__(self, app: ASGIApp) -> None:
        self._server = _Server(
            uvicorn.Config(
                app,
                http=CuttableConnection,
                ws="none",
                lifespan="off",
                log_level="critical",
                access_log=False,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=75,
            )
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._serving: asyncio.Task[None] | None = None
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def __aenter__(self) -> "InProcess":
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        self._listener.close()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals are this process's own."""
        yield


def kind_of(scope: Scope) -> str | None:
    """The Bot API's method, or that the model is asked; None for what is not to be counted."""
    path: str = scope.get("path", "")
    if path == "/v1/messages":
        return MODEL
    return path.rpartition("/")[2].lower() if path.startswith("/bot") else None


def _tells(kind: str, start: MutableMapping[str, Any]) -> bool:
    """Whether a reply says something: a poll without updates does not."""
    if kind != _UPDATES:
        return True
    length = dict(start["headers"]).get(b"content-length", b"0")
    return int(length) > _EMPTY_REPLY
