"""The entities of a message, held to the letter of the Bot API's rules.

Telegram itself drops what breaks them, silently. Here it is refused, so that no formatting gets
lost unseen. This is for entities that are sent as such; what a parse_mode makes is the server's.
"""

import re
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]

MOST = 100
_STYLES = frozenset({"bold", "italic", "underline", "strikethrough", "spoiler"})
_CODE = frozenset({"pre", "code"})
_QUOTES = frozenset({"blockquote", "expandable_blockquote"})
_FOUND = frozenset({"mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number"})
_POINTING = frozenset({"text_link", "text_mention", "custom_emoji"})
_KINDS = _STYLES | _CODE | _QUOTES | _FOUND | _POINTING
_SCHEMES = ("http", "https", "tg", "ton")
_BLANK = re.compile(r"[\s\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\u3164]*")
_LANGUAGE = re.compile(r"\S{1,64}")


def problem_of(text: str, entities: list[Json]) -> str | None:
    """What is wrong with the entities of a text as it was sent, or None."""
    encoded = text.encode("utf-16-le", "surrogatepass")
    if text != text.strip():
        return "white space at an end of the text"
    if len(entities) > MOST:
        return f"{len(entities)} entities, only {MOST} are looked at"
    for entity in entities:
        if problem := _alone(entity, encoded=encoded):
            return f"{problem}: {entity}"
    ordered = sorted(entities, key=lambda one: (one["offset"], -one["length"]))
    for number, outer in enumerate(ordered):
        for inner in ordered[number + 1 :]:
            if inner["offset"] >= outer["offset"] + outer["length"]:
                break
            if problem := _together(outer, inner):
                return f"{problem}: {outer} and {inner}"
    return None


def is_blank(text: str) -> bool:
    """Whether nobody would see anything of it."""
    return _BLANK.fullmatch(text) is not None


def _alone(entity: Json, *, encoded: bytes) -> str | None:
    kind, start, length = entity.get("type"), entity.get("offset"), entity.get("length")
    if kind not in _KINDS:
        return "an unknown type"
    if not isinstance(start, int) or not isinstance(length, int) or start < 0 or length <= 0:
        return "an offset or a length that is none"
    end = start + length
    if end * 2 > len(encoded):
        return "an end behind the text"
    if any(_splits_a_pair(encoded, at) for at in (start, end)):
        return "half of a surrogate pair"
    if is_blank(encoded[start * 2 : end * 2].decode("utf-16-le", "replace")):
        return "nothing to see in it"
    if kind == "text_link":
        return _link(str(entity.get("url") or ""))
    language = entity.get("language")
    if language is not None and (kind != "pre" or not _LANGUAGE.fullmatch(language)):
        return "an odd language"
    return None


def _splits_a_pair(encoded: bytes, at: int) -> bool:
    """Whether the unit at this place is the second of a surrogate pair."""
    unit = encoded[at * 2 : at * 2 + 2]
    return len(unit) == 2 and 0xDC00 <= int.from_bytes(unit, "little") <= 0xDFFF


def _link(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "an address that is none"
    if parts.scheme not in _SCHEMES or not host or re.search(r"\s", url):
        return "an address that is none"
    if parts.scheme.startswith("http") and "." not in host and ":" not in host:
        return "an address without a domain"
    return None


def _together(outer: Json, inner: Json) -> str | None:
    """Two entities of which the second begins inside the first."""
    kinds = {outer["type"], inner["type"]}
    if inner["offset"] + inner["length"] > outer["offset"] + outer["length"]:
        return "two that cross"
    if len(kinds) == 1:
        return "one inside of another of its kind"
    if kinds & _CODE and kinds & _STYLES:
        return "code inside of a style, or the other way round"
    if kinds <= _QUOTES:
        return "a quote inside of a quote"
    if inner["type"] in _QUOTES and outer["type"] not in _STYLES:
        if inner["length"] == outer["length"]:
            return None  # the same stretch: which is outside cannot be told
        return "a quote inside of something else"
    if not kinds & (_STYLES | _QUOTES):
        return "two that cannot contain each other"
    return None
