"""The opencode backend: the CLI's own server, warm between turns, spoken with over loopback.

It asks before each tool, so the policy of the worker decides on each call and says why. When its
model fails it would wait and try again by itself; that is the engine's, so its wait ends the turn.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from agentos.backends import opencode_profile
from agentos.backends.cli_process import Command, Json
from agentos.backends.opencode_profile import Profile
from agentos.backends.opencode_server import Gone, OpencodeServer
from agentos.backends.opencode_turn import OpencodeTurn, asked_of_the_policy
from agentos.backends.reach import Reach
from agentos.domain.frames import (
    Assignment,
    Failure,
    SessionOpened,
    Turn,
    TurnEnded,
    TurnUsage,
)
from agentos.domain.ports import Event
from agentos.errors import BackendFailed

_NAME = "opencode"
_ABORT_SECONDS = 10.0
MayUse = Callable[[str, Mapping[str, Any]], Awaitable[str | None]]


class OpencodeBackend:
    """One session of opencode."""

    def __init__(self, reach: Reach, *, may_use: MayUse) -> None:
        self._reach = reach
        self._may_use = may_use
        self._assignment: Assignment | None = None
        self._profile: Profile | None = None
        self._server: OpencodeServer | None = None
        self._session_id: str | None = None
        self._announced = ""
        self._lost = False
        self._used = False
        self._busy = False

    async def open(self, assignment: Assignment) -> None:
        """Find the CLI, write its settings, start its server."""
        await self._reach.ready()
        self._assignment = assignment
        self._session_id = assignment.session_id
        try:
            self._profile = opencode_profile.write(assignment, self._reach)
        except OSError as error:
            problem = f"its settings cannot be written: {error.strerror or error}"
            raise BackendFailed(backend=_NAME, problem=problem) from error
        try:
            await self._ready()
        except Gone as error:
            await self.close()
            raise BackendFailed(backend=_NAME, problem=error.problem) from error

    async def turn(self, turn: Turn) -> AsyncIterator[Event]:
        """Do one turn; the last event is always its TurnEnded."""
        whole = False
        try:
            async with aclosing(self._attempt(turn)) as events:
                async for event in events:
                    whole = isinstance(event, TurnEnded)
                    yield event
        except (Gone, BackendFailed) as error:
            await self._stop()
            whole = True
            failure = error.failure if isinstance(error, Gone) else Failure.crashed
            problem = error.problem if isinstance(error, Gone) else str(error.fields["problem"])
            usage = TurnUsage(model=self._model)
            yield TurnEnded(turn_id=turn.turn_id, usage=usage, failure=failure, problem=problem)
        finally:
            self._busy = False
            if not whole:  # cut short: what it started ends with it
                await self._stop()

    async def nudge(self, text: str) -> bool:
        """It takes it in before its next request to the model."""
        if self._server is None or not self._busy:
            return False
        try:
            await self._say(text)
        except Gone:
            return False
        return True

    async def close(self) -> None:
        """End the server."""
        await self._stop()
        if self._profile is not None:
            opencode_profile.remove(self._profile)

    @property
    def pid(self) -> int | None:
        """The process id of the server while it runs."""
        return self._server.pid if self._server is not None and self._server.running else None

    @property
    def _model(self) -> str:
        wanted = self._assignment.model if self._assignment is not None else ""
        return opencode_profile.model_of(wanted, usual=self._reach.model).name

    async def _attempt(self, turn: Turn) -> AsyncGenerator[Event, None]:
        assert self._assignment is not None
        server = await self._ready()
        await self._open_session(server)
        assert self._session_id is not None
        if self._announced != self._session_id:
            self._announced = self._session_id
            yield SessionOpened(session_id=self._session_id, lost=self._lost)
        heard = OpencodeTurn(
            turn.turn_id,
            session_id=self._session_id,
            model=self._model,
            stream_text=self._assignment.stream_text,
        )
        before = f"{turn.if_lost}\n\n" if self._lost and not self._used and turn.if_lost else ""
        server.forget_events()
        self._used = self._busy = True
        await self._say(before + turn.prompt)
        while True:
            event = await server.event()
            if event.get("type") == "permission.asked":
                await self._decide(server, event["properties"], root=heard.root)
            for one in heard.hear(event):
                yield one
            if (waiting := heard.waits(event)) is not None:
                await self._abort(server, heard)
                yield waiting
                return
            if heard.is_idle(event):
                yield self._judged(heard.ended())
                return

    async def _abort(self, server: OpencodeServer, heard: OpencodeTurn) -> None:
        """Stop its waiting, and see it stop, so that no later turn ends by it."""
        await server.ask("POST", f"/session/{self._session_id}/abort")
        try:
            async with asyncio.timeout(_ABORT_SECONDS):
                while not heard.is_idle(await server.event()):
                    pass
        except TimeoutError:
            await self._stop()

    async def _say(self, text: str) -> None:
        assert self._assignment is not None and self._server is not None
        body: Json = {
            "agent": opencode_profile.AGENT,
            "system": self._assignment.system_prompt,
            "parts": [{"type": "text", "text": text}],
        }
        if self._assignment.output_schema is not None:
            body["format"] = {"type": "json_schema", "schema": self._assignment.output_schema}
        await self._server.ask("POST", f"/session/{self._session_id}/prompt_async", body)

    async def _decide(self, server: OpencodeServer, asked: Json, *, root: str) -> None:
        """Answer for the owner: by the policy of the worker, and with its reason."""
        tool, arguments = asked_of_the_policy(asked, root=root)
        reason = await self._may_use(tool, arguments)
        answer = {"reply": "once"} if reason is None else {"reply": "reject", "message": reason}
        await server.ask("POST", f"/permission/{asked.get('id')}/reply", answer)

    def _judged(self, ended: TurnEnded) -> TurnEnded:
        assert self._assignment is not None
        wanted = self._assignment.output_schema is not None
        if not wanted or ended.failure or ended.structured is not None:
            return ended
        problem = "it answered in words where an object was wanted"
        told = {"text": "", "failure": Failure.nonsense, "problem": problem}
        return ended.model_copy(update=told)

    async def _ready(self) -> OpencodeServer:
        """The running server; one that has died meanwhile is started again."""
        if self._server is not None and self._server.running:
            return self._server
        await self._stop()
        assert self._assignment is not None and self._profile is not None
        command = Command(
            arguments=[str(self._reach.program), "serve", "--hostname=127.0.0.1", "--port=0"],
            folder=Path(self._assignment.working_folder),
            variables=self._profile.variables,
        )
        self._server = await OpencodeServer(command, password=self._profile.password).start()
        return self._server

    async def _open_session(self, server: OpencodeServer) -> None:
        """Go on with the session, or begin one when there is none or it is gone."""
        assert self._assignment is not None
        forget = self._assignment.forget_between_turns and self._used
        self._lost = self._lost and not forget
        if self._session_id is not None and not forget:
            if self._used or await server.ask("GET", f"/session/{self._session_id}") is not None:
                return
            self._lost = True
        # One with a title is not given one by another request to the model.
        begun = await server.ask("POST", "/session", {"title": "agentos"}) or {}
        self._session_id = str(begun.get("id", ""))

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.end()
