"""A Gemini API answer: blocks in, the API's JSON and its event stream out."""

import json
import math
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from agentos.standins.messages.turn import Turn
from agentos.standins.script import Block

Json = dict[str, Any]

_CHUNKS_MAX = 12
_CHUNK_MIN = 24


def build_answer(
    turn: Turn,
    *,
    blocks: list[Block],
    usage: Mapping[str, Any] | None = None,
    finish_reason: str | None = None,
) -> Json:
    """The whole GenerateContentResponse. Usage is counted; `usage` overrides fields of it."""
    parts = [_part(block) for block in blocks]
    said = math.ceil(sum(len(json.dumps(part, ensure_ascii=False)) for part in parts) / 4)
    counted = {
        "promptTokenCount": turn.input_tokens,
        "candidatesTokenCount": max(1, said),
        "totalTokenCount": turn.input_tokens + max(1, said),
    }
    candidate = {
        "content": {"parts": parts, "role": "model"},
        "finishReason": finish_reason or "STOP",
        "index": 0,
    }
    return {
        "candidates": [candidate],
        "usageMetadata": {**counted, **(usage or {})},
        "modelVersion": turn.model,
        "responseId": uuid.uuid4().hex[:22],
    }


def events_of(answer: Json) -> Iterator[bytes]:
    """The answer as server-sent events; only the last says why it ends and what it used."""
    [candidate] = answer["candidates"]
    pieces = [piece for part in candidate["content"]["parts"] for piece in _pieces(part)]
    for number, piece in enumerate(pieces, start=1):
        content = {"parts": [piece], "role": "model"}
        if number < len(pieces):
            shared = {key: answer[key] for key in ("modelVersion", "responseId")}
            yield _event({"candidates": [{"content": content, "index": 0}], **shared})
        else:
            yield _event({**answer, "candidates": [{**candidate, "content": content}]})


def _part(block: Block) -> Json:
    if block.text is not None:
        return {"text": block.text}
    if block.thinking is not None:
        return {"text": block.thinking, "thought": True}
    if block.tool is not None:
        return {"functionCall": {"name": block.tool, "args": block.input or {}}}
    return {"text": json.dumps(block.structured, ensure_ascii=False)}


def _pieces(part: Json) -> Iterator[Json]:
    """A text in pieces; a function call comes whole."""
    text = part.get("text")
    if not text:
        yield part
        return
    size = max(_CHUNK_MIN, math.ceil(len(text) / _CHUNKS_MAX))
    for start in range(0, len(text), size):
        yield {**part, "text": text[start : start + size]}


def _event(data: Json) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\r\n\r\n".encode()
