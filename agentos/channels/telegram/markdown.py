"""From Markdown to the text that Telegram shows and its entities. Pure.

The parser is pyromark's (CommonMark with tables, strikethrough, tasks and footnotes); what follows
is what each part looks like in a chat. Nothing that is written may vanish: HTML stays as it was
typed, a link whose address Telegram refuses shows it, and where the parser hides something all the
same, the text is shown as it was typed.
"""

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

import pyromark

from agentos.channels.telegram.entities import Entity, is_blank, legal
from agentos.channels.telegram.tables import Table
from agentos.channels.telegram.writer import BREAK, Writer

_Options = pyromark.Options
_OPTIONS = (
    _Options.ENABLE_TABLES
    | _Options.ENABLE_STRIKETHROUGH
    | _Options.ENABLE_TASKLISTS
    | _Options.ENABLE_FOOTNOTES
)
# What opens an HTML tag would end all Markdown in it. While the text is parsed, a sign that nobody
# types stands for it.
_TAG = re.compile(r"(?<!\\)<(?=[A-Za-z/!?])(?!(?:https?|mailto|tg):)")
# The definition of a link, wherever it looks like one.
_DEFINITION = re.compile(r"\[((?:[^\[\]\\]|\\.){1,200})\]:[ \t]*\n?[ \t]*\S+[^\n]*")

Event = Any


@dataclass(frozen=True, slots=True)
class Written:
    """A text, its entities, and the tables of which only the beginning is shown."""

    text: str
    entities: tuple[Entity, ...] = ()
    tables: tuple[Table, ...] = ()


def write(source: str, *, few_rows: bool = False) -> Written:
    """What a Markdown text looks like; `few_rows` of a table that is too big to be shown."""
    stand_in = next(sign for sign in map(chr, range(0xE0F1, 0xF8FF)) if sign not in source)
    marked = _TAG.sub(stand_in, source)
    marked, hidden = _unhidden(marked)
    writer = Writer(marked, stand_in=stand_in, few_rows=few_rows)
    for event, where in pyromark.events_with_range(marked, options=_OPTIONS):
        writer.take(event, start=where["start"])
    text = writer.page.text
    plain = BREAK.sub("", hidden.replace(stand_in, "<"))
    is_whole = _is_within(unescape(plain), "".join(writer.told))
    if is_blank(text) or not is_whole:
        return Written(source)
    return Written(text, legal(text, writer.page.entities), tuple(writer.tables))


def _unhidden(source: str) -> tuple[str, str]:
    """The source, its unused link definitions escaped; and without those that are used."""
    if "]:" not in source:
        return source, source
    shown, used = bytearray(len(source.encode()) + 1), set[str]()
    for event, where in pyromark.events_with_range(source, options=_OPTIONS):
        if isinstance(event, dict) and not {"Start", "End"} & event.keys():
            shown[where["start"] : where["end"]] = b"\1" * (where["end"] - where["start"])
        if (link := _link_of(event)) is not None:
            used.add(_label(link["id"]))
    escaped, told, at = list[str](), list[str](), 0
    for found in _DEFINITION.finditer(source):
        start = len(source[: found.start()].encode())
        if shown[start] or found[1].startswith("^"):
            continue
        escaped.append(source[at : found.start()])
        told.append(source[at : found.start()])
        is_used = _label(found[1]) in used
        escaped.append(found[0] if is_used else "\\" + found[0])
        told.append("" if is_used else found[0])
        at = found.end()
    return "".join([*escaped, source[at:]]), "".join([*told, source[at:]])


def _link_of(event: Event) -> dict[str, Any] | None:
    start = event.get("Start") if isinstance(event, dict) else None
    if not isinstance(start, dict):
        return None
    link: dict[str, Any] | None = start.get("Link") or start.get("Image")
    return link


def _label(text: str) -> str:
    return " ".join(text.split()).casefold()


def _is_within(wanted: str, told: str) -> bool:
    """Whether all letters of a text are in another, in the same order."""
    signs = iter(told)
    return all(sign in signs for sign in wanted if sign.isalpha())
