"""parse_mode HTML: the tags that Telegram knows, and its refusals for the rest."""

import re
from html import unescape
from typing import Any

from agentos.standins.bot.refusal import bad

Json = dict[str, Any]

_TOKEN = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z][\w-]*)(?P<attributes>[^<>]*)>")
_ATTRIBUTE = re.compile(r"([\w-]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+)))?")
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);")
_KINDS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}


def parse_html(source: str) -> tuple[str, list[Json]]:
    """The plain text and its entities. Unknown, unclosed or crossed tags are refused."""
    text = ""
    entities: list[Json] = []
    open_tags: list[tuple[str, Json]] = []
    position = 0
    for token in _TOKEN.finditer(source):
        text += _plain(source, position, token.start())
        position = token.end()
        name = token["name"].lower()
        if token["end"]:
            entity = _closed(open_tags, name, source=source, at=token.start())
            entity["length"] = _units(text) - entity["offset"]
            if entity["length"]:
                entities.append(entity)
        else:
            entity = _opened(name, token["attributes"], source=source, at=token.start())
            open_tags.append((name, {**entity, "offset": _units(text)}))
    text += _plain(source, position, len(source))
    if open_tags:
        name = open_tags[-1][0]
        raise _unparsable(f'Can\'t find end tag corresponding to start tag "{name}"')
    return text, _code_in_pre(entities)


def _opened(name: str, attributes: str, *, source: str, at: int) -> Json:
    kind = _KINDS.get(name)
    given = {
        one[1].lower(): one[2] or one[3] or one[4] or "" for one in _ATTRIBUTE.finditer(attributes)
    }
    if kind is None or (name == "span" and given.get("class") != "tg-spoiler"):
        raise _unparsable(f'Unsupported start tag "{name}" at byte offset {_bytes(source, at)}')
    entity: Json = {"type": kind}
    if name == "a":
        entity["url"] = unescape(given.get("href", ""))
    if name == "code" and given.get("class", "").startswith("language-"):
        entity["language"] = given["class"].removeprefix("language-")
    if name == "blockquote" and "expandable" in given:
        entity["type"] = "expandable_blockquote"
    if name == "tg-emoji":
        entity["custom_emoji_id"] = given.get("emoji-id", "")
    return entity


def _closed(open_tags: list[tuple[str, Json]], name: str, *, source: str, at: int) -> Json:
    where = f"at byte offset {_bytes(source, at)}"
    if not open_tags:
        raise _unparsable(f'Unexpected end tag "{name}" {where}')
    opened, entity = open_tags.pop()
    if opened != name:
        raise _unparsable(f'Unmatched end tag {where}, expected "</{opened}>", found "</{name}>"')
    return entity


def _plain(source: str, start: int, end: int) -> str:
    piece = source[start:end]
    if (wrong := piece.find("<")) >= 0:
        where = _bytes(source, start + wrong)
        raise _unparsable(
            f'Unsupported start tag "{piece[wrong + 1 : wrong + 9]}" at byte offset {where}'
        )
    return _ENTITY.sub(lambda found: unescape(found[0]), piece)


def _code_in_pre(entities: list[Json]) -> list[Json]:
    """<pre><code class="language-x"> is one pre entity with a language."""
    kept = []
    for entity in entities:
        outer = next(
            (one for one in entities if one["type"] == "pre" and _covers(one, entity)), None
        )
        if entity["type"] != "code" or outer is None:
            kept.append(entity)
        elif "language" in entity:
            outer["language"] = entity["language"]
    for entity in kept:
        if entity["type"] == "code":
            entity.pop("language", None)
    return kept


def _covers(outer: Json, inner: Json) -> bool:
    end = inner["offset"] + inner["length"]
    covered: bool = outer["offset"] <= inner["offset"] and end <= outer["offset"] + outer["length"]
    return covered


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _bytes(source: str, at: int) -> int:
    return len(source[:at].encode())


def _unparsable(why: str) -> Exception:
    return bad(f"can't parse entities: {why}")
