"""Message text as Telegram keeps it: parsed, trimmed, measured in UTF-16 units."""

from dataclasses import dataclass, field
from typing import Any

from agentos.standins.bot.entities import is_blank, problem_of
from agentos.standins.bot.html_mode import parse_html
from agentos.standins.bot.markdown_mode import parse_markdown
from agentos.standins.bot.params import Params
from agentos.standins.bot.refusal import bad

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Styled:
    """Text and its entities, offsets and lengths in UTF-16 units."""

    text: str = ""
    entities: list[Json] = field(default_factory=list)


def utf16_length(text: str) -> int:
    """How long Telegram says a text is."""
    return len(text.encode("utf-16-le")) // 2


def styled_text(params: Params, *, name: str, entities: str) -> Styled:
    """The text parameter `name` after parse_mode, or with the entities that were sent."""
    raw = params.text(name)
    mode = params.text("parse_mode").lower()
    match mode:
        case "html":
            text, found = parse_html(raw)
        case "markdownv2":
            text, found = parse_markdown(raw)
        case "" | "markdown":
            text, found = raw, params.decoded(entities) or []
            if problem := found and problem_of(text, found):
                raise bad(f"can't parse entities: {problem}")
        case _:
            raise bad("unsupported parse_mode")
    return _trimmed(text, found)


def checked_text(styled: Styled) -> Styled:
    """The text of a message, refused when it is empty or too long."""
    if is_blank(styled.text):
        raise bad("message text is empty")
    if utf16_length(styled.text) > TEXT_LIMIT:
        raise bad("message is too long")
    return styled


def checked_caption(styled: Styled) -> Styled:
    """The caption of a file, refused when it is too long."""
    if utf16_length(styled.text) > CAPTION_LIMIT:
        raise bad("message caption is too long")
    return styled


def _trimmed(text: str, entities: list[Json]) -> Styled:
    """Without white space at the ends, the entities moved and cut to fit."""
    shift = utf16_length(text) - utf16_length(text.lstrip())
    kept = text.strip()
    end = utf16_length(kept)
    fitted = []
    for entity in entities:
        start = max(0, entity["offset"] - shift)
        stop = min(end, entity["offset"] + entity["length"] - shift)
        if stop > start:
            fitted.append({**entity, "offset": start, "length": stop - start})
    return Styled(kept, sorted(fitted, key=lambda one: (one["offset"], -one["length"])))
