"""The smallest value that a JSON schema accepts."""

from collections.abc import Mapping
from typing import Any

_DATES = {
    "date-time": "2025-01-01T00:00:00+00:00",
    "date": "2025-01-01",
    "time": "00:00:00",
    "email": "nobody@example.org",
    "uri": "http://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_DEPTH = 12


def example_of(schema: Mapping[str, Any]) -> Any:
    """A minimal instance: required properties only, first enum value, shortest list.

    Patterns and `not` are not looked at.
    """
    return _example(schema, root=schema, depth=_DEPTH)


def _example(schema: Mapping[str, Any], *, root: Mapping[str, Any], depth: int) -> Any:
    schema = _resolved(schema, root=root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("oneOf", "anyOf"):
        if schema.get(key):
            return _example(schema[key][0], root=root, depth=depth)
    match _type_of(schema):
        case "object":
            return _object(schema, root=root, depth=depth)
        case "array":
            return _array(schema, root=root, depth=depth)
        case "string":
            return _DATES.get(schema.get("format", ""), "-" * schema.get("minLength", 0))
        case "integer":
            return _least(schema, step=1)
        case "number":
            return _least(schema, step=0.5)
        case "boolean":
            return False
    return None


def _resolved(schema: Mapping[str, Any], *, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema with its $ref followed and its allOf laid together."""
    while "$ref" in schema:
        target: Any = root
        for step in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            target = target[step] if step else target
        schema = {**target, **{key: schema[key] for key in schema if key != "$ref"}}
    for alternative in schema.get("allOf", ()):
        part = _resolved(alternative, root=root)
        properties = {**schema.get("properties", {}), **part.get("properties", {})}
        required = [*schema.get("required", ()), *part.get("required", ())]
        schema = {**schema, **part, "properties": properties, "required": required}
    return schema


def _type_of(schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((one for one in kind if one != "null"), "null")
    if kind is None and ("properties" in schema or "required" in schema):
        return "object"
    return kind


def _object(schema: Mapping[str, Any], *, root: Mapping[str, Any], depth: int) -> Any:
    properties = schema.get("properties", {})
    names = [name for name in schema.get("required", ()) if depth > 0]
    return {name: _example(properties.get(name, {}), root=root, depth=depth - 1) for name in names}


def _array(schema: Mapping[str, Any], *, root: Mapping[str, Any], depth: int) -> Any:
    count = schema.get("minItems", 0)
    one = schema.get("items", {})
    return [_example(one, root=root, depth=depth - 1) for _ in range(count)]


def _least(schema: Mapping[str, Any], *, step: float) -> float:
    if "minimum" in schema:
        least: float = schema["minimum"]
        return least
    if "exclusiveMinimum" in schema:
        above: float = schema["exclusiveMinimum"] + step
        return above
    if "maximum" in schema:
        most: float = schema["maximum"]
        return min(0, most)
    return 0
