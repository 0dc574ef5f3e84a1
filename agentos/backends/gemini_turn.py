"""What the Gemini CLI says in one turn, as events; and how the turn ended."""

import json
import re
from collections.abc import Mapping
from typing import Any

from agentos.backends import acp
from agentos.backends.cli_process import Json
from agentos.domain.frames import (
    Failure,
    TextDelta,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    TurnUsage,
)
from agentos.domain.ports import Event

_OUTPUT_KEPT = 4000
_BY_CODE = {
    0: Failure.crashed,
    400: Failure.refused,
    401: Failure.authentication,
    403: Failure.authentication,
    404: Failure.refused,
    413: Failure.refused,
    422: Failure.refused,
    429: Failure.rate_limited,
    -32000: Failure.authentication,
    -32602: Failure.refused,
}
# The CLI keeps the status of some errors to itself; and the API calls a key that it does not know
# a bad request.
_NO_SUCH_MODEL = re.compile(r"models/\S+ is not (found|supported)", re.I)
_WRONG_KEY = re.compile(r"API.?key not valid|API_KEY_INVALID|API key expired", re.I)
_RETRY_AFTER = re.compile(r"retry (?:in|after) ([\d.]+) ?s", re.I)
_STOPPED = {
    "max_tokens": (Failure.refused, "the session has become too long for the model"),
    "max_turn_requests": (Failure.budget, "it went round in circles and was stopped"),
    "refusal": (Failure.refused, "the model refused to answer"),
    "cancelled": (Failure.crashed, "the turn was cancelled"),
}


class GeminiTurn:
    """Makes events of the updates of one turn."""

    def __init__(self, turn_id: str, *, model: str, stream_text: bool) -> None:
        self._turn_id = turn_id
        self._model = model
        self._stream_text = stream_text
        self._passage = ""
        self._answer = ""
        self._running: dict[str, str] = {}
        self._worked = False

    def hear(self, said: Json) -> list[Event]:
        """The events of one update."""
        update = acp.update_of(said)
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                return self._text(update)
            case "tool_call":
                return self.started(update)
            case "tool_call_update" if update.get("status") in ("completed", "failed"):
                failed = update["status"] == "failed"
                return self.tool_ended(update, failed=failed, output=_text_of(update))
        return []

    def started(self, call: Mapping[str, Any]) -> list[Event]:
        """A tool is used, or somebody is asked whether it may be."""
        tool = tool_of(call)
        self._worked = True
        self._running[str(call.get("toolCallId"))] = tool
        summary = in_plain_words(call)
        started = ToolStarted(
            turn_id=self._turn_id,
            tool=tool,
            summary=summary,
            detail=(path_of(call) or str(call.get("title", "")))[:_OUTPUT_KEPT],
            call_id=str(call.get("toolCallId", "")),
        )
        return [*self._whole(), started]

    def tool_ended(self, call: Mapping[str, Any], *, failed: bool, output: str) -> list[Event]:
        """A tool is back; one that failed at once was never told to have started."""
        before = [] if call.get("toolCallId") in self._running else self.started(call)
        tool = self._running.pop(str(call.get("toolCallId")))
        ended = ToolEnded(
            turn_id=self._turn_id,
            tool=tool,
            failed=failed,
            output=output[-_OUTPUT_KEPT:],
            call_id=str(call.get("toolCallId", "")),
        )
        return [*before, ended]

    def ended(self, result: Json) -> list[Event]:
        """The last passage, and the end of the turn."""
        events = self._whole()
        usage = _usage(result, model=self._model)
        failure, problem = _STOPPED.get(str(result.get("stopReason")), (None, ""))
        if failure is None and not self._answer and not self._worked:
            failure, problem = Failure.nonsense, "the model answered nothing"
        text = "" if failure else self._answer
        ended = TurnEnded(
            turn_id=self._turn_id, text=text, usage=usage, failure=failure, problem=problem
        )
        return [*events, ended]

    def refused(self, error: acp.Refused) -> TurnEnded:
        """The end of a turn that the API or the CLI refused."""
        failure = _BY_CODE.get(error.code, Failure.transient)
        if _WRONG_KEY.search(error.words):
            failure = Failure.authentication
        elif _NO_SUCH_MODEL.search(error.words):
            failure = Failure.refused
        after = _RETRY_AFTER.search(error.words) if failure is Failure.rate_limited else None
        return TurnEnded(
            turn_id=self._turn_id,
            usage=TurnUsage(model=self._model),
            failure=failure,
            problem=error.words,
            retry_after_seconds=float(after[1]) if after else None,
        )

    def _text(self, update: Json) -> list[Event]:
        content = update.get("content")
        text = str(content.get("text", "")) if isinstance(content, dict) else ""
        self._passage += text
        if not text or not self._stream_text:
            return []
        return [TextDelta(turn_id=self._turn_id, text=text)]

    def _whole(self) -> list[Event]:
        passage, self._passage = self._passage, ""
        if not passage.strip():
            return []
        self._answer = passage.strip()
        return [TextDelta(turn_id=self._turn_id, text=passage, whole=True)]


def tool_of(call: Mapping[str, Any]) -> str:
    """The tool's own name, which its calls begin with; else what kind of tool it is."""
    name, found, _ = str(call.get("toolCallId", "")).partition("__")
    return name if found else str(call.get("kind") or "tool")


def path_of(call: Mapping[str, Any]) -> str:
    """The file that a call is about; empty when there is none."""
    for part in [*_list(call, "content"), *_list(call, "locations")]:
        if part.get("path"):
            return str(part["path"])
    return ""


def asked_of_the_policy(call: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """A call in the words of the policy, which are those of the claude backend."""
    title = str(call.get("title", ""))
    match call.get("kind"):
        case "execute":
            return "Bash", {"command": title}
        case "edit" | "delete" | "move":
            return "Write", {"file_path": path_of(call)}
        case "read":
            return "Read", {"file_path": path_of(call)}
        case "fetch":
            return "WebFetch", {"url": title}
        case _:
            return tool_of(call), {}


def in_plain_words(call: Mapping[str, Any]) -> str:
    """What a tool is about to do, in one line for a phone."""
    title = " ".join(str(call.get("title", "")).split())[:160]
    file = path_of(call).rsplit("/", 1)[-1]
    match call.get("kind"):
        case "execute" if title:
            return f"runs: {title}"
        case "edit" if file:
            return f"writes {file}"
        case "read" if file:
            return f"reads {file}"
        case "search" if title:
            return f"looks for {title}"
        case "fetch" if title:
            return f"reads {title}"
        case _:
            return f"uses {tool_of(call)}"


def _list(call: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    parts = call.get(name)
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _text_of(update: Json) -> str:
    """What a tool has put out; the change itself for one that changes a file is not told again."""
    inner = [part.get("content") for part in _list(update, "content")]
    return "\n".join(str(one.get("text", "")) for one in inner if isinstance(one, dict))


def _usage(result: Json, *, model: str) -> TurnUsage:
    """Tokens of all requests of a turn; those from a cache are counted as any other."""
    try:
        quota = result["_meta"]["quota"]
        used = [one["model"] for one in quota["model_usage"]]
        count = quota["token_count"]
        return TurnUsage(
            model=str(used[-1]) if used else model,
            input_tokens=int(count["input_tokens"]),
            output_tokens=int(count["output_tokens"]),
        )
    except (KeyError, TypeError, ValueError):
        return TurnUsage(model=model)


def as_program_reads(schema: Mapping[str, Any]) -> str:
    """What is said to a model whose answer has to be an object; this CLI has no way for it."""
    return (
        "A program reads the answer: one JSON object that fits this schema, and nothing else.\n"
        + json.dumps(schema, ensure_ascii=False)
    )
