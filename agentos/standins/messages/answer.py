"""An assistant message: content blocks in, the API's JSON and its event stream out."""

import json
import math
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from agentos.standins.messages.turn import STRUCTURED_TOOL, Turn
from agentos.standins.script import Block

Json = dict[str, Any]

_CHUNK_MIN = 24
_CHUNKS_MAX = 40


def build_message(
    turn: Turn,
    *,
    blocks: list[Block],
    usage: Mapping[str, Any] | None = None,
    stop_reason: str | None = None,
) -> Json:
    """The whole Message object. Usage is counted from the text; `usage` overrides fields of it."""
    content = [_content(block, turn) for block in blocks]
    chars = sum(len(_payload(one)) for one in content)
    tool = any(one["type"] == "tool_use" for one in content)
    counted = {
        "input_tokens": turn.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": max(1, math.ceil(chars / 4)),
        "service_tier": "standard",
    }
    return {
        "id": _new_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": turn.model,
        "content": content,
        "stop_reason": stop_reason or ("tool_use" if tool else "end_turn"),
        "stop_sequence": None,
        "usage": {**counted, **(usage or {})},
    }


def events_of(message: Json) -> Iterator[bytes]:
    """The message as server-sent events, one a piece, in the order the API sends them."""
    opening = {**message, "content": [], "stop_reason": None}
    opening["usage"] = {**message["usage"], "output_tokens": 1}
    yield _event("message_start", message=opening)
    yield _event("ping")
    for index, block in enumerate(message["content"]):
        yield _event("content_block_start", index=index, content_block=_empty(block))
        for delta in _deltas(block):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    closing = {key: message[key] for key in ("stop_reason", "stop_sequence")}
    kept = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    usage = {key: message["usage"][key] for key in (*kept, "output_tokens")}
    yield _event("message_delta", delta=closing, usage=usage)
    yield _event("message_stop")


def _new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:24]}"


def _content(block: Block, turn: Turn) -> Json:
    if block.text is not None:
        return {"type": "text", "text": block.text}
    if block.thinking is not None:
        return {"type": "thinking", "thinking": block.thinking, "signature": "c3RhbmQtaW4="}
    if block.tool is not None:
        return _tool_use(block.tool, block.input or {})
    if turn.schema_tool:
        return _tool_use(STRUCTURED_TOOL, block.structured)
    return {"type": "text", "text": json.dumps(block.structured, ensure_ascii=False)}


def _tool_use(name: str, arguments: Any) -> Json:
    return {"type": "tool_use", "id": _new_id("toolu"), "name": name, "input": arguments}


def _payload(block: Json) -> str:
    if block["type"] == "tool_use":
        return json.dumps(block["input"], ensure_ascii=False)
    text: str = block[block["type"]]
    return text


def _empty(block: Json) -> Json:
    match block["type"]:
        case "tool_use":
            return {**block, "input": {}}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case _:
            return {"type": "text", "text": ""}


def _deltas(block: Json) -> Iterator[Json]:
    payload = _payload(block)
    match block["type"]:
        case "tool_use":
            yield {"type": "input_json_delta", "partial_json": ""}
            for piece in _pieces(payload, smallest=12):
                yield {"type": "input_json_delta", "partial_json": piece}
        case "thinking":
            for piece in _pieces(payload):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case _:
            for piece in _pieces(payload):
                yield {"type": "text_delta", "text": piece}


def _pieces(text: str, *, smallest: int = _CHUNK_MIN) -> Iterator[str]:
    size = max(smallest, math.ceil(len(text) / _CHUNKS_MAX))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()
