"""What opencode tells of one turn, as events; and how the turn ended."""

import os
import re
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from agentos.backends.cli_process import Json
from agentos.domain.frames import (
    Failure,
    Spent,
    TextDelta,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    TurnUsage,
)
from agentos.domain.ports import Event

_OUTPUT_KEPT = 4000
_BY_STATUS = {
    400: Failure.refused,
    401: Failure.authentication,
    402: Failure.authentication,
    403: Failure.authentication,
    404: Failure.refused,
    413: Failure.refused,
    422: Failure.refused,
    429: Failure.rate_limited,
}
_BY_NAME = {
    "ProviderAuthError": Failure.authentication,
    "MessageAbortedError": Failure.crashed,
    "MessageOutputLengthError": Failure.refused,
    "ContextOverflowError": Failure.refused,
    "ContentFilterError": Failure.refused,
    "StructuredOutputError": Failure.nonsense,
    "ProviderModelNotFoundError": Failure.refused,
}
_LIMIT = re.compile(r"rate.?limit|too many requests|quota|usage limit|\b429\b", re.I)
# A far end that is only overloaded does not tell to come back after so long.
_LONG_SECONDS = 120.0


class OpencodeTurn:
    """Makes events of what is told of one session in one turn."""

    def __init__(self, turn_id: str, *, session_id: str, model: str, stream_text: bool) -> None:
        self._turn_id = turn_id
        self._session_id = session_id
        # What paths that it asks about begin at, where they do not begin at "/".
        self.root = "/"
        self._stream_text = stream_text
        self._ours: set[str] = set()  # messages of the model
        self._texts: set[str] = set()  # passages that are told whole
        self._running: dict[str, str] = {}
        self._steps: dict[str, TurnUsage] = {}
        self._model = model
        self._answer = ""
        self._structured: dict[str, Any] | None = None
        self._session_tokens: int | None = None
        self._error: Json | None = None

    def hear(self, event: Json) -> list[Event]:
        """The events of one thing that was told; ends are not among them."""
        told = event["properties"]
        if told.get("sessionID") != self._session_id:
            return []
        match event.get("type"):
            case "message.updated":
                self._message(_dict(told, "info"))
            case "message.part.delta":
                return self._delta(told)
            case "message.part.updated":
                return self._part(_dict(told, "part"))
            case "session.error":
                self._error = _dict(told, "error") or self._error
        return []

    def is_idle(self, event: Json) -> bool:
        """Whether this says that the session has nothing more to do."""
        ours = event["properties"].get("sessionID") == self._session_id
        return ours and event.get("type") == "session.idle"

    def waits(self, event: Json) -> TurnEnded | None:
        """The end of a turn whose model has failed and is to be asked again later, by us."""
        status = _dict(event["properties"], "status")
        if (
            event["properties"].get("sessionID") != self._session_id
            or status.get("type") != "retry"
        ):
            return None
        problem = str(status.get("message") or "the model failed")
        seconds = max(1.0, float(status.get("next") or 0) / 1000 - time.time())
        limited = bool(_LIMIT.search(problem)) or seconds > _LONG_SECONDS
        return self._failed(
            Failure.rate_limited if limited else Failure.transient,
            problem,
            retry_after=seconds if limited else None,
        )

    def ended(self) -> TurnEnded:
        """The end of the turn, when nothing more comes."""
        if self._error is not None:
            return self._failed(*failure_of(self._error))
        if not self._answer and self._structured is None and not self._steps:
            return self._failed(Failure.nonsense, "the model answered nothing")
        return TurnEnded(
            turn_id=self._turn_id,
            text=self._answer,
            structured=self._structured,
            usage=self._usage(),
            session_tokens=self._session_tokens,
        )

    def _failed(
        self, failure: Failure, problem: str, *, retry_after: float | None = None
    ) -> TurnEnded:
        return TurnEnded(
            turn_id=self._turn_id,
            usage=self._usage(),
            failure=failure,
            problem=" ".join(problem.split())[:500],
            retry_after_seconds=retry_after,
        )

    def _message(self, info: Json) -> None:
        if info.get("role") != "assistant":
            return
        self._ours.add(str(info.get("id")))
        self._model = str(info.get("modelID") or self._model)
        self.root = str(_dict(info, "path").get("root") or self.root)
        self._error = _dict(info, "error") or self._error
        if isinstance(info.get("structured"), dict):
            self._structured = info["structured"]

    def _delta(self, told: Json) -> list[Event]:
        ours = told.get("messageID") in self._ours and told.get("field") == "text"
        text = str(told.get("delta", ""))
        if not (self._stream_text and ours and text):
            return []
        return [TextDelta(turn_id=self._turn_id, text=text)]

    def _part(self, part: Json) -> list[Event]:
        if part.get("messageID") not in self._ours:
            return []
        match part.get("type"):
            case "text" if _dict(part, "time").get("end") and part.get("id") not in self._texts:
                return self._passage(part)
            case "tool" if part.get("tool") != "StructuredOutput":
                return self._tool(part)
            case "step-finish":
                return self._spent(part)
        return []

    def _passage(self, part: Json) -> list[Event]:
        text = str(part.get("text", ""))
        self._texts.add(str(part.get("id")))
        if not text.strip():
            return []
        self._answer = text.strip()
        return [TextDelta(turn_id=self._turn_id, text=text, whole=True)]

    def _tool(self, part: Json) -> list[Event]:
        state, tool = _dict(part, "state"), str(part.get("tool", "tool"))
        call_id, status = str(part.get("callID", "")), state.get("status")
        events: list[Event] = []
        if status not in ("running", "completed", "error"):
            return events
        if call_id not in self._running:
            self._running[call_id] = tool
            events.append(self._started(tool, call_id, _dict(state, "input")))
        if status != "running" and self._running[call_id]:
            self._running[call_id] = ""
            output = str(state.get("output") or state.get("error") or "")
            events.append(
                ToolEnded(
                    turn_id=self._turn_id,
                    tool=tool,
                    failed=status == "error",
                    output=output[-_OUTPUT_KEPT:],
                    call_id=call_id,
                )
            )
        return events

    def _started(self, tool: str, call_id: str, given: Json) -> ToolStarted:
        detail = str(given.get("command") or given.get("filePath") or given.get("url") or "")
        return ToolStarted(
            turn_id=self._turn_id,
            tool=tool,
            summary=in_plain_words(tool, given),
            detail=detail[:_OUTPUT_KEPT],
            call_id=call_id,
        )

    def _spent(self, part: Json) -> list[Event]:
        used = _usage_of(part, model=self._model)
        self._steps[str(part.get("id"))] = used
        self._session_tokens = used.tokens + used.cache_read_tokens
        return [Spent(turn_id=self._turn_id, usage=self._usage())]

    def _usage(self) -> TurnUsage:
        steps = self._steps.values()
        return TurnUsage(
            model=self._model,
            input_tokens=sum(step.input_tokens for step in steps),
            output_tokens=sum(step.output_tokens for step in steps),
            cache_read_tokens=sum(step.cache_read_tokens for step in steps),
            cache_write_tokens=sum(step.cache_write_tokens for step in steps),
            cost_usd=sum((step.cost_usd for step in steps), Decimal(0)),
        )


def failure_of(error: Mapping[str, Any]) -> tuple[Failure, str]:
    """Why a turn failed, by the error of its last message."""
    name, data = str(error.get("name", "")), _dict(error, "data")
    problem = str(data.get("message") or name or "it did not say why")
    if name in _BY_NAME:
        return _BY_NAME[name], problem
    status = data.get("statusCode")
    if isinstance(status, int):
        return _BY_STATUS.get(status, Failure.transient), problem
    if name == "APIError" and not data.get("isRetryable", True):
        return Failure.refused, problem
    return Failure.transient, problem


def in_plain_words(tool: str, given: Mapping[str, Any]) -> str:
    """What a tool is about to do, in one line for a phone."""

    def said(name: str) -> str:
        return " ".join(str(given.get(name, "")).split())[:160]

    file = said("filePath").rsplit("/", 1)[-1]
    match tool:
        case "bash":
            return said("description") or f"runs: {said('command')}"
        case "read":
            return f"reads {file}"
        case "write":
            return f"writes {file}"
        case "edit" | "patch" | "apply_patch":
            return f"edits {file}" if file else "edits files"
        case "glob" | "grep":
            return f"looks for {said('pattern')}"
        case "webfetch":
            return f"reads {said('url')}"
        case "websearch":
            return f"searches the web for {said('query')}"
        case _:
            return f"uses {tool}"


def asked_of_the_policy(asked: Mapping[str, Any], *, root: str) -> tuple[str, dict[str, str]]:
    """A question for a permission in the words of the policy: those of the claude backend."""
    about = _dict(asked, "metadata")
    patterns = asked.get("patterns")
    first = str(patterns[0]) if isinstance(patterns, list) and patterns else ""

    def path(name: str) -> str:
        found = str(about.get(name) or "")
        return os.path.join(root, found) if found else ""  # noqa: PTH118 - it may be a pattern

    match asked.get("permission"):
        case "bash":
            return "Bash", {"command": str(about.get("command") or first)}
        case "edit":
            return "Write", {"file_path": path("filepath") or os.path.join(root, first)}  # noqa: PTH118
        case "read":
            return "Read", {"file_path": path("filepath") or os.path.join(root, first)}  # noqa: PTH118
        case "glob" | "list":
            return "Glob", {"path": path("path"), "pattern": first}
        case "grep":
            return "Grep", {"path": path("path"), "glob": str(about.get("include") or "")}
        case "webfetch":
            return "WebFetch", {"url": first}
        case "websearch":
            return "WebSearch", {"query": first}
        case other:
            return str(other), {}


def _usage_of(part: Json, *, model: str) -> TurnUsage:
    tokens = _dict(part, "tokens")
    cache = _dict(tokens, "cache")

    def count(told: Json, name: str) -> int:
        value = told.get(name)
        return int(value) if isinstance(value, int | float) else 0

    cost = part.get("cost")
    return TurnUsage(
        model=model,
        input_tokens=count(tokens, "input"),
        output_tokens=count(tokens, "output") + count(tokens, "reasoning"),
        cache_read_tokens=count(cache, "read"),
        cache_write_tokens=count(cache, "write"),
        cost_usd=Decimal(str(round(cost, 6))) if isinstance(cost, int | float) else Decimal(0),
    )


def _dict(told: Mapping[str, Any], name: str) -> Json:
    found = told.get(name)
    return found if isinstance(found, dict) else {}
