"""One turn of a session: the backend's events go up the pipe and into the transcript."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import assert_never

from agentos.domain.frames import (
    Failure,
    SessionOpened,
    Spent,
    TextDelta,
    ToolEnded,
    ToolStarted,
    Turn,
    TurnEnded,
)
from agentos.domain.ports import Backend, Event, UpFrame
from agentos.errors import AgentosError, BackendMissing, BadRequest, Misconfigured, NotFound
from agentos.worker.policy import Policy
from agentos.worker.transcript import Transcript


class Runner:
    """Runs turns on an open backend."""

    def __init__(
        self, backend: Backend, *, policy: Policy, tell: Callable[[UpFrame], Awaitable[None]]
    ) -> None:
        self._backend = backend
        self._policy = policy
        self._tell = tell
        self._transcript = Transcript(None, run_id=None)

    async def run(self, turn: Turn) -> None:
        """Do a turn to its end; a fault of the backend is an end like any other."""
        transcript = self._transcript = Transcript(turn.transcript, run_id=turn.run_id)
        transcript.write("prompt", text=turn.prompt)
        self._policy.allow_folders(turn.folders)
        self._policy.follow(turn.rules, turn.granted)
        try:
            async with aclosing(self._backend.turn(turn)) as events:  # type: ignore[type-var]
                async for event in events:
                    _note(transcript, event)
                    await self._tell(event)
        except AgentosError as error:
            ended = TurnEnded(turn_id=turn.turn_id, failure=failure_of(error), problem=str(error))
            _note(transcript, ended)
            await self._tell(ended)

    async def nudge(self, text: str) -> None:
        """Tell the turn that runs something; where the backend cannot, nothing happens."""
        taken = await self._backend.nudge(text)
        self._transcript.write("nudge", text=text, taken=taken)


def failure_of(error: Exception) -> Failure:
    """Whether another try may help: what is not there, or set wrongly, will be so again."""
    is_lasting = isinstance(error, BackendMissing | BadRequest | Misconfigured | NotFound)
    return Failure.refused if is_lasting else Failure.crashed


def _note(transcript: Transcript, event: Event) -> None:
    match event:
        case SessionOpened():
            transcript.write("session", session_id=event.session_id, lost=event.lost)
        case TextDelta():
            if event.whole:
                transcript.write("text", text=event.text)
        case ToolStarted():
            transcript.write(
                "tool",
                tool=event.tool,
                input=event.summary,
                detail=event.detail,
                call=event.call_id,
            )
        case ToolEnded():
            transcript.write(
                "tool_result",
                tool=event.tool,
                failed=event.failed,
                text=event.output,
                call=event.call_id,
            )
        case Spent():
            pass  # the end tells it all
        case TurnEnded():
            if event.failure is None:
                transcript.write("result", text=event.text)
                transcript.keep(event)
            else:
                transcript.write("error", failure=event.failure.value, text=event.problem)
        case _:
            assert_never(event)
