"""What a Messages API request asks: the prompt, who asks, and how far the turn has come."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STRUCTURED_TOOL = "StructuredOutput"

_NOT_THE_PROMPT = ("<system-reminder>", "<local-command-", "<command-name>", "<command-message>")
_CWD = re.compile(r"(?:Primary working|Working) directory: ([^\n]+)")
_ARTEFACTS = re.compile(r"^\s*Artefacts folder: ([^\n]+)", re.MULTILINE)
_SESSION = re.compile(r"_session_([0-9a-fA-F-]{36})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request, read. `answered` assistant messages follow the last real prompt in it."""

    model: str
    session_id: str | None
    system: str
    prompt: str
    tools: tuple[str, ...]
    schema: Mapping[str, Any] | None
    schema_tool: bool
    answered: int
    tool_results: tuple[str, ...]
    tool_errors: tuple[str, ...]
    cwd: str
    artefacts: str
    streamed: bool
    input_tokens: int
    key: str
    # What the session was told while the turn ran, in the words of the client.
    told: tuple[str, ...] = ()

    @property
    def schema_properties(self) -> tuple[str, ...]:
        """The top-level properties of the structured answer that is wanted, if one is."""
        return tuple((self.schema or {}).get("properties", {}))


def read_turn(body: Mapping[str, Any]) -> Turn:
    """Read a request body that has the shape the API demands (see `problem_with`)."""
    messages: list[Mapping[str, Any]] = body["messages"]
    position, prompt = _last_prompt(messages)
    system = "\n\n".join(_texts(body.get("system", "")))
    tools = {str(tool.get("name", "")): tool for tool in body.get("tools") or []}
    wanted = tools.get(STRUCTURED_TOOL, {}).get("input_schema")
    schema = wanted or _native_schema(body)
    everything = "\n".join([system, *(text for one in messages for text in _texts(one["content"]))])
    session_id = _session_id(body)
    return Turn(
        model=body["model"],
        session_id=session_id,
        system=system,
        prompt=prompt,
        tools=tuple(tools),
        schema=schema,
        schema_tool=wanted is not None,
        answered=sum(one["role"] == "assistant" for one in messages[position + 1 :]),
        tool_results=_tool_results(messages[-1]),
        tool_errors=_tool_results(messages[-1], only_errors=True),
        cwd=_found(_CWD, everything),
        artefacts=_found(_ARTEFACTS, prompt) or _found(_ARTEFACTS, system),
        streamed=bool(body.get("stream")),
        input_tokens=count_tokens(body),
        key=_key(session_id, system, messages[: position + 1]),
        told=_told(messages[position + 1 :]),
    )


def problem_with(body: Any) -> str | None:
    """Why the API would refuse a request body, or None when it would not."""
    if not isinstance(body, Mapping):
        return "The request body is not valid JSON"
    if not isinstance(body.get("model"), str):
        return "model: Field required"
    messages = body.get("messages")
    if not isinstance(messages, list):
        return "messages: Field required"
    if not messages:
        return "messages: at least one message is required"
    for position, message in enumerate(messages):
        if not isinstance(message, Mapping) or "content" not in message:
            return f"messages.{position}.content: Field required"
        if message.get("role") not in ("user", "assistant", "system"):
            return f"messages.{position}.role: Input should be 'user' or 'assistant'"
    return None


def count_tokens(body: Mapping[str, Any]) -> int:
    """A quarter of the characters of system, tools and messages, rounded up."""
    parts = (body.get("system"), body.get("tools"), body.get("messages"))
    chars = sum(
        len(part if isinstance(part, str) else json.dumps(part, ensure_ascii=False))
        for part in parts
        if part
    )
    return math.ceil(chars / 4)


def _last_prompt(messages: list[Mapping[str, Any]]) -> tuple[int, str]:
    """Where the last thing that a person said stands, and what it was.

    A message of tool results is no prompt, nor is one that holds nothing but reminders.
    """
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if message["role"] != "user" or _has_tool_result(message):
            continue
        said = [
            text
            for text in _texts(message["content"])
            if not text.lstrip().startswith(_NOT_THE_PROMPT)
        ]
        if said:
            return position, said[-1]
    return -1, ""


def _told(answered: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """System messages after the first answer; what comes before it belongs to the prompt."""
    roles = [one["role"] for one in answered]
    since = roles.index("assistant") if "assistant" in roles else len(roles)
    later = [one for one in answered[since:] if one["role"] == "system"]
    return tuple(text for one in later for text in _texts(one["content"]))


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content] if content else []
    blocks = [block for block in content or [] if isinstance(block, Mapping)]
    return [block["text"] for block in blocks if block.get("type") == "text"]


def _blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message["content"]
    return [] if isinstance(content, str) else [one for one in content if isinstance(one, Mapping)]


def _has_tool_result(message: Mapping[str, Any]) -> bool:
    return any(block.get("type") == "tool_result" for block in _blocks(message))


def _tool_results(message: Mapping[str, Any], *, only_errors: bool = False) -> tuple[str, ...]:
    results = [
        block
        for block in _blocks(message)
        if block.get("type") == "tool_result" and (block.get("is_error") or not only_errors)
    ]
    return tuple("\n".join(_texts(result.get("content", "")))[:4000] for result in results)


def _native_schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    schema: Mapping[str, Any] | None = wanted.get("schema")
    return schema


def _session_id(body: Mapping[str, Any]) -> str | None:
    """The session named in the metadata: a JSON object, or in older clients a suffix."""
    user = str((body.get("metadata") or {}).get("user_id") or "")
    if user.startswith("{"):
        try:
            session_id: str | None = json.loads(user).get("session_id")
        except json.JSONDecodeError:
            return None
        return session_id
    return _found(_SESSION, user) or None


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1].strip() if match else ""


def _key(session_id: str | None, system: str, asked: list[Mapping[str, Any]]) -> str:
    """Names the turn: the same for each of its requests, and for a repeated one."""
    told = json.dumps([session_id, system, len(asked), asked[-1:]], sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
