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
from agentos.errors import AgentosError
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

    async def run(self, turn: Turn) -> None:
        """Do a turn to its end; a fault of the backend is an end like any other."""
        transcript = Transcript(turn.transcript, run_id=turn.run_id)
        transcript.write("prompt", text=turn.prompt)
        self._policy.allow_folders(turn.folders)
        try:
            async with aclosing(self._backend.turn(turn)) as events:  # type: ignore[type-var]
                async for event in events:
                    _note(transcript, event)
                    await self._tell(event)
        except AgentosError as error:
            transcript.write("error", text=str(error))
            ended = TurnEnded(turn_id=turn.turn_id, failure=Failure.crashed, problem=str(error))
            await self._tell(ended)

    async def nudge(self, text: str) -> None:
        """Tell the turn that runs something; where the backend cannot, nothing happens."""
        await self._backend.nudge(text)


def _note(transcript: Transcript, event: Event) -> None:
    match event:
        case SessionOpened():
            transcript.write("session", session_id=event.session_id, lost=event.lost)
        case TextDelta():
            if event.whole:
                transcript.write("text", text=event.text)
        case ToolStarted():
            transcript.write("tool", tool=event.tool, input=event.summary)
        case ToolEnded():
            transcript.write("tool_result", tool=event.tool, failed=event.failed, text=event.output)
        case Spent():
            pass  # the end tells it all
        case TurnEnded():
            if event.failure is None:
                transcript.write("result", text=event.text)
            else:
                transcript.write("error", failure=event.failure.value, text=event.problem)
        case _:
            assert_never(event)
