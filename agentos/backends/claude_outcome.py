"""How a turn of the Claude CLI ended: its result, what it used, or why it failed."""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from claude_agent_sdk import AssistantMessage, Message, RateLimitEvent, ResultMessage

from agentos.domain.frames import Failure, TurnEnded, TurnUsage

_BY_STATUS = {
    400: Failure.refused,
    401: Failure.authentication,
    403: Failure.authentication,
    404: Failure.refused,
    413: Failure.refused,
    422: Failure.refused,
    429: Failure.rate_limited,
}
_BY_WORD = {
    "authentication_failed": Failure.authentication,
    "billing_error": Failure.authentication,
    "oauth_org_not_allowed": Failure.authentication,
    "rate_limit": Failure.rate_limited,
    "invalid_request": Failure.refused,
    "model_not_found": Failure.refused,
    "server_error": Failure.transient,
    "overloaded": Failure.transient,
}


class Outcome:
    """Gathers what a turn says of itself until its result is there."""

    def __init__(self, *, turn_id: str, model: str) -> None:
        self._turn_id = turn_id
        self._model = model
        self._error: str | None = None
        self._resets_at: float | None = None

    def heard(self, message: AssistantMessage) -> None:
        """What model answered, and whether it was an error in the shape of an answer."""
        if message.model and not message.model.startswith("<"):
            self._model = message.model
        self._error = message.error or self._error

    def noted(self, message: Message) -> None:
        """A rate limit tells when it ends."""
        if isinstance(message, RateLimitEvent) and message.rate_limit_info.resets_at:
            self._resets_at = float(message.rate_limit_info.resets_at)

    def ended(self, message: ResultMessage) -> TurnEnded:
        """The end of the turn, with its cause when it failed."""
        text = message.result or ""
        structured = message.structured_output
        failure = self._failure(message)
        return TurnEnded(
            turn_id=self._turn_id,
            text=text if failure is None else "",
            structured=structured if isinstance(structured, dict) else None,
            usage=_usage(message, model=self._model),
            failure=failure,
            problem=_problem(message) if failure else "",
            retry_after_seconds=self._retry_after() if failure is Failure.rate_limited else None,
        )

    def _failure(self, message: ResultMessage) -> Failure | None:
        if not message.is_error and message.subtype == "success":
            return None
        if message.subtype in ("error_max_budget_usd", "error_max_turns"):
            return Failure.budget
        if message.subtype == "error_max_structured_output_retries":
            return Failure.nonsense
        if message.api_error_status in _BY_STATUS:
            return _BY_STATUS[message.api_error_status]
        if self._error in _BY_WORD:
            return _BY_WORD[self._error]
        return Failure.transient

    def _retry_after(self) -> float | None:
        if self._resets_at is None:
            return None
        return max(1.0, self._resets_at - time.time())


def broken(turn_id: str, *, problem: str) -> TurnEnded:
    """The CLI ended, or said what nobody understands."""
    return TurnEnded(turn_id=turn_id, failure=Failure.crashed, problem=problem)


def in_plain_words(tool: str, arguments: Mapping[str, Any]) -> str:
    """What a tool is about to do, in one line for a phone."""

    def said(name: str) -> str:
        return " ".join(str(arguments.get(name, "")).split())[:160]

    def file(name: str) -> str:
        return said(name).rsplit("/", 1)[-1]

    match tool:
        case "Bash":
            return said("description") or f"runs: {said('command')}"
        case "Read":
            return f"reads {file('file_path')}"
        case "Write":
            return f"writes {file('file_path')}"
        case "Edit" | "NotebookEdit":
            return f"edits {file('file_path') or file('notebook_path')}"
        case "Glob" | "Grep":
            return f"looks for {said('pattern')}"
        case "WebSearch":
            return f"searches the web for {said('query')}"
        case "WebFetch":
            return f"reads {said('url')}"
        case _:
            return f"uses {tool}"


def text_of(content: Any) -> str:
    """The text of a tool's result, whichever of its shapes it has."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [str(part.get("text", "")) for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if part)
    return ""


def _usage(message: ResultMessage, *, model: str) -> TurnUsage:
    usage = message.usage or {}
    return TurnUsage(
        model=model,
        input_tokens=int(usage.get("input_tokens") or 0),
        output_tokens=int(usage.get("output_tokens") or 0),
        cache_read_tokens=int(usage.get("cache_read_input_tokens") or 0),
        cache_write_tokens=int(usage.get("cache_creation_input_tokens") or 0),
        cost_usd=Decimal(str(round(message.total_cost_usd or 0.0, 6))),
    )


def _problem(message: ResultMessage) -> str:
    words = message.errors or [message.result or message.subtype]
    return " ".join(" ".join(words).split())[:500]
