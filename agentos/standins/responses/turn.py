"""What a Responses API request asks: the prompt, who asks, and how far the turn has come."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentos.standins.messages.turn import Turn

# No model of this name is known; whoever asks for it is told so, as the API does.
UNKNOWN_MODEL = "no-such-model"

# What the Codex CLI says in the user's name before the user has said anything.
_NOT_THE_PROMPT = ("<environment_context>", "<user_instructions>", "# AGENTS.md")
_CWD = re.compile(r"<cwd>([^<]+)</cwd>|(?:Primary working|Working) directory: ([^\n]+)")
_ARTEFACTS = re.compile(r"^\s*Artefacts folder: ([^\n]+)", re.MULTILINE)
_OUTPUTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
_CALLS = ("function_call", "custom_tool_call", "local_shell_call")
_FAILED = re.compile(r"(?:exited with code|Exit code:|exit_code\D{1,3})\s*-?[1-9]")


def problem_with(body: Any) -> tuple[int, str] | None:
    """Why the API would refuse a request body, with its status; None when it would not."""
    if not isinstance(body, Mapping):
        return 400, "The request body is not valid JSON."
    if not isinstance(body.get("model"), str):
        return 400, "Missing required parameter: 'model'."
    if not body.get("input"):
        return 400, "Missing required parameter: 'input'."
    if body["model"] == UNKNOWN_MODEL:
        return 404, f"The model `{UNKNOWN_MODEL}` does not exist or you do not have access to it."
    return None


def read_turn(body: Mapping[str, Any]) -> Turn:
    """Read a request body that has the shape the API demands (see `problem_with`)."""
    items = _items(body["input"])
    position, prompt = _last_prompt(items)
    told = [_text(one) for one in items if one.get("role") in ("developer", "system")]
    system = "\n\n".join([str(body.get("instructions") or ""), *told]).strip()
    everything = "\n".join([system, *(_text(one) for one in items)])
    after = items[position + 1 :]
    results = [_output(one) for one in after if one.get("type") in _OUTPUTS]
    form = (body.get("text") or {}).get("format") or {}
    counted = json.dumps([body.get("instructions"), items, body.get("tools")], ensure_ascii=False)
    session_id = body.get("prompt_cache_key")
    return Turn(
        model=body["model"],
        session_id=session_id,
        system=system,
        prompt=prompt,
        tools=tuple(str(tool.get("name") or tool.get("type")) for tool in body.get("tools") or []),
        schema=form.get("schema") if form.get("type") == "json_schema" else None,
        schema_tool=False,
        answered=_answered(after),
        tool_results=tuple(result[:4000] for result in results),
        tool_errors=tuple(result[:4000] for result in results if _FAILED.search(result[:200])),
        cwd=_found(_CWD, everything),
        artefacts=_found(_ARTEFACTS, prompt) or _found(_ARTEFACTS, system),
        streamed=bool(body.get("stream")),
        input_tokens=math.ceil(len(counted) / 4),
        key=_key(session_id, items[: position + 1]),
    )


def _items(given: Any) -> list[Mapping[str, Any]]:
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return [one for one in given if isinstance(one, Mapping)]


def _text(item: Mapping[str, Any]) -> str:
    content = item.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))


def _last_prompt(items: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """Where the last thing that a person said stands, and what it was."""
    for position in range(len(items) - 1, -1, -1):
        said = _text(items[position]).strip()
        if items[position].get("role") == "user" and not said.startswith(_NOT_THE_PROMPT):
            return position, said
    return -1, ""


def _answered(after: Sequence[Mapping[str, Any]]) -> int:
    """How many responses came since the prompt: what the model said in one stands together."""
    count, inside = 0, False
    for item in after:
        ours = item.get("role") == "assistant" or item.get("type") in (*_CALLS, "reasoning")
        count += ours and not inside
        inside = ours
    return count


def _output(item: Mapping[str, Any]) -> str:
    output = item.get("output", "")
    if isinstance(output, list):
        return "\n".join(str(part.get("text", "")) for part in output if isinstance(part, Mapping))
    return str(output)


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return next((group.strip() for group in match.groups() if group), "") if match else ""


def _key(session_id: str | None, asked: Sequence[Mapping[str, Any]]) -> str:
    """Names the turn: the same for each of its requests, and for a repeated one."""
    told = json.dumps([session_id, len(asked), asked[-1:]], sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
