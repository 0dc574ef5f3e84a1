"""How a turn of the Claude CLI goes and ends: what it uses, its result, or why it failed."""

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from claude_agent_sdk import (
    AssistantMessage,
    ContentBlock,
    Message,
    RateLimitEvent,
    ResultMessage,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)

from agentos.domain.frames import Failure, TurnEnded, TurnUsage

_LONGEST_DETAIL = 2000

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


# What the CLI calls the sums of a model's tokens: input, output, read from and written to a cache.
_SUMS = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
# About as many as English and code have.
_CHARACTERS_A_TOKEN = 4


class Bill:
    """What the turns of one process of the CLI cost.

    The CLI tells the sum over all its turns, and after an orderly end a resumed session goes on
    with the sum of the process before.
    """

    def __init__(self) -> None:
        # What the sum was before; None when that is not known.
        self._paid: Decimal | None = None

    def begin(self, *, resumed: bool) -> None:
        """A process of the CLI begins."""
        self._paid = None if resumed else Decimal(0)

    def of(self, message: ResultMessage) -> Decimal:
        """What this turn cost."""
        total = Decimal(str(message.total_cost_usd or 0))
        paid, self._paid = self._paid, total
        known = paid is not None and total >= paid
        return round(total - (paid or 0) if known else total * _share(message), 6)


class Outcome:
    """Gathers what a turn says of itself until its result is there."""

    def __init__(self, *, turn_id: str, model: str, bill: Bill) -> None:
        self._turn_id = turn_id
        self._model = model
        self._bill = bill
        self._error: str | None = None
        self._resets_at: float | None = None
        self._request = ""
        # Of the requests before the newest, and of the newest.
        self._before = TurnUsage()
        self._newest = TurnUsage()

    def heard(self, message: AssistantMessage) -> bool:
        """Take in what the model says; whether it is the first word of another request."""
        self._error = message.error or self._error
        if not message.model or message.model.startswith("<"):
            return False  # not a model's: an error in the shape of an answer
        self._model = message.model
        if message.parent_tool_use_id is not None or message.usage is None:
            return False
        is_new = message.message_id != self._request
        if is_new:
            self._request = message.message_id or ""
            self._before = _sum(self._before, self._newest)
            self._newest = _tokens(message.usage, model=self._model)
        # Each message repeats what was counted as the request began: one token of output.
        said = sum(map(_characters, message.content)) // _CHARACTERS_A_TOKEN
        output = self._newest.output_tokens + said
        self._newest = self._newest.model_copy(update={"output_tokens": output})
        return is_new

    @property
    def spent(self) -> TurnUsage:
        """All that the turn has used so far; of the output, what its characters come to."""
        return _sum(self._before, self._newest)

    @property
    def session_tokens(self) -> int | None:
        """How much the newest request has filled of the context; None before the first."""
        newest = self._newest
        return (newest.tokens + newest.cache_read_tokens) or None

    def noted(self, message: Message) -> None:
        """A rate limit tells when it ends."""
        if isinstance(message, RateLimitEvent) and message.rate_limit_info.resets_at:
            self._resets_at = float(message.rate_limit_info.resets_at)

    def ended(self, message: ResultMessage) -> TurnEnded:
        """The end of the turn, with its cause when it failed."""
        text = message.result or ""
        structured = message.structured_output
        failure = self._failure(message)
        usage = _tokens(message.usage or {}, model=self._model)
        return TurnEnded(
            turn_id=self._turn_id,
            text=text if failure is None else "",
            structured=structured if isinstance(structured, dict) else None,
            usage=usage.model_copy(update={"cost_usd": self._bill.of(message)}),
            session_tokens=self.session_tokens,
            failure=failure,
            problem=_problem(message) if failure else "",
            retry_after_seconds=self._retry_after() if failure is Failure.rate_limited else None,
        )

    def broken(self, problem: str) -> TurnEnded:
        """The CLI ended, or said what nobody understands."""
        return TurnEnded(
            turn_id=self._turn_id,
            usage=self.spent,
            session_tokens=self.session_tokens,
            failure=Failure.crashed,
            problem=problem,
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
        case "mcp__agentos__recall":
            return f"looks into memory for {said('query')}"
        case "mcp__agentos__remember":
            return f"remembers: {said('text')}"
        case "mcp__agentos__request_forget":
            return f"asks to forget #{said('memory')}"
        case "mcp__agentos__ask_owner":
            return f"asks you: {said('question')}"
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


def detail_of(arguments: Mapping[str, Any]) -> str:
    """What a tool is called with, as JSON; the command alone of one that has little else."""
    command = arguments.get("command")
    told = command if isinstance(command, str) else json.dumps(arguments, ensure_ascii=False)
    return told[:_LONGEST_DETAIL]


def _tokens(usage: Mapping[str, Any], *, model: str) -> TurnUsage:
    def told(name: str) -> int:
        return int(usage.get(name) or 0)

    return TurnUsage(
        model=model,
        input_tokens=told("input_tokens"),
        output_tokens=told("output_tokens"),
        cache_read_tokens=told("cache_read_input_tokens"),
        cache_write_tokens=told("cache_creation_input_tokens"),
    )


def _sum(one: TurnUsage, other: TurnUsage) -> TurnUsage:
    return TurnUsage(
        model=other.model or one.model,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cache_read_tokens=one.cache_read_tokens + other.cache_read_tokens,
        cache_write_tokens=one.cache_write_tokens + other.cache_write_tokens,
    )


def _characters(block: ContentBlock) -> int:
    match block:
        case TextBlock():
            return len(block.text)
        case ThinkingBlock():
            return len(block.thinking)
        case ToolUseBlock():
            return len(json.dumps(block.input))
        case _:
            return 0


def _share(message: ResultMessage) -> Decimal:
    """How much of the sum is this turn's, from the tokens that both of them tell.

    All current models have the same ratios between their prices: output costs five times as much
    as input, reading from a cache a tenth, writing to it five quarters.
    """
    all_of_it = Decimal(0)
    for told in (message.model_usage or {}).values():
        each: Mapping[str, Any] = dict(told)
        all_of_it += _weight(*(int(each.get(name) or 0) for name in _SUMS))
    used = _tokens(message.usage or {}, model="")
    ours = _weight(
        used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens
    )
    return Decimal(1) if ours >= all_of_it else ours / all_of_it


def _weight(read: int, written: int, from_cache: int, to_cache: int) -> Decimal:
    return read + 5 * written + from_cache / Decimal(10) + to_cache * Decimal("1.25")


def _problem(message: ResultMessage) -> str:
    words = message.errors or [message.result or message.subtype]
    return " ".join(" ".join(words).split())[:500]
