"""What each part of a Markdown text looks like in a chat: the parser's events, written down."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

from agentos.channels.telegram.entities import Entity, is_address, is_blank, legal, units
from agentos.channels.telegram.tables import Cell, Table

BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_HEADINGS = {"H1": ("bold", "underline"), "H2": ("bold", "underline"), "H3": ("bold",)}
_HEADINGS |= {"H4": ("bold",), "H5": ("italic",), "H6": ("italic",)}
_STYLES = {"Strong": "bold", "Emphasis": "italic", "Strikethrough": "strikethrough"}
_RULE = "————————"
_BULLET = "• "
_TASKS = {False: "☐ ", True: "☑ "}
# A quote of more than this is folded.
_LONG_QUOTE = 400
# Deeper than this nothing is moved further to the right.
_DEEPEST = 10


@dataclass(slots=True)
class Page:
    """What is written so far."""

    parts: list[str] = field(default_factory=list)
    units: int = 0
    entities: list[Entity] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.parts)

    @property
    def at_line_start(self) -> bool:
        """Whether the next word begins a line."""
        return not self.parts or self.parts[-1].endswith("\n")

    def put(self, text: str) -> None:
        """Write on."""
        if text:
            self.parts.append(text)
            self.units += units(text)

    def mark(self, kind: str, *, start: int, url: str | None = None, language: str = "") -> None:
        """Say what the text from `start` on is."""
        if length := self.units - start:
            known = language or None
            one = Entity(type=kind, offset=start, length=length, url=url, language=known)
            self.entities.append(one)


@dataclass(frozen=True, slots=True)
class _Open:
    """A part that has begun: where, and what the parser said of it."""

    units: int
    part: int
    value: Any


class Writer:
    """Takes the parser's events, one after the other."""

    def __init__(self, source: str, *, stand_in: str, few_rows: bool) -> None:
        self._source = source.encode()
        self._stand_in = stand_in
        self._few_rows = few_rows
        self.page = Page()
        # All that was said, also what is only in an entity: addresses, languages.
        self.told: list[str] = []
        self.tables: list[Table] = []
        # Nothing stands on this line but a margin; and: the line has ended, a block comes next.
        self._fresh = True
        self._ended = False
        # What each line begins with in the lists and quotes that are open.
        self._margins: list[str] = []
        self._lists: list[int | None] = []
        self._open: list[_Open] = []
        self._quotes = 0
        self._code: list[str] | None = None
        self._rows: list[list[Cell]] = []
        self._behind: Page | None = None

    def take(self, event: Any, *, start: int) -> None:
        """One event, which begins at a byte of the source."""
        if isinstance(event, str):
            self._sign(event, start=start)
            return
        ((kind, value),) = event.items()
        match kind:
            case "Start":
                self._begin(value, start=start)
            case "End":
                self._end(value)
            case "Code":
                self._inline(start)
                at = self.page.units
                self._say(value)
                self.page.mark("code", start=at)
            case "TaskListMarker":
                self._inline(start)
                self._tick(is_done=value)
            case "FootnoteReference":
                self._inline(start)
                self._say(f"[{value}]")
            case _:  # Text, InlineHtml, Html
                self._text(value, start=start)

    def _sign(self, event: str, *, start: int) -> None:
        if event == "Rule":
            self._block(start)
            self.page.put(_RULE)
            self._ended = True
        elif self._code is not None:
            self._code.append("\n")
        else:
            self._inline(start)
            self.page.put(self._new_line())

    def _text(self, text: str, *, start: int) -> None:
        if self._code is not None:
            self._code.append(text)
            return
        self._inline(start)
        self._say(BREAK.sub(self._new_line(), text.replace(self._stand_in, "<")))

    def _say(self, text: str) -> None:
        text = text.replace(self._stand_in, "<")
        self.told.append(text)
        self.page.put(text)

    def _begin(self, tag: Any, *, start: int) -> None:
        name, value = next(iter(tag.items())) if isinstance(tag, dict) else (tag, None)
        match name:
            case "Paragraph":
                self._block(start)
            case "Heading":
                self._block(start)
                self._note(value)
            case "Strong" | "Emphasis" | "Strikethrough" | "Link" | "Image":
                self._inline(start)
                self._note(value)
                # One tilde means "about", and not that something is no longer so.
                if name == "Strikethrough" and self._source[start : start + 2] != b"~~":
                    self._open[-1] = replace(self._open[-1], value="~")
                    self.page.put("~")
            case "CodeBlock":
                self._block(start, with_margin=False)
                self._note(value)
                self._code = []
            case "BlockQuote":
                self._begin_quote(start)
            case "List":
                self._lists.append(value)
            case "Item":
                self._begin_item(start)
            case "FootnoteDefinition":
                self._block(start)
                self._say(f"[{value}] ")
                self._margins.append("")
                self._fresh = True
            case "Table":
                self._block(start, with_margin=False)
                self._rows = []
            case "TableHead" | "TableRow":
                self._rows.append([])
            case "TableCell":
                self._behind, self.page = self.page, Page()

    def _end(self, tag: Any) -> None:
        match next(iter(tag)) if isinstance(tag, dict) else tag:
            case "Strong" | "Emphasis" | "Strikethrough" as style:
                self._end_style(style, self._open.pop())
            case "Link" | "Image":
                self._end_link(self._open.pop())
            case "Heading":
                began = self._open.pop()
                for kind in _HEADINGS[began.value["level"]]:
                    self.page.mark(kind, start=began.units)
            case "CodeBlock":
                self._end_code(self._open.pop())
            case "BlockQuote":
                self._end_quote(self._open.pop())
            case "List":
                self._lists.pop()
            case "Item" | "FootnoteDefinition":
                self._margins.pop()
            case "Table":
                self._end_table()
            case "TableCell":
                self._end_cell()
        if self._is_block(tag):
            self._fresh, self._ended = False, True

    @staticmethod
    def _is_block(tag: Any) -> bool:
        inline = ("Strong", "Emphasis", "Strikethrough", "Link", "Image")
        return tag not in inline and (not isinstance(tag, str) or not tag.startswith("Table"))

    def _note(self, value: Any) -> None:
        self._open.append(_Open(self.page.units, len(self.page.parts), value))

    def _inline(self, start: int) -> None:
        """A word comes: on this line, or on a new one when the last block has ended."""
        if self._behind is None and self._ended:
            self._block(start)
        self._fresh = False

    def _block(self, start: int, *, with_margin: bool = True) -> None:
        """Go to a line of its own; with an empty one before it if the source has one."""
        is_fresh, self._fresh, self._ended = self._fresh, False, False
        if is_fresh and (with_margin or self.page.at_line_start):
            return
        self.page.put("\n" if is_fresh or not self._has_blank_before(start) else "\n\n")
        if with_margin:
            self.page.put(self._margin())

    def _has_blank_before(self, start: int) -> bool:
        lines, at = 0, start - 1
        while at >= 0 and lines < 2 and self._source[at] in b" \t>\n":
            lines += self._source[at] == ord("\n")
            at -= 1
        return lines >= 2

    def _margin(self) -> str:
        return "".join(self._margins[:_DEEPEST])

    def _new_line(self) -> str:
        return "\n" if self._behind is not None else "\n" + self._margin()

    def _begin_item(self, start: int) -> None:
        self._block(start)
        number = self._lists[-1]
        self.page.put(_BULLET if number is None else f"{number}. ")
        if number is not None:
            self._lists[-1] = number + 1
        self._margins.append("  ")
        self._fresh = True

    def _tick(self, *, is_done: bool) -> None:
        """A task: its box takes the bullet's place."""
        self.told.append("x")
        if self.page.parts and self.page.parts[-1] == _BULLET:
            self.page.parts.pop()
            self.page.units -= units(_BULLET)
        self.page.put(_TASKS[is_done])

    def _begin_quote(self, start: int) -> None:
        """Telegram has no quotes in quotes: the lines of an inner one begin with a sign."""
        self._block(start, with_margin=self._quotes > 0)
        self._note(None)
        self._quotes += 1
        margin = "> " if self._quotes > 1 else ""
        self.page.put(margin if len(self._margins) < _DEEPEST else "")
        self._margins.append(margin)
        self._fresh = True

    def _end_quote(self, began: _Open) -> None:
        self._margins.pop()
        self._quotes -= 1
        if self._quotes == 0:
            is_long = self.page.units - began.units > _LONG_QUOTE
            kind = "expandable_blockquote" if is_long else "blockquote"
            self.page.mark(kind, start=began.units)

    def _end_code(self, began: _Open) -> None:
        info = began.value["Fenced"] if isinstance(began.value, dict) else ""
        info = info.replace(self._stand_in, "<")
        self.told.append(info)
        language = re.split(r"[\s,{]", info, maxsplit=1)[0][:64]
        self._say("".join(self._code or []).removesuffix("\n"))
        self.page.mark("pre", start=began.units, language=language)
        self._code = None

    def _end_style(self, style: str, began: _Open) -> None:
        if began.value is None:
            self.page.mark(_STYLES[style], start=began.units)
        else:
            self.page.put(began.value)

    def _end_link(self, began: _Open) -> None:
        link = {name: str(told).replace(self._stand_in, "<") for name, told in began.value.items()}
        url, label = link["dest_url"], "".join(self.page.parts[began.part :])
        self.told += [link["id"], url, link["title"]]
        plain = url.removeprefix("mailto:")
        if is_blank(label):
            self.page.put(plain)
        elif not is_address(url) and plain and plain != label:
            self.page.put(f" ({plain})")
        if is_address(url):
            self.page.mark("text_link", start=began.units, url=url)

    def _end_cell(self) -> None:
        assert self._behind is not None
        text = self.page.text
        self._rows[-1].append(Cell(text, legal(text, self.page.entities)))
        self.page, self._behind = self._behind, None

    def _end_table(self) -> None:
        columns = max(len(row) for row in self._rows)
        head, *rows = [[*row, *[Cell()] * (columns - len(row))] for row in self._rows]
        table = Table(head, rows)
        if self._few_rows and table.is_big:
            self.tables.append(table)
        drawn, by = table.drawn(few=self._few_rows), self.page.units
        self.page.put(drawn.text)
        self.page.entities += [one.at(one.offset + by, one.end + by) for one in drawn.entities]
        self._ended = True
