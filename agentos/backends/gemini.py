"""The gemini backend: the Gemini CLI as a warm agent that is spoken with (`gemini --acp`).

It asks before it writes or runs anything, so the policy of the worker decides on each call. A turn
costs no start; only when the folders change that a turn may use, the CLI begins anew with them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

from agentos.backends import acp, gemini_profile
from agentos.backends.cli_backend import cause, object_in
from agentos.backends.cli_process import CliProcess, Command, Json
from agentos.backends.gemini_turn import GeminiTurn, as_program_reads, asked_of_the_policy
from agentos.backends.reach import Reach
from agentos.domain.frames import (
    Access,
    Assignment,
    Failure,
    SessionOpened,
    Turn,
    TurnEnded,
    TurnUsage,
)
from agentos.domain.ports import Event
from agentos.errors import BackendFailed

_NAME = "gemini"
_START_WITHIN = timedelta(seconds=120)
_HISTORY_WITHIN = timedelta(seconds=5)
_ALLOWED, _FORBIDDEN = "proceed_once", "cancel"
MayUse = Callable[[str, Mapping[str, Any]], Awaitable[str | None]]


class GeminiBackend:
    """One session of the Gemini CLI."""

    def __init__(self, reach: Reach, *, may_use: MayUse) -> None:
        self._reach = reach
        self._may_use = may_use
        self._assignment: Assignment | None = None
        self._ours: Path | None = None
        self._process: CliProcess | None = None
        self._agent: acp.AcpAgent | None = None
        self._folders: tuple[str, ...] = ()
        self._session_id: str | None = None
        self._announced = ""
        self._lost = False
        self._used = False

    async def open(self, assignment: Assignment) -> None:
        """Find the CLI and write its settings; a session without tools is warm at once."""
        await self._reach.ready()
        self._assignment = assignment
        self._session_id = assignment.session_id
        try:
            self._ours = gemini_profile.write(assignment, self._reach)
        except OSError as error:
            problem = f"its settings cannot be written: {error.strerror or error}"
            raise BackendFailed(backend=_NAME, problem=problem) from error
        if assignment.access is Access.none:
            try:
                await self._ready(())
            except acp.Refused as error:
                raise BackendFailed(backend=_NAME, problem=error.words) from error
            except acp.Gone as error:
                raise BackendFailed(backend=_NAME, problem=(await self._cause(error))[1]) from error

    async def turn(self, turn: Turn) -> AsyncIterator[Event]:
        """Do one turn; the last event is always its TurnEnded."""
        whole = False
        try:
            async with aclosing(self._attempt(turn)) as events:
                async for event in events:
                    whole = isinstance(event, TurnEnded)
                    yield event
        except BackendFailed as error:
            whole = True
            problem = str(error.fields["problem"])
            yield TurnEnded(turn_id=turn.turn_id, failure=Failure.crashed, problem=problem)
        finally:
            if not whole:  # cut short: what it started ends with it
                await self._stop()

    async def nudge(self, text: str) -> bool:
        """False: it takes a second word while a turn runs as the end of that turn."""
        return False

    async def close(self) -> None:
        """End the CLI."""
        await self._stop()
        if self._ours is not None:
            gemini_profile.remove(self._ours)

    @property
    def pid(self) -> int | None:
        """The process id of the CLI while it runs."""
        running = self._process is not None and self._process.running
        return self._process.pid if running and self._process is not None else None

    @property
    def _model(self) -> str:
        wanted = self._assignment.model if self._assignment is not None else ""
        return wanted or self._reach.model

    async def _attempt(self, turn: Turn) -> AsyncGenerator[Event, None]:
        assert self._assignment is not None
        heard = GeminiTurn(
            turn.turn_id, model=self._model, stream_text=self._assignment.stream_text
        )
        try:
            await self._ready(tuple(turn.folders))
            if self._assignment.forget_between_turns and self._used:
                await self._begin()
            assert self._session_id is not None
            if self._announced != self._session_id:
                self._announced = self._session_id
                yield SessionOpened(session_id=self._session_id, lost=self._lost)
            async with aclosing(self._asked(turn)) as said:
                async for one in said:
                    for event in await self._events(heard, one):
                        yield event
        except acp.Refused as error:
            yield heard.refused(error)
        except acp.Gone as error:
            failure, problem = await self._cause(error)
            usage = TurnUsage(model=self._model)
            yield TurnEnded(turn_id=turn.turn_id, usage=usage, failure=failure, problem=problem)

    def _asked(self, turn: Turn) -> AsyncGenerator[Json, None]:
        assert self._agent is not None
        parts = [{"type": "text", "text": _as_written(self._prompt(turn))}]
        self._used = True
        return self._agent.ask("session/prompt", {"sessionId": self._session_id, "prompt": parts})

    def _prompt(self, turn: Turn) -> str:
        assert self._assignment is not None
        said = [turn.prompt]
        if self._lost and not self._used and turn.if_lost:
            said.insert(0, turn.if_lost)
        if self._assignment.output_schema is not None:
            said.append(as_program_reads(self._assignment.output_schema))
        return "\n\n".join(said)

    async def _events(self, heard: GeminiTurn, said: Json) -> list[Event]:
        if "result" in said:
            return [self._judged(event) for event in heard.ended(said["result"])]
        if said.get("method") == "session/request_permission":
            return await self._decide(heard, said)
        if "id" in said:
            assert self._agent is not None
            await self._agent.decline(said)
        return heard.hear(said)

    async def _decide(self, heard: GeminiTurn, said: Json) -> list[Event]:
        """Answer for the owner: by the policy of the worker. A no is told as the tool's end."""
        assert self._agent is not None
        call = said.get("params", {}).get("toolCall") or {}
        tool, arguments = asked_of_the_policy(call)
        reason = await self._may_use(tool, arguments)
        option = _ALLOWED if reason is None else _FORBIDDEN
        events = heard.started(call)
        if reason is not None:
            events += heard.tool_ended(call, failed=True, output=reason)
        outcome = {"outcome": {"outcome": "selected", "optionId": option}}
        await self._agent.answer(said, outcome)
        return events

    def _judged(self, event: Event) -> Event:
        """The answer as the object that was wanted, when one was."""
        assert self._assignment is not None
        if not isinstance(event, TurnEnded) or event.failure or not self._assignment.output_schema:
            return event
        structured = object_in(event.text)
        if structured is not None:
            return event.model_copy(update={"structured": structured})
        problem = "it answered in words where an object was wanted"
        told = {"text": "", "failure": Failure.nonsense, "problem": problem}
        return event.model_copy(update=told)

    async def _cause(self, error: acp.Gone) -> tuple[Failure, str]:
        """Why the CLI is gone; it is ended if it is not."""
        process = self._process
        if str(error) or process is None:
            found = Failure.crashed, str(error)
        else:
            found = cause(await process.ended())
        await self._stop()
        return found

    async def _ready(self, folders: tuple[str, ...]) -> None:
        """Have the CLI running with these folders, and the session open."""
        running = self._process is not None and self._process.running
        if running and folders == self._folders:
            return
        await self._stop()
        self._folders = folders
        await self._start()
        await self._open_session()

    async def _start(self) -> None:
        assert self._assignment is not None and self._ours is not None
        command = Command(
            arguments=gemini_profile.arguments(
                self._reach, ours=self._ours, model=self._model, folders=self._folders
            ),
            folder=Path(self._assignment.working_folder),
            talks=True,
            variables=gemini_profile.variables(self._reach, ours=self._ours),
        )
        self._process = CliProcess(command, name=_NAME, first_word_within=_START_WITHIN)
        await self._process.__aenter__()
        self._agent = acp.AcpAgent(self._process)
        hello = {"protocolVersion": acp.VERSION, "clientCapabilities": {}}
        await self._agent.call("initialize", hello, within=_START_WITHIN)

    async def _open_session(self) -> None:
        """Go on with the session, or begin one when there is none or it is gone."""
        assert self._agent is not None
        if self._session_id is None:
            await self._begin()
            return
        gemini_profile.keep(self._session_id, state=self._reach.state)
        known = {"sessionId": self._session_id, **self._where}
        try:
            await self._agent.call("session/load", known, within=_START_WITHIN)
        except acp.Refused:
            await self._begin()
            self._lost = True
            return
        # What was said before is told again, after the answer; then comes this.
        await self._agent.drain(until="available_commands_update", within=_HISTORY_WITHIN)

    async def _begin(self) -> None:
        assert self._agent is not None
        begun = await self._agent.call("session/new", self._where, within=_START_WITHIN)
        self._session_id = str(begun.get("sessionId", ""))
        self._lost = False

    @property
    def _where(self) -> Json:
        assert self._assignment is not None
        return {"cwd": self._assignment.working_folder, "mcpServers": []}

    async def _stop(self) -> None:
        process, self._process = self._process, None
        agent, self._agent = self._agent, None
        if process is not None:
            await process.end()
        if agent is not None:
            await agent.close()


def _as_written(prompt: str) -> str:
    """A prompt that the CLI hands on as it is: what begins so would be a command of its own."""
    return f"\u200b{prompt}" if prompt.lstrip().startswith(("/", "$")) else prompt
