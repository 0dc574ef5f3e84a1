"""The claude backend: the Agent SDK and its real CLI. The only door to the SDK."""

import asyncio
import errno
import os
import sys
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ClaudeSDKError,
    McpServerConfig,
    Message,
    PermissionResultAllow,
    PermissionResultDeny,
    ResultMessage,
    StreamEvent,
    TextBlock,
    ToolPermissionContext,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from agentos.backends import claude_outcome, claude_program, claude_tools
from agentos.domain.frames import (
    Access,
    Assignment,
    SessionOpened,
    Spent,
    TextDelta,
    ToolEnded,
    ToolStarted,
    Turn,
)
from agentos.domain.ports import Event
from agentos.errors import BackendFailed, BackendMissing

_TOOLS = ["Bash", "Read", "Write", "Edit", "Glob", "Grep", "WebFetch", "WebSearch", "TodoWrite"]
_LONGEST_LINE = 64 * 1024 * 1024
_CONNECT_SECONDS = 60.0
_INTERRUPT_SECONDS = 1.0
_CALL_OFF_SECONDS = 5.0
_NOTED_SECONDS = 2.0
_LOST = "No conversation found"
MayUse = Callable[[str, Mapping[str, Any]], Awaitable[str | None]]


class ClaudeBackend:
    """One session of the Claude CLI."""

    def __init__(self, *, may_use: MayUse, ask: claude_tools.Ask | None = None) -> None:
        self._may_use = may_use
        self._ask = ask
        self._client: ClaudeSDKClient | None = None
        self._assignment: Assignment | None = None
        self._session_id = ""
        self._announced = ""
        self._lost = False
        self._used = False
        self._in_turn = False
        self._complaints: deque[str] = deque(maxlen=20)
        self._tools: dict[str, str] = {}
        # Uses of tools that have been told, and what a turn that runs was told, by their ids.
        self._told: set[str] = set()
        self._telling = asyncio.Condition()
        self._nudges: set[str] = set()
        self._bill = claude_outcome.Bill()

    async def open(self, assignment: Assignment) -> None:
        """Start the CLI. A session that cannot be resumed is replaced by a new one, and told."""
        self._assignment = assignment
        try:
            await self._connect(resume=assignment.session_id)
        except BackendFailed as error:
            if assignment.session_id is None or not self._cannot_resume(error.__cause__):
                raise
            await self._start_anew()

    async def turn(self, turn: Turn) -> AsyncIterator[Event]:
        """Do one turn; the last event is always its TurnEnded."""
        outcome = self._outcome(turn)
        try:
            async for event in self._attempt(turn, outcome):
                yield event
        except Exception as error:  # noqa: BLE001 - the SDK raises plain ones, too
            if self._used or not self._resuming or not self._cannot_resume(error):
                yield outcome.broken(self._complaint(error))
                return
            outcome = self._outcome(turn)
            try:
                # The CLI tells that there is no such session only when it is spoken to.
                await self._start_anew()
                async for event in self._attempt(turn, outcome):
                    yield event
            except Exception as second:  # noqa: BLE001
                yield outcome.broken(self._complaint(second))

    async def nudge(self, text: str) -> bool:
        """The CLI takes it in before its next request to the model."""
        if self._client is None or not self._in_turn:
            return False
        message_id = str(uuid.uuid4())
        self._nudges.add(message_id)
        await self._client.query(_as_written(text, message_id=message_id))
        return True

    async def close(self) -> None:
        """End the CLI. A turn that runs is broken off first, so that its session holds all of it.

        The CLI writes down what a tool has brought a moment after it has told it.
        """
        client, self._client = self._client, None
        if client is None:
            return
        if self._in_turn:
            with suppress(Exception):
                async with asyncio.timeout(_INTERRUPT_SECONDS):
                    await client.interrupt()
        with suppress(ClaudeSDKError):
            await client.disconnect()

    @property
    def _resuming(self) -> bool:
        return self._assignment is not None and self._session_id == self._assignment.session_id

    def _cannot_resume(self, error: BaseException | None) -> bool:
        """Whether the CLI has looked for the session and ended by itself, for want of it.

        One that was killed, or too slow to come up, says nothing about its session.
        """
        words = " ".join([*self._complaints, str(error)])
        return _LOST in words or (getattr(error, "exit_code", None) or 0) > 0

    async def _start_anew(self) -> None:
        await self.close()
        self._lost = True
        self._complaints.clear()
        await self._connect(resume=None)

    async def _connect(self, *, resume: str | None) -> None:
        assert self._assignment is not None
        program = await claude_program.find(os.environ)
        # Naming a new session ourselves makes it resumable from its first moment on.
        self._session_id = resume or str(uuid.uuid4())
        self._bill.begin(resumed=resume is not None)
        options = self._options(self._assignment, resume=resume)
        options.cli_path = program
        client = ClaudeSDKClient(options)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await client.connect()
        except TimeoutError as error:
            problem = self._complaint(f"the Claude CLI did not come up in {_CONNECT_SECONDS:.0f} s")
            raise BackendFailed(backend="claude", problem=problem) from error
        except Exception as error:
            if getattr(error.__cause__, "errno", None) in (errno.EACCES, errno.ENOEXEC):
                problem = f"the Claude CLI {program} cannot be started: {error.__cause__}"
                raise BackendMissing(backend="claude", problem=problem) from error
            raise BackendFailed(backend="claude", problem=self._complaint(error)) from error
        self._client = client

    def _options(self, assignment: Assignment, *, resume: str | None) -> ClaudeAgentOptions:
        tools = _TOOLS if assignment.access is Access.work else []
        schema = assignment.output_schema
        return ClaudeAgentOptions(
            system_prompt=assignment.system_prompt,
            model=assignment.model,
            cwd=assignment.working_folder,
            tools=tools,
            permission_mode="default",
            can_use_tool=self._decide if tools else None,
            resume=resume,
            session_id=None if resume else self._session_id,
            setting_sources=[],
            mcp_servers=self._servers(assignment),
            strict_mcp_config=True,
            skills=[],
            include_partial_messages=assignment.stream_text,
            output_format={"type": "json_schema", "schema": schema} if schema else None,
            # A structured answer is a decision; thinking aloud would only make it late.
            thinking={"type": "disabled"} if schema else None,
            max_buffer_size=_LONGEST_LINE,
            stderr=self._complained,
            env={"CLAUDE_AGENT_SDK_CLIENT_APP": "agentos"},
        )

    def _servers(self, assignment: Assignment) -> dict[str, McpServerConfig]:
        if self._ask is None or not assignment.tools:
            return {}
        return {claude_tools.SERVER: claude_tools.server_of(assignment.tools, self._ask)}

    async def _decide(
        self, tool: str, arguments: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResultAllow | PermissionResultDeny:
        if not self._in_turn:
            return PermissionResultDeny(message="This turn is over.")
        is_ours = tool.startswith(claude_tools.PREFIX)
        reason = None if is_ours else await self._may_use(tool, arguments)
        if reason is not None:
            return PermissionResultDeny(message=reason)
        await self._has_been_told(context)
        return PermissionResultAllow()

    async def _has_been_told(self, context: ToolPermissionContext) -> None:
        """Wait until the use of a tool is written down: after a crash it has to be known."""
        if context.agent_id is not None:
            return  # what an agent of its own does is told by nobody
        with suppress(TimeoutError):
            async with asyncio.timeout(_NOTED_SECONDS), self._telling:
                await self._telling.wait_for(lambda: context.tool_use_id in self._told)

    def _outcome(self, turn: Turn) -> claude_outcome.Outcome:
        assert self._assignment is not None
        model = self._assignment.model
        return claude_outcome.Outcome(turn_id=turn.turn_id, model=model, bill=self._bill)

    async def _attempt(self, turn: Turn, outcome: claude_outcome.Outcome) -> AsyncIterator[Event]:
        assert self._assignment is not None
        if self._client is None:
            await self._connect(resume=self._session_id)
        assert self._client is not None
        if self._assignment.forget_between_turns and self._used:
            await self._forget()
        # A new session in the place of a lost one is told when it is there: else the lost one
        # would be given up for a CLI that does not come up.
        if not self._lost and (opened := self._opened()):
            yield opened
        before = f"{turn.if_lost}\n\n" if self._lost and not self._used and turn.if_lost else ""
        self._told.clear()
        await self._client.query(_as_written(before + turn.prompt))
        self._in_turn = True
        async for message in self._client.receive_response():
            self._used = True
            if opened := self._opened():
                yield opened
            if isinstance(message, ResultMessage):
                ended = outcome.ended(message)
                await self._call_off(message)
                yield ended
                return
            for event in self._heard(turn, message, outcome):
                yield event
                if isinstance(event, ToolStarted):
                    async with self._telling:
                        self._told.add(event.call_id)
                        self._telling.notify_all()
        self._in_turn = False
        yield outcome.broken(self._complaint("the CLI ended"))

    def _opened(self) -> SessionOpened | None:
        """The news of a session, once."""
        if self._announced == self._session_id:
            return None
        self._announced = self._session_id
        return SessionOpened(session_id=self._session_id, lost=self._lost)

    async def _call_off(self, result: ResultMessage) -> None:
        """See to it that nothing goes on after the end of a turn.

        What the session is told in its last request starts a turn of its own after the result.
        """
        self._in_turn = False
        left = self._nudges - set(result.user_message_uuids or ())
        self._nudges.clear()
        client = self._client
        if not left or client is None:
            return
        try:
            async with asyncio.timeout(_CALL_OFF_SECONDS):
                interrupted = False
                async for message in client.receive_messages():
                    if not interrupted:
                        await client.interrupt()
                        interrupted = True
                    if isinstance(message, ResultMessage):
                        self._bill.of(message)
                        left -= set(message.user_message_uuids or ())
                        interrupted = False
                    if not left:
                        return
        except Exception:  # noqa: BLE001 - then it ends, and the next turn resumes its session
            await self.close()

    async def _forget(self) -> None:
        """Begin the conversation from nothing, in the warm process: a command, not a model call."""
        assert self._client is not None
        await self._client.query("/clear")
        async for message in self._client.receive_response():
            if isinstance(message, ResultMessage):
                self._session_id = message.session_id
                self._announced = message.session_id

    def _heard(self, turn: Turn, message: Message, outcome: claude_outcome.Outcome) -> list[Event]:
        match message:
            case StreamEvent():
                text = _delta(message)
                return [TextDelta(turn_id=turn.turn_id, text=text)] if text else []
            case AssistantMessage():
                is_new = outcome.heard(message)
                spent = [Spent(turn_id=turn.turn_id, usage=outcome.spent)] if is_new else []
                return [*spent, *self._said(turn, message)]
            case UserMessage():
                return self._tool_results(turn, message)
            case _:
                outcome.noted(message)
                return []

    def _said(self, turn: Turn, message: AssistantMessage) -> list[Event]:
        events: list[Event] = []
        for block in message.content:
            if isinstance(block, TextBlock) and block.text.strip():
                events.append(TextDelta(turn_id=turn.turn_id, text=block.text, whole=True))
            elif isinstance(block, ToolUseBlock) and block.name != "StructuredOutput":
                self._tools[block.id] = block.name
                started = ToolStarted(
                    turn_id=turn.turn_id,
                    tool=block.name,
                    summary=claude_outcome.in_plain_words(block.name, block.input),
                    detail=claude_outcome.detail_of(block.input),
                    call_id=block.id,
                )
                events.append(started)
        return events

    def _tool_results(self, turn: Turn, message: UserMessage) -> list[Event]:
        if isinstance(message.content, str):
            return []
        return [
            ToolEnded(
                turn_id=turn.turn_id,
                tool=self._tools.pop(block.tool_use_id),
                failed=bool(block.is_error),
                output=claude_outcome.text_of(block.content)[:4000],
                call_id=block.tool_use_id,
            )
            for block in message.content
            if isinstance(block, ToolResultBlock) and block.tool_use_id in self._tools
        ]

    def _complained(self, line: str) -> None:
        """Its words go to the error file of the job, and the last of them into our errors."""
        self._complaints.append(line)
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def _complaint(self, error: BaseException | str) -> str:
        """The CLI's own last words where it had some, else the error's."""
        words = [line.strip() for line in self._complaints if line.strip()]
        return words[-1][:500] if words else (str(error).splitlines() or [repr(error)])[0][:500]


async def _as_written(
    prompt: str, *, message_id: str | None = None
) -> AsyncIterator[dict[str, Any]]:
    """A prompt that the CLI hands on as it is: no @file is read, no /command is run."""
    yield {
        "type": "user",
        "message": {"role": "user", "content": prompt},
        "parent_tool_use_id": None,
        "client_composed": True,
        "uuid": message_id or str(uuid.uuid4()),
    }


def _delta(message: StreamEvent) -> str:
    if message.parent_tool_use_id is not None:
        return ""
    delta = message.event.get("delta") or {}
    return str(delta.get("text", "")) if delta.get("type") == "text_delta" else ""
