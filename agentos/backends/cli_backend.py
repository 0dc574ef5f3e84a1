"""A backend whose CLI is run once a turn and says what it does as JSON lines.

What all of them share is here: starting and ending the process, a session that is gone, answers
that are to be JSON, and the word for each way in which a CLI can fail. What differs is a `Dialect`:
how this CLI is called, and what its lines mean. A new CLI is one new dialect:

    class ExampleDialect:
        name = "example"
        first_word_within = timedelta(seconds=60)

        async def prepare(self, assignment): …  # settings; BackendFailed without a CLI
        def command(self, turn, *, prompt, session_id): return Command(arguments=[…], …)
        def listen(self, turn): return ExampleTurn(turn)

    CliBackend(ExampleDialect(…))
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Protocol

from agentos.backends.cli_process import CliProcess, Command, Ending, Json
from agentos.domain.frames import Assignment, Failure, SessionOpened, Turn, TurnEnded, TurnUsage
from agentos.domain.ports import Event
from agentos.errors import BackendFailed, BackendMissing


class Listener(Protocol):
    """Makes events of what a CLI says in one turn."""

    # Of the session the turn is done in, as soon as the CLI has told it; empty until then.
    session_id: str
    # What the turn has used so far, for one that ends without its own word; zeros when unknown.
    usage: TurnUsage

    def hear(self, said: Json) -> Iterable[Event]:
        """The events of one object: text, tools, what is spent. Sessions and ends are not its own.

        Raises ValueError (a pydantic ValidationError is one) for an object nobody understands; it
        counts as junk then. An object of a kind that is of no use has no events.
        """
        ...

    def is_lost(self, ending: Ending) -> bool:
        """Whether the run failed because there is no session of the id that was to be resumed."""
        ...

    def ended(self, ending: Ending) -> TurnEnded | None:
        """The turn's end, when the CLI has told it: its answer, or its error in our terms.

        None when the CLI ended without either; the base finds the word for that.
        """
        ...


class Dialect(Protocol):
    """How one CLI is called and understood."""

    name: str
    # How long it may take to say anything at all; None when its first word comes with the answer.
    first_word_within: timedelta | None

    async def prepare(self, assignment: Assignment) -> None:
        """Get ready for a session: find the CLI, write its settings. Raises BackendFailed."""
        ...

    def command(self, turn: Turn, *, prompt: str, session_id: str | None) -> Command:
        """How a turn is started; `session_id` is the session to go on with, None for a new one."""
        ...

    def listen(self, turn: Turn) -> Listener:
        """A fresh listener for one run."""
        ...


class CliBackend:
    """One session of a CLI that is run once a turn."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._assignment: Assignment | None = None
        self._session_id: str | None = None
        self._announced = ""

    async def open(self, assignment: Assignment) -> None:
        """Find the CLI and write its settings; nothing runs until the first turn."""
        self._assignment = assignment
        self._session_id = assignment.session_id
        try:
            await self._dialect.prepare(assignment)
        except OSError as error:
            problem = f"its settings cannot be written: {error.strerror or error}"
            raise BackendFailed(backend=self._dialect.name, problem=problem) from error

    async def turn(self, turn: Turn) -> AsyncIterator[Event]:
        """Do one turn; the last event is always its TurnEnded."""
        assert self._assignment is not None
        resume = None if self._assignment.forget_between_turns else self._session_id
        async with aclosing(self._run(turn, prompt=turn.prompt, resume=resume)) as events:
            async for event in events:
                if event is not None:
                    yield event
                    continue
                # There is no such session any more: a new one is told what it has to know.
                before = f"{turn.if_lost}\n\n" if turn.if_lost else ""
                again = self._run(turn, prompt=before + turn.prompt, resume=None, lost=True)
                async with aclosing(again) as fresh:
                    async for one in fresh:
                        if one is not None:
                            yield one
                return

    async def nudge(self, text: str, *, nudge_id: str = "") -> bool:
        """False: a CLI that is run once a turn listens only at its start."""
        return False

    async def close(self) -> None:
        """Nothing runs between turns; a turn that is cut short ends its own process."""

    async def _run(
        self, turn: Turn, *, prompt: str, resume: str | None, lost: bool = False
    ) -> AsyncGenerator[Event | None, None]:
        """One run of the CLI. None, as the last, means that the session is gone."""
        dialect = self._dialect
        listener = dialect.listen(turn)
        try:
            command = dialect.command(turn, prompt=prompt, session_id=resume)
        except OSError as error:  # a full disk, above all
            problem = f"its settings cannot be written: {error.strerror or error}"
            yield TurnEnded(turn_id=turn.turn_id, failure=Failure.crashed, problem=problem)
            return
        process = CliProcess(
            command, name=dialect.name, first_word_within=dialect.first_word_within
        )
        try:
            async with process, aclosing(process.objects()) as objects:
                async for said in objects:
                    try:
                        events = list(listener.hear(said))
                    except (ValueError, TypeError, KeyError, AttributeError):
                        process.spoil(json.dumps(said))
                        continue
                    if listener.session_id and self._announced != listener.session_id:
                        self._session_id = self._announced = listener.session_id
                        yield SessionOpened(session_id=listener.session_id, lost=lost)
                    for event in events:
                        yield event
                ending = await process.ended()
        except BackendFailed as error:  # it cannot be started
            failure = Failure.refused if isinstance(error, BackendMissing) else Failure.crashed
            problem = str(error.fields["problem"])
            yield TurnEnded(turn_id=turn.turn_id, failure=failure, problem=problem)
            return
        if resume is not None and listener.is_lost(ending):
            yield None
            return
        yield self._judged(turn, listener=listener, ending=ending)

    def _judged(self, turn: Turn, *, listener: Listener, ending: Ending) -> TurnEnded:
        ended = None if ending.flooded or ending.silent else listener.ended(ending)
        if ended is None:
            failure, problem = cause(ending)
            return TurnEnded(
                turn_id=turn.turn_id, usage=listener.usage, failure=failure, problem=problem
            )
        assert self._assignment is not None
        if ended.failure is not None or self._assignment.output_schema is None:
            return ended
        structured = ended.structured or object_in(ended.text)
        if structured is None:
            return ended.model_copy(
                update={
                    "text": "",
                    "failure": Failure.nonsense,
                    "problem": "it answered in words where an object was wanted",
                }
            )
        return ended.model_copy(update={"structured": structured})


def cause(ending: Ending) -> tuple[Failure, str]:
    """Why a run brought nothing, for a CLI that does not say so itself."""
    if ending.flooded:
        return Failure.nonsense, ending.flooded
    if ending.silent:
        return Failure.crashed, ending.silent
    if ending.objects == 0 and ending.junk and ending.exit_code == 0:
        return Failure.nonsense, f"its CLI talks nonsense: {ending.junk}"
    how = f"status {ending.exit_code}" if ending.exit_code >= 0 else f"signal {-ending.exit_code}"
    words = ending.complaint or ending.junk
    if words:
        return Failure.crashed, f"its CLI ended with {how}: {words}"
    return Failure.crashed, f"its CLI ended with {how} and without a word"


def object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that an answer is, also within a fence of code; None when it is none."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        stripped = stripped.removesuffix("```").partition("\n")[2]
    try:
        found = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
