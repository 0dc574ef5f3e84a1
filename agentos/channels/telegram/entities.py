"""Entities as Telegram takes them: nested as it allows, visible, and not too many. Pure."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

MOST = 100
# What Telegram does not show: a message of nothing else is refused, an entity dropped.
_UNSEEN = "\u115f\u1160\u3164\uffa0\u2800"
_CODE = ("pre", "code")
_STYLES = ("underline", "strikethrough", "italic", "bold")
_QUOTES = ("blockquote", "expandable_blockquote")
_ALONE = ("pre", "code", "text_link")
# In the order in which they are given up when there are too many; links and code blocks stay.
_GIVEN_UP = (*_STYLES, "code", *_QUOTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A stretch of a text and what it is; it counts UTF-16 units."""

    type: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.offset + self.length

    def at(self, start: int, end: int) -> "Entity":
        """The same elsewhere."""
        return replace(self, offset=start, length=end - start)


def units(text: str) -> int:
    """How long Telegram says a text is: in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def is_blank(text: str) -> bool:
    """Whether nobody would see anything of it."""
    return all(
        sign in _UNSEEN or unicodedata.category(sign)[0] in "ZC" or sign.isspace() for sign in text
    )


def is_address(url: str) -> bool:
    """Whether Telegram takes it for the address of a link."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "tg":
        return bool(host) and not re.search(r"\s", url)
    is_web = parts.scheme in ("http", "https") and ("." in host or ":" in host)
    return is_web and len(url) <= 2048 and not re.search(r"[\s\x00-\x1f]", url)


def legal(text: str, found: Iterable[Entity]) -> tuple[Entity, ...]:
    """What of the entities Telegram takes, in order; `found` nests as Markdown does."""
    encoded = text.encode("utf-16-le")
    seen = [one for one in (_trimmed(one, encoded) for one in found) if one is not None]
    kept: list[Entity] = []
    around: list[Entity] = []
    for one in sorted(seen, key=_outside_first):
        while around and around[-1].end <= one.offset:
            around.pop()
        if not any(_excludes(outer, one) for outer in around):
            kept.append(one)
            around.append(one)
    code = [one for one in kept if one.type in _CODE]
    ends = [one.end for one in code]
    split = [part for one in kept for part in _without_code(one, code, ends=ends)]
    whole = [one for one in (_trimmed(one, encoded) for one in split) if one is not None]
    return tuple(sorted(whole, key=_outside_first))


def fewer(found: tuple[Entity, ...]) -> tuple[Entity, ...]:
    """At most as many as Telegram looks at; what says least is given up first."""
    for kind in _GIVEN_UP:
        spare = len(found) - MOST
        if spare <= 0:
            break
        last = {number for number, one in enumerate(found) if one.type == kind}
        gone = set(sorted(last)[-spare:])
        found = tuple(one for number, one in enumerate(found) if number not in gone)
    return found[:MOST]


def room_for(found: tuple[Entity, ...]) -> int | None:
    """Where a message has to end so that none of its links and code blocks is one too many."""
    needed = [one for one in found if one.type not in _GIVEN_UP]
    return needed[MOST].offset if len(needed) > MOST else None


def _outside_first(one: Entity) -> tuple[int, int, bool, bool]:
    """Of two with the same text a quote is outside, and code inside of all."""
    return one.offset, -one.length, one.type not in _QUOTES, one.type in _CODE


def _excludes(outer: Entity, inner: Entity) -> bool:
    """Whether the inner one has to go, since the outer one is there."""
    if outer.type == inner.type or (outer.type in _QUOTES and inner.type in _QUOTES):
        return True
    return outer.type in _ALONE and (inner.type in _ALONE or inner.type in _QUOTES)


def _without_code(one: Entity, code: list[Entity], *, ends: list[int]) -> Iterable[Entity]:
    """A style around code is one before it and one behind it."""
    if one.type not in _STYLES:
        yield one
        return
    start = one.offset
    for other in code[bisect_right(ends, one.offset) :]:
        if other.offset >= one.end:
            break
        if other.offset > start:
            yield one.at(start, other.offset)
        start = max(start, other.end)
    if start < one.end:
        yield one.at(start, one.end)


def _trimmed(one: Entity, encoded: bytes) -> Entity | None:
    """Without white space at its ends; None when nothing is left to see."""
    text = encoded[one.offset * 2 : one.end * 2].decode("utf-16-le", "ignore")
    if is_blank(text):
        return None
    if one.type == "pre":
        return one
    start = one.offset + units(text) - units(text.lstrip())
    return one.at(start, start + units(text.strip()))
