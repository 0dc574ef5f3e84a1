"""The stand-in's own small brain: what it answers when no script says otherwise.

Deterministic rules and no learning: enough that somebody without a key sees the whole system
move, and honest about what it is wherever a person reads it.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agentos.domain.classifier import classify
from agentos.standins import house_chat, house_job, house_plan
from agentos.standins.example import example_of
from agentos.standins.messages.turn import Turn
from agentos.standins.script import Block

_MESSAGE = re.compile(r"<message>\n?(.*?)\n?</message>", re.DOTALL)
_NOW = re.compile(r"^\s*Now: (\S+)", re.MULTILINE)
_JUDGED = "Looked at by the built-in stand-in, which checks nothing. A real model would judge it."


def answer(turn: Turn) -> list[Block]:
    """The blocks of the next assistant message of a turn."""
    if turn.schema is not None:
        return [Block(structured=_structured(turn, schema=turn.schema))]
    if "Write" in turn.tools and turn.artefacts:
        return house_job.answer(turn)
    said = _message(turn.prompt)
    return [Block(text=house_chat.answer(said, now=_now(turn)))]


def _structured(turn: Turn, *, schema: Mapping[str, Any]) -> Any:
    properties = turn.schema_properties
    if "decision" in properties:
        now = _now(turn) or datetime.now(UTC)
        return classify(_message(turn.prompt), now=now).model_dump(mode="json")
    if "steps" in properties:
        return house_plan.answer(turn.prompt)
    if "score" in properties:
        return _favourable(schema)
    return example_of(schema)


def _favourable(schema: Mapping[str, Any]) -> Any:
    """A judgement that lets the work pass, saying that nobody judged."""
    judgement = example_of(schema)
    for name, part in schema["properties"].items():
        kind = part.get("type")
        if name == "score":
            judgement[name] = part.get("maximum", 1 if kind == "number" else 10)
        elif kind == "boolean":
            judgement[name] = True
        elif kind == "string" and "enum" not in part and name in judgement:
            judgement[name] = _JUDGED[: part.get("maxLength", len(_JUDGED))]
    return judgement


def _message(prompt: str) -> str:
    """What the owner wrote: the last <message>, or the whole prompt when nothing is marked."""
    marked = _MESSAGE.findall(prompt)
    return (marked[-1] if marked else prompt).strip()


def _now(turn: Turn) -> datetime | None:
    """The time that the prompt tells, when it tells one with its offset."""
    for text in (turn.prompt, turn.system):
        for found in _NOW.findall(text):
            try:
                now = datetime.fromisoformat(found)
            except ValueError:
                continue
            if now.tzinfo is not None:
                return now
    return None
