"""JSON schemas for structured answers, and reading an answer back into its class."""

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agentos.domain.frames import TurnEnded

M = TypeVar("M", bound=BaseModel)
# The words that every provider of structured output understands; the classes check the rest.
_KEPT = ("type", "const", "enum", "description")
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """The schema of a class as one plain object: no references, no lengths, all fields required."""
    whole = kind.model_json_schema()
    return _plain(whole, whole.get("$defs", {}))


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found = definitions[schema["$ref"].rpartition("/")[2]]
        plain = _plain(found, definitions)
        # The description of a class is for readers of the code; a field's own says what to write.
        plain.pop("description", None)
        return plain | {key: schema[key] for key in ("description",) if key in schema}
    variants = schema.get("anyOf") or schema.get("oneOf")
    if variants:
        return {"anyOf": [_plain(variant, definitions) for variant in variants]}
    plain = {key: schema[key] for key in _KEPT if key in schema}
    if "items" in schema:
        plain["items"] = _plain(schema["items"], definitions)
    if "properties" in schema:
        properties = schema["properties"]
        plain.pop("description", None)
        plain["properties"] = {name: _plain(part, definitions) for name, part in properties.items()}
        plain["required"] = list(properties)
    return plain


def read_answer(kind: type[M], ended: TurnEnded) -> M | None:
    """The structured answer of a turn, or the first that its text holds; None when there is none.

    A text or a list that is too long is cut to its limit: a provider does not know our limits.
    """
    if ended.failure is not None:
        return None
    for candidate in _candidates(ended):
        if (answer := _validated(kind, candidate)) is not None:
            return answer
    return None


def _candidates(ended: TurnEnded) -> list[dict[str, Any]]:
    found = [ended.structured] if ended.structured is not None else []
    text = ended.text
    outer = text[text.find("{") : text.rfind("}") + 1]
    for written in (*_FENCE.findall(text), outer):
        try:
            value = json.loads(written)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _validated(kind: type[M], value: dict[str, Any]) -> M | None:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        shortened = json.loads(json.dumps(value))
        for problem in error.errors(include_url=False, include_input=False):
            _shorten(shortened, problem["loc"], problem.get("ctx") or {})
    try:
        return kind.model_validate(shortened)
    except ValidationError:
        return None


def _shorten(value: Any, where: tuple[int | str, ...], limits: dict[str, Any]) -> None:
    """Cut what a validation error names to the length that the error allows."""
    longest = limits.get("max_length")
    steps = [step for step in where if step is not None]
    if longest is None or not steps:
        return
    for step in steps[:-1]:
        if isinstance(value, dict) and step not in value:
            continue  # the name of a variant of a union, which is in the path but not in the value
        value = value[step]
    last = steps[-1]
    if isinstance(value[last], str):
        # A character is kept for the mark that something is missing.
        value[last] = value[last].strip()[: longest - 1].rstrip() + "…"
    elif isinstance(value[last], list):
        value[last] = value[last][:longest]
