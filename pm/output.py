"""Printing: tables that fit the screen, fields, JSON. Texts from outside are made safe first."""

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agentos.control.plain import clean, one_line
from pm.zone import local, owner_zone

_NARROW = 60
_LEAST_TITLE = 12
_COLOURS = {
    "running": "36",
    "working": "36",
    "active": "36",
    "done": "32",
    "ready": "32",
    "failed": "31",
    "cancelled": "90",
    "parked": "33",
    "waiting": "33",
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column: its head, what it shows of a row; a wide one is left out on a narrow screen."""

    head: str
    show: Callable[[Row], str]
    wide: bool = False
    # Takes what space is left, and is cut to it.
    stretch: bool = False


def say(text: str = "") -> None:
    """Print a line of ours."""
    sys.stdout.write(text + "\n")


def say_json(value: Any, *, indent: int | None = 2) -> None:
    """Print JSON."""
    say(json.dumps(value, indent=indent, ensure_ascii=False))


def table(found: Sequence[Row], columns: Iterable[Column], *, empty: str) -> None:
    """Print rows as a table; on a screen it is never wider than that."""
    if not found:
        say(empty)
        return
    width = screen_width()
    shown = [one for one in columns if width is None or width >= _NARROW or not one.wide]
    cells = [[one_line(column.show(row)) for column in shown] for row in found]
    widths = [
        max(cells_of(column.head), *(cells_of(line[place]) for line in cells))
        for place, column in enumerate(shown)
    ]
    if width is not None:
        over = sum(widths) + 2 * (len(widths) - 1) - width
        for place, column in reversed(list(enumerate(shown))):
            if column.stretch and over > 0:
                less = min(over, max(0, widths[place] - _LEAST_TITLE))
                widths[place] -= less
                over -= less
    say(_line([column.head for column in shown], widths, head=True))
    for line in cells:
        say(_line(line, widths))


def field(name: str, value: str) -> None:
    """Print a named value, if there is one; the lines of a longer one are indented."""
    if not value:
        return
    lines = clean(value).strip("\n").split("\n")
    say(f"  {name:<9} {lines[0]}")
    for line in lines[1:]:
        say(f"  {'':<9} {line}")


def when(moment: str | None) -> str:
    """A time in the owner's zone, as short as it can be."""
    if not moment:
        return ""
    at = local(moment)
    today = datetime.now(owner_zone()).astimezone(owner_zone())
    if at.date() == today.date():
        return f"{at:%H:%M}"
    if at.year == today.year:
        return f"{at.day} {at:%b %H:%M}"
    return f"{at:%Y-%m-%d}"


def span(start: str | None, end: str | None) -> str:
    """How long it took, in words."""
    if not start or not end:
        return ""
    took = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return spoken(took)


def spoken(took: timedelta) -> str:
    """A span in words: "4 s", "3 min", "2 h 5 min"."""
    seconds = max(took.total_seconds(), 0)
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """A file's size in words."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} KB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def on_screen() -> bool:
    """Whether somebody looks at our output."""
    return sys.stdout.isatty()


def paint(state: str) -> str:
    """A state in its colour, when somebody looks."""
    colour = _COLOURS.get(state.strip())
    return state if colour is None else coloured(state, colour)


def coloured(text: str, colour: str) -> str:
    """A text in a colour (the number of an SGR sequence), when somebody looks."""
    if not text or not on_screen() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def bold(text: str) -> str:
    """A text that stands out, when somebody looks."""
    return coloured(text, "1")


def faint(text: str) -> str:
    """A text that stands back, when somebody looks."""
    return coloured(text, "2")


def screen_width() -> int | None:
    """The width to fit into; None when the output goes into a file or a pipe."""
    if not on_screen() and "COLUMNS" not in os.environ:
        return None
    return shutil.get_terminal_size().columns


def _line(cells: Sequence[str], widths: Sequence[int], *, head: bool = False) -> str:
    padded = [fit(cell, width) for cell, width in zip(cells, widths, strict=True)]
    line = "  ".join(padded if head else map(paint, padded)).rstrip()
    return bold(line) if head else line


def fit(text: str, width: int) -> str:
    """A text cut or filled to a number of screen cells."""
    if cells_of(text) <= width:
        return text + " " * (width - cells_of(text))
    kept = ""
    for letter in text:
        if cells_of(kept + letter) > width - 1:
            break
        kept += letter
    return fit(kept + "…", width)


def cells_of(text: str) -> int:
    """How many cells a text takes: Asian letters and emoji take two, accents none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if _is_wide(letter) else 1 for letter in text
    )


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"
