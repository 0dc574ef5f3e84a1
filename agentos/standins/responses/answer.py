"""A Response object: content blocks in, the API's JSON and its event stream out."""

import json
import math
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from agentos.standins.messages.turn import Turn
from agentos.standins.script import Block

Json = dict[str, Any]

_CHUNK_MIN = 24
_CHUNKS_MAX = 40


def build_response(turn: Turn, *, blocks: list[Block], usage: Mapping[str, Any]) -> Json:
    """The whole Response. Usage is counted from the text; `usage` overrides fields of it."""
    output = [_item(block) for block in blocks]
    chars = sum(len(_payload(one)) for one in output)
    counted = {
        "input_tokens": turn.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": max(1, math.ceil(chars / 4)),
        "output_tokens_details": {"reasoning_tokens": 0},
        **usage,
    }
    counted["total_tokens"] = counted["input_tokens"] + counted["output_tokens"]
    return {
        "id": _new_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "model": turn.model,
        "output": output,
        "usage": counted,
    }


def events_of(response: Json) -> Iterator[bytes]:
    """The response as server-sent events, one a piece, in the order the API sends them."""
    number = iter(range(1_000_000))
    opening = {**response, "status": "in_progress", "output": [], "usage": None}
    yield _event("response.created", next(number), response=opening)
    yield _event("response.in_progress", next(number), response=opening)
    for index, item in enumerate(response["output"]):
        place: Json = {"output_index": index, "item_id": item["id"]}
        started = _begun(item)
        yield _event("response.output_item.added", next(number), output_index=index, item=started)
        for kind, fields in _deltas(item):
            yield _event(kind, next(number), **place, **fields)
        yield _event("response.output_item.done", next(number), output_index=index, item=item)
    yield _event("response.completed", next(number), response=response)


def _item(block: Block) -> Json:
    if block.thinking is not None:
        summary = [{"type": "summary_text", "text": block.thinking}]
        return {"type": "reasoning", "id": _new_id("rs"), "summary": summary}
    if block.tool is not None:
        return {
            "type": "function_call",
            "id": _new_id("fc"),
            "call_id": _new_id("call"),
            "name": block.tool,
            "arguments": json.dumps(block.input or {}, ensure_ascii=False),
            "status": "completed",
        }
    text = block.text
    if text is None:
        text = json.dumps(block.structured, ensure_ascii=False)
    return {
        "type": "message",
        "id": _new_id("msg"),
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def _payload(item: Json) -> str:
    match item["type"]:
        case "function_call":
            return str(item["arguments"])
        case "reasoning":
            return str(item["summary"][0]["text"])
        case _:
            return str(item["content"][0]["text"])


def _begun(item: Json) -> Json:
    match item["type"]:
        case "function_call":
            return {**item, "arguments": "", "status": "in_progress"}
        case "reasoning":
            return {**item, "summary": []}
        case _:
            return {**item, "content": [], "status": "in_progress"}


def _deltas(item: Json) -> Iterator[tuple[str, Json]]:
    text = _payload(item)
    match item["type"]:
        case "function_call":
            for piece in _cut(text):
                yield "response.function_call_arguments.delta", {"delta": piece}
            yield "response.function_call_arguments.done", {"arguments": text}
        case "reasoning":
            for piece in _cut(text):
                yield "response.reasoning_summary_text.delta", {"summary_index": 0, "delta": piece}
            yield "response.reasoning_summary_text.done", {"summary_index": 0, "text": text}
        case _:
            part = item["content"][0]
            yield "response.content_part.added", {"content_index": 0, "part": {**part, "text": ""}}
            for piece in _cut(text):
                yield "response.output_text.delta", {"content_index": 0, "delta": piece}
            yield "response.output_text.done", {"content_index": 0, "text": text}
            yield "response.content_part.done", {"content_index": 0, "part": part}


def _cut(text: str) -> Iterator[str]:
    size = max(_CHUNK_MIN, math.ceil(len(text) / _CHUNKS_MAX))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:24]}"


def _event(kind: str, number: int, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": number, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()
