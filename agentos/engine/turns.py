"""The turn of a child, attended frame by frame to its end."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import assert_never

from agentos import log as logs
from agentos.domain.frames import (
    Answered,
    Asked,
    ChildFailed,
    Failure,
    Heartbeat,
    Nudge,
    Ready,
    SessionOpened,
    Spent,
    TextDelta,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    TurnUsage,
)
from agentos.domain.ports import UpFrame
from agentos.domain.states import RunState
from agentos.engine.children import Child
from agentos.engine.doing import Doing
from agentos.engine.notes import Notes
from agentos.engine.watch import Due, Watch
from agentos.errors import StoreUnusable
from agentos.prompts import render

log = logs.get(__name__)
# What lies in the pipe is heard before anything is said to be silent: we may have slept ourselves.
_LAST_LISTEN_SECONDS = 1.0
_NUDGE_SECONDS = 1.0
_TELL_SECONDS = 10.0
_OUTSIDE_TOOLS = frozenset({"WebFetch", "WebSearch"})
_FETCHES = re.compile(r"https?:|ftp:|\b(?:curl|wget|requests|urllib|httpx|fetch)\b")


class RunOver(Exception):
    """A run is over before its turn has come to an end of its own."""

    def __init__(
        self,
        state: RunState,
        problem: str,
        *,
        failure: Failure | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(problem)
        self.state = state
        self.problem = problem
        self.failure = failure
        self.retry_after = retry_after

    @classmethod
    def of(cls, ended: TurnEnded) -> "RunOver":
        """Because a turn ended with a failure."""
        told = ended.retry_after_seconds
        return cls(
            RunState.failed,
            ended.problem,
            failure=ended.failure,
            retry_after=timedelta(seconds=told) if told is not None else None,
        )


class Turns:
    """The turns of one run, and what is known of them while they go on."""

    def __init__(
        self,
        *,
        session_id: str | None,
        notes: Notes,
        on_safe_point: Callable[[], None],
        answer: Callable[[Asked], Awaitable[Answered]] | None = None,
        fresh: Callable[[], Awaitable[list[Nudge]]] | None = None,
    ) -> None:
        """`on_safe_point` is called each time when the last tool that was under way is back.

        `answer` answers what the session's tools ask of us; `fresh` brings what the owner has said
        since the turn began.
        """
        self._doing = Doing("starting")
        self.session_id = session_id
        # The session that was to be resumed was gone.
        self.lost = False
        # What the turn has used so far, where its backend tells.
        self.spent = TurnUsage()
        self._tools_open = 0
        # Its time runs out, and it has not been told: before its first word nobody listens.
        self._to_hurry = False
        self._model_spoke = False
        self._notes = notes
        self._on_safe_point = on_safe_point
        self._answer = answer
        self._fresh = fresh
        # The owner has said something that this run has not been told.
        self._to_tell = False
        self._telling = asyncio.Lock()
        self._child: Child | None = None
        self._answering: set[asyncio.Task[None]] = set()
        # Whether the session may have read what others wrote.
        self.read_outside = False

    @property
    def doing(self) -> str:
        """What it does now, in plain words."""
        return self._doing.words

    @property
    def is_safe(self) -> bool:
        """Whether no tool is in the middle of something."""
        return self._tools_open == 0

    def begin_anew(self) -> None:
        """What follows is in a fresh session."""
        self.session_id = None
        self.spent = TurnUsage()
        self._tools_open = 0
        self._model_spoke = False

    def running(self, child: Child) -> None:
        """A warm child was given its turn; its session is known already."""
        self._doing.is_("thinking")
        self._notes.running(pid=child.pid, session_id=self.session_id)

    async def attend(
        self, child: Child, *, turn_id: str, watch: Watch, must_resume: bool = False
    ) -> TurnEnded:
        """Attend a turn that the child was given. Raises RunOver when it ends in another way.

        With `must_resume`, a session that is gone ends it, too.
        """
        self._child = None if must_resume else child
        while True:
            frame = await self._next(child, watch)
            match frame:
                case TurnEnded():
                    if frame.turn_id == turn_id:
                        return frame
                case ChildFailed():
                    raise RunOver(RunState.failed, frame.problem, failure=frame.failure)
                case SessionOpened():
                    self._opened(child, frame, must_resume=must_resume)
                case Ready():
                    self._doing.is_("thinking")
                case ToolStarted():
                    self._doing.uses(frame.summary)
                    self._tools_open += 1
                    self.read_outside |= _reads_outside(frame)
                case ToolEnded():
                    self._tools_open = max(0, self._tools_open - 1)
                    if self.is_safe:
                        self._on_safe_point()
                case Spent():
                    self.spent = frame.usage
                case Asked():
                    self._send_answer(child, frame)
                case Heartbeat():
                    # Where it was said to another daemon, nobody has told us.
                    self._to_tell = True
                case TextDelta():
                    pass
                case _:
                    assert_never(frame)
            self._model_spoke |= isinstance(frame, Spent | TextDelta | ToolStarted)
            await self._hurry(child, watch)
            await self._tell()
            self._notes.alive()

    def steered(self) -> None:
        """The owner has said something to this job."""
        self._to_tell = True
        if self._child is not None and self._model_spoke:
            # A tool may be under way for long; the session hears of it all the same.
            telling = asyncio.create_task(self._tell())
            self._answering.add(telling)
            telling.add_done_callback(self._answered)

    async def _tell(self) -> None:
        """Tell the session what the owner has said, once the model has said its first word."""
        if not self._to_tell or not self._model_spoke or self._fresh is None:
            return
        async with self._telling:
            self._to_tell = False
            if (child := self._child) is None:
                return
            with suppress(TimeoutError, StoreUnusable):  # what is not heard is not lost
                async with asyncio.timeout(_TELL_SECONDS):
                    for nudge in await self._fresh():
                        await child.send(nudge)

    def _send_answer(self, child: Child, asked: Asked) -> None:
        """Answer behind the turn, which goes on being heard meanwhile."""

        async def answer() -> None:
            nobody = Answered(ask_id=asked.ask_id, text="There is no such tool here.", failed=True)
            await child.send(await self._answer(asked) if self._answer else nobody)

        answering = asyncio.create_task(answer())
        self._answering.add(answering)
        answering.add_done_callback(self._answered)

    def _answered(self, answering: asyncio.Task[None]) -> None:
        self._answering.discard(answering)
        if not answering.cancelled() and (error := answering.exception()) is not None:
            # The session hears nothing, and goes on without.
            log.error("tool_not_answered", exc_info=error)

    def _opened(self, child: Child, opened: SessionOpened, *, must_resume: bool) -> None:
        if opened.lost:
            self.lost = True
            self._notes.session_lost(opened)
            if must_resume:
                raise RunOver(RunState.failed, "its session is gone", failure=Failure.crashed)
        self.session_id = opened.session_id
        self.running(child)

    async def _next(self, child: Child, watch: Watch) -> UpFrame:
        """The next frame. Raises RunOver when none comes in time."""
        while True:
            moment, due = watch.next_due()
            frame = await _within(child, moment - time.monotonic())
            if frame is None and due in (Due.silence, Due.standstill):
                frame = await _last_listen(child, due)
            if frame is not None:
                watch.heard(time.monotonic(), grew=not isinstance(frame, Heartbeat))
                return frame
            await self._overdue(child, watch, due)

    async def _overdue(self, child: Child, watch: Watch, due: Due) -> None:
        match due:
            case Due.warning:
                watch.warned()
                self._to_hurry = True
                await self._hurry(child, watch)
            case Due.silence:
                raise RunOver(
                    RunState.failed, "the worker gave no sign of life", failure=Failure.crashed
                )
            case Due.standstill:
                problem = f"it stood still for {spoken(watch.standstill)}"
                raise RunOver(RunState.failed, problem, failure=Failure.crashed)
            case Due.time_up:
                problem = f"it was not finished after {spoken(watch.allowed)}"
                raise RunOver(RunState.timed_out, problem)
            case _:
                assert_never(due)

    async def _hurry(self, child: Child, watch: Watch) -> None:
        """Tell the session how much time is left, once the model has said its first word."""
        if not self._to_hurry or not self._model_spoke:
            return
        self._to_hurry = False
        words = render("hurry.md.j2", left=spoken(watch.left(time.monotonic())))
        with suppress(TimeoutError):  # it does not listen; that will show
            async with asyncio.timeout(_NUDGE_SECONDS):
                await child.send(Nudge(text=words))


async def _within(child: Child, seconds: float) -> UpFrame | None:
    """The next frame if it comes in time."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            return await child.receive()
    except TimeoutError:
        return None


async def _last_listen(child: Child, due: Due) -> UpFrame | None:
    """What it has said while we did not listen; of one that stands still, more than a heartbeat."""
    until = time.monotonic() + _LAST_LISTEN_SECONDS
    while True:
        frame = await _within(child, until - time.monotonic())
        if due is Due.silence or not isinstance(frame, Heartbeat):
            return frame


def _reads_outside(started: ToolStarted) -> bool:
    """Whether a tool brings in what others wrote, as far as can be told from here."""
    if started.tool in _OUTSIDE_TOOLS:
        return True
    return started.tool == "Bash" and bool(_FETCHES.search(started.detail or started.summary))


def spoken(time_: timedelta) -> str:
    """A length of time as a person says it."""
    seconds = round(time_.total_seconds())
    if seconds >= 120:
        return f"{seconds // 60} minutes"
    return "1 second" if seconds == 1 else f"{seconds} seconds"
