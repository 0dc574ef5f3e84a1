"""{{name}} in scripted replies: which names a reply uses, and putting values in."""

import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]+(?:\.\w+)?)\s*\}\}")


def names_in(value: Any) -> set[str]:
    """Every placeholder name in a string, or in the strings of nested lists and dicts."""
    if isinstance(value, str):
        return set(_PLACEHOLDER.findall(value))
    if isinstance(value, Mapping):
        return {name for item in (*value.keys(), *value.values()) for name in names_in(item)}
    if isinstance(value, list):
        return {name for item in value for name in names_in(item)}
    return set()


def fill(value: Any, *, values: Mapping[str, str]) -> Any:
    """`value` with its placeholders replaced at any depth. A name without a value becomes "".

    What is put in is not looked at again, so a prompt may itself contain braces.
    """
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: values.get(found[1], ""), value)
    if isinstance(value, Mapping):
        return {fill(key, values=values): fill(item, values=values) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, values=values) for item in value]
    return value
