"""The claude backend: the Agent SDK and its real CLI. The only door to the SDK."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ClaudeSDKError,
    CLINotFoundError,
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

from agentos.backends import claude_outcome
from agentos.domain.frames import (
    Access,
    Assignment,
    SessionOpened,
    TextDelta,
    ToolEnded,
    ToolStarted,
    Turn,
    TurnEnded,
)
from agentos.domain.ports import Event
from agentos.errors import BackendFailed

_TOOLS = ["Bash", "Read", "Write", "Edit", "Glob", "Grep", "WebFetch", "WebSearch", "TodoWrite"]
_LONGEST_LINE = 64 * 1024 * 1024
_CONNECT_SECONDS = 60.0
MayUse = Callable[[str, Mapping[str, Any]], str | None]


class ClaudeBackend:
    """One session of the Claude CLI."""

    def __init__(self, *, may_use: MayUse) -> None:
        self._may_use = may_use
        self._client: ClaudeSDKClient | None = None
        self._assignment: Assignment | None = None
        self._session_id = ""
        self._announced = ""
        self._lost = False
        self._used = False
        self._complaints: list[str] = []
        self._tools: dict[str, str] = {}

    async def open(self, assignment: Assignment) -> None:
        """Start the CLI. A session that cannot be resumed is replaced by a new one, and told."""
        self._assignment = assignment
        try:
            await self._connect(resume=assignment.session_id)
        except BackendFailed:
            if assignment.session_id is None:
                raise
            await self._start_anew()

    async def turn(self, turn: Turn) -> AsyncIterator[Event]:
        """Do one turn; the last event is always its TurnEnded."""
        try:
            async for event in self._attempt(turn):
                yield event
        except Exception as error:  # noqa: BLE001 - the SDK raises plain ones, too
            if self._used or not self._resuming:
                yield self._failed(turn, error)
                return
            # The CLI tells that there is no such session only when it is spoken to.
            await self._start_anew()
            try:
                async for event in self._attempt(turn):
                    yield event
            except Exception as second:  # noqa: BLE001
                yield self._failed(turn, second)

    async def nudge(self, text: str) -> bool:
        """The CLI takes it in before its next request to the model."""
        if self._client is None:
            return False
        await self._client.query(_as_written(text))
        return True

    async def close(self) -> None:
        """End the CLI."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(ClaudeSDKError):
                await client.disconnect()

    @property
    def _resuming(self) -> bool:
        return self._assignment is not None and self._session_id == self._assignment.session_id

    async def _start_anew(self) -> None:
        await self.close()
        self._lost = True
        self._complaints.clear()
        await self._connect(resume=None)

    async def _connect(self, *, resume: str | None) -> None:
        assert self._assignment is not None
        # Naming a new session ourselves makes it resumable from its first moment on.
        self._session_id = resume or str(uuid.uuid4())
        client = ClaudeSDKClient(self._options(self._assignment, resume=resume))
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await client.connect()
        except CLINotFoundError as error:
            problem = "the Claude CLI is missing; reinstall claude-agent-sdk"
            raise BackendFailed(backend="claude", problem=problem) from error
        except Exception as error:  # TimeoutError and plain ones, too
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
            strict_mcp_config=True,
            skills=[],
            include_partial_messages=assignment.stream_text,
            output_format={"type": "json_schema", "schema": schema} if schema else None,
            # A structured answer is a decision; thinking aloud would only make it late.
            thinking={"type": "disabled"} if schema else None,
            max_buffer_size=_LONGEST_LINE,
            stderr=self._complaints.append,
            env={"CLAUDE_AGENT_SDK_CLIENT_APP": "agentos"},
        )

    async def _decide(
        self, tool: str, arguments: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResultAllow | PermissionResultDeny:
        reason = self._may_use(tool, arguments)
        return PermissionResultAllow() if reason is None else PermissionResultDeny(message=reason)

    async def _attempt(self, turn: Turn) -> AsyncIterator[Event]:
        assert self._client is not None and self._assignment is not None
        if self._assignment.forget_between_turns and self._used:
            await self._forget()
        if self._announced != self._session_id:
            self._announced = self._session_id
            yield SessionOpened(session_id=self._session_id, lost=self._lost)
        before = f"{turn.if_lost}\n\n" if self._lost and not self._used and turn.if_lost else ""
        await self._client.query(_as_written(before + turn.prompt))
        outcome = claude_outcome.Outcome(turn_id=turn.turn_id, model=self._assignment.model)
        async for message in self._client.receive_response():
            self._used = True
            match message:
                case StreamEvent():
                    if text := _delta(message):
                        yield TextDelta(turn_id=turn.turn_id, text=text)
                case AssistantMessage():
                    outcome.heard(message)
                    for event in self._said(turn, message):
                        yield event
                case UserMessage():
                    for event in self._tool_results(turn, message):
                        yield event
                case ResultMessage():
                    yield outcome.ended(message)
                    return
                case _:
                    outcome.noted(message)
        yield self._failed(turn, BackendFailed(backend="claude", problem="the CLI ended"))

    async def _forget(self) -> None:
        """Begin the conversation from nothing, in the warm process: a command, not a model call."""
        assert self._client is not None
        await self._client.query("/clear")
        async for message in self._client.receive_response():
            if isinstance(message, ResultMessage):
                self._session_id = message.session_id
                self._announced = message.session_id

    def _said(self, turn: Turn, message: AssistantMessage) -> list[Event]:
        events: list[Event] = []
        for block in message.content:
            if isinstance(block, TextBlock) and block.text.strip():
                events.append(TextDelta(turn_id=turn.turn_id, text=block.text, whole=True))
            elif isinstance(block, ToolUseBlock) and block.name != "StructuredOutput":
                self._tools[block.id] = block.name
                summary = claude_outcome.in_plain_words(block.name, block.input)
                events.append(ToolStarted(turn_id=turn.turn_id, tool=block.name, summary=summary))
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
            )
            for block in message.content
            if isinstance(block, ToolResultBlock) and block.tool_use_id in self._tools
        ]

    def _failed(self, turn: Turn, error: Exception) -> TurnEnded:
        return claude_outcome.broken(turn.turn_id, problem=self._complaint(error))

    def _complaint(self, error: BaseException) -> str:
        """The CLI's own last words where it had some, else the error's."""
        words = [line.strip() for line in self._complaints if line.strip()]
        return words[-1][:500] if words else (str(error).splitlines() or [repr(error)])[0][:500]


async def _as_written(prompt: str) -> AsyncIterator[dict[str, Any]]:
    """A prompt that the CLI hands on as it is: no @file is read, no /command is run."""
    yield {
        "type": "user",
        "message": {"role": "user", "content": prompt},
        "parent_tool_use_id": None,
        "client_composed": True,
    }


def _delta(message: StreamEvent) -> str:
    if message.parent_tool_use_id is not None:
        return ""
    delta = message.event.get("delta") or {}
    return str(delta.get("text", "")) if delta.get("type") == "text_delta" else ""
