"""What a Gemini API request asks, read into the same turn as a Messages API request is."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from agentos.standins.messages.turn import Turn

Json = Mapping[str, Any]

# The CLI puts what it knows of the machine before the first thing that a person says.
_NOT_THE_PROMPT = ("<session_context>", "<system-reminder>", "<hook_context>")
_CWD = re.compile(r"\*\*Workspace Directories:\*\*\s*\n\s*- ([^\n]+)")
_ARTEFACTS = re.compile(r"^\s*Artefacts folder: ([^\n]+)", re.MULTILINE)


def read_turn(body: Json, *, model: str, streamed: bool) -> Turn:
    """Read a request body that has the shape the API demands (see `problem_with`)."""
    contents: list[Json] = body["contents"]
    position, prompt = _last_prompt(contents)
    system = "\n\n".join(_texts(_parts(body.get("systemInstruction"))))
    everything = "\n".join([system, *(text for one in contents for text in _texts(_parts(one)))])
    return Turn(
        model=model,
        session_id=None,
        system=system,
        prompt=prompt,
        tools=tuple(_tool_names(body)),
        schema=_schema(body),
        schema_tool=False,
        answered=sum(one.get("role") == "model" for one in contents[position + 1 :]),
        tool_results=_tool_results(contents[-1]),
        tool_errors=_tool_results(contents[-1], only_errors=True),
        cwd=_found(_CWD, everything),
        artefacts=_found(_ARTEFACTS, prompt) or _found(_ARTEFACTS, system),
        streamed=streamed,
        input_tokens=count_tokens(body),
        key=_key(system, contents[: position + 1]),
    )


def problem_with(body: Any) -> str | None:
    """Why the API would refuse a request body, or None when it would not."""
    if not isinstance(body, Mapping):
        return "Invalid JSON payload received."
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        return "* GenerateContentRequest.contents: contents is not specified"
    for position, content in enumerate(contents):
        where = f"* GenerateContentRequest.contents[{position}]"
        if not isinstance(content, Mapping) or not _parts(content):
            return f"{where}.parts: contents.parts must not be empty."
        if content.get("role", "user") not in ("user", "model"):
            return f"{where}.role: Please use a valid role: user, model."
    return None


def count_tokens(body: Json) -> int:
    """A quarter of the characters of system, tools and contents, rounded up."""
    parts = (body.get("systemInstruction"), body.get("tools"), body.get("contents"))
    chars = sum(len(json.dumps(part, ensure_ascii=False)) for part in parts if part)
    return math.ceil(chars / 4)


def _parts(content: Any) -> list[Json]:
    parts = content.get("parts") if isinstance(content, Mapping) else None
    return [part for part in parts or [] if isinstance(part, Mapping)]


def _texts(parts: list[Json]) -> list[str]:
    return [str(part["text"]) for part in parts if part.get("text") and not part.get("thought")]


def _last_prompt(contents: list[Json]) -> tuple[int, str]:
    """Where the last thing that a person said stands, and what it was; not a tool's answer."""
    for position in range(len(contents) - 1, -1, -1):
        content = contents[position]
        if content.get("role") == "model" or _answers(content):
            continue
        said = [
            text
            for text in _texts(_parts(content))
            if not text.lstrip().startswith(_NOT_THE_PROMPT)
        ]
        if said:
            return position, said[-1]
    return -1, ""


def _answers(content: Json) -> list[Json]:
    """What tools have answered, where a content holds that."""
    return [part["functionResponse"] for part in _parts(content) if part.get("functionResponse")]


def _tool_results(content: Json, *, only_errors: bool = False) -> tuple[str, ...]:
    answers = [answer.get("response") or {} for answer in _answers(content)]
    told = [one for one in answers if "error" in one or not only_errors]
    return tuple(str(one.get("error", one.get("output", "")))[:4000] for one in told)


def _tool_names(body: Json) -> list[str]:
    return [
        str(declared.get("name", ""))
        for tool in body.get("tools") or []
        for declared in tool.get("functionDeclarations") or []
    ]


def _schema(body: Json) -> Json | None:
    wanted = body.get("generationConfig") or {}
    schema: Json | None = wanted.get("responseJsonSchema") or wanted.get("responseSchema")
    return schema


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1].strip() if match else ""


def _key(system: str, asked: list[Json]) -> str:
    """Names the turn: the same for each of its requests, and for a repeated one."""
    told = json.dumps([system, len(asked), asked[-1:]], sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
