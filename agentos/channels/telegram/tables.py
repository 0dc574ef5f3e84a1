"""Tables that read on a phone: a narrow one as it is, a wider one row by row. Pure."""

import csv
import io
import unicodedata
from dataclasses import dataclass

from agentos.channels.telegram.entities import Entity, units

# What a phone shows of a line in a monospace font.
WIDTH = 34
# A table with more rows than this is a file, with its first rows shown.
MOST_ROWS = 25
_FIRST_ROWS = 5
_MARGIN = " | "
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t")


@dataclass(frozen=True, slots=True)
class Cell:
    """What is in one field."""

    text: str = ""
    entities: tuple[Entity, ...] = ()

    @property
    def has_link(self) -> bool:
        """Whether there is something to tap."""
        return any(one.type == "text_link" for one in self.entities)


@dataclass(frozen=True, slots=True)
class Table:
    """The head and the rows, all of one length."""

    head: list[Cell]
    rows: list[list[Cell]]

    @property
    def is_big(self) -> bool:
        """Whether it is more than anybody wants to scroll through."""
        return len(self.rows) > MOST_ROWS

    def drawn(self, *, few: bool = False) -> Cell:
        """The table as text: monospace when it is narrow, else a few lines a row."""
        if few and self.is_big:
            shown = Table(self.head, self.rows[:_FIRST_ROWS]).drawn()
            more = f"\n\n… and {len(self.rows) - _FIRST_ROWS} more rows, in the file below."
            return Cell(shown.text + more, shown.entities)
        return self._narrow() or self._by_rows()

    def as_csv(self) -> bytes:
        """The table for a spreadsheet; nothing in it is a formula."""
        out = io.StringIO()
        writer = csv.writer(out)
        for row in (self.head, *self.rows):
            writer.writerow([_harmless(cell.text) for cell in row])
        return out.getvalue().encode("utf-8-sig")

    def _narrow(self) -> Cell | None:
        lines = [self.head, *self.rows]
        if any(cell.has_link or "\n" in cell.text for line in lines for cell in line):
            return None
        widths = [max(_width(cell.text) for cell in column) for column in zip(*lines, strict=True)]
        if sum(widths) + len(_MARGIN) * (len(widths) - 1) > WIDTH:
            return None
        drawn = [
            _MARGIN.join(_filled(cell.text, to=to) for cell, to in zip(line, widths, strict=True))
            for line in lines
        ]
        if self.rows:
            drawn.insert(1, "-+-".join("-" * width for width in widths))
        text = "\n".join(line.rstrip() for line in drawn)
        return Cell(text, (Entity(type="pre", offset=0, length=units(text)),)) if text else None

    def _by_rows(self) -> Cell:
        """Each field as a line of its own behind its head."""
        text, found = "", list[Entity]()

        def write(cell: Cell) -> None:
            nonlocal text
            by = units(text)
            found.extend(one.at(one.offset + by, one.end + by) for one in cell.entities)
            text += cell.text

        if not self.rows:
            for number, cell in enumerate(self.head):
                text += " · " if number else ""
                write(cell)
            return Cell(text, tuple(found))
        for number, row in enumerate(self.rows):
            text += "\n\n" if number else ""
            for place, (head, cell) in enumerate(_told(self.head, row)):
                text += "\n" if place else ""
                start = units(text)
                write(head)
                if head.text:
                    found.append(Entity(type="bold", offset=start, length=units(text) - start))
                    text += ": "
                write(cell)
        return Cell(text, tuple(found))


def _told(head: list[Cell], row: list[Cell]) -> list[tuple[Cell, Cell]]:
    """The fields that say something; of an empty row all."""
    pairs = list(zip(head, row, strict=True))
    return [pair for pair in pairs if pair[1].text] or pairs


def _width(text: str) -> int:
    """How many columns a monospace font needs."""
    return sum(_columns(sign) for sign in text)


def _columns(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def _filled(text: str, *, to: int) -> str:
    return text + " " * (to - _width(text))


def _harmless(text: str) -> str:
    is_number = text.lstrip("+-").replace(".", "", 1).replace(",", "").isdigit()
    return f"'{text}" if text.startswith(_FORMULA) and not is_number else text
