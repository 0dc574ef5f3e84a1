"""A picture of the system on one screen: bars and lines, drawn dot by dot without a library."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentos.frontdesk.commands.glyphs import dots, plain

_WIDTH = 720
_MARGIN = 28
_COLUMNS = 52
Colour = tuple[int, int, int]
_GROUND: Colour = (16, 20, 28)
_CARD: Colour = (27, 33, 45)
_TEXT: Colour = (226, 232, 240)
_DIM: Colour = (138, 150, 168)
_FULL: Colour = (74, 201, 155)
_BUSY: Colour = (240, 180, 80)


@dataclass(frozen=True)
class Section:
    """A heading, how much of what there is it takes (0 for no bar), and a few lines."""

    title: str
    value: str
    share: float = 0.0
    lines: Sequence[str] = field(default_factory=tuple)


class _Canvas:
    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._rows = [bytearray(bytes(_GROUND) * width) for _ in range(height)]

    def box(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        left, right = max(0, x), min(self.width, x + width)
        if right <= left:
            return
        line = bytes(colour) * (right - left)
        for row in self._rows[max(0, y) : min(self.height, y + height)]:
            row[left * 3 : right * 3] = line

    def write(self, x: int, y: int, text: str, *, size: int, colour: Colour) -> None:
        for number, letter in enumerate(text):
            for column, row in dots(letter):
                at = x + (number * 6 + column) * size
                self.box(at, y + row * size, size, size, colour)

    def png(self) -> bytes:
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        data = zlib.compress(b"".join(b"\x00" + bytes(row) for row in self._rows), 9)
        parts = (_chunk(b"IHDR", head), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def draw(title: str, sections: Sequence[Section]) -> bytes:
    """The picture as a PNG. It takes a while: not for the daemon's loop."""
    heights = [62 + 24 * len(one.lines) + (20 if one.share > 0 else 0) for one in sections]
    canvas = _Canvas(_WIDTH, 84 + sum(heights) + 14 * len(heights) + 14)
    canvas.write(_MARGIN, 30, _fit(title, 36), size=3, colour=_TEXT)
    y = 84
    for one, height in zip(sections, heights, strict=True):
        _section(canvas, one, y=y, height=height)
        y += height + 14
    return canvas.png()


def _section(canvas: _Canvas, one: Section, *, y: int, height: int) -> None:
    inside, room = _MARGIN + 18, _WIDTH - 2 * _MARGIN - 36
    canvas.box(_MARGIN, y, _WIDTH - 2 * _MARGIN, height, _CARD)
    canvas.write(inside, y + 20, _fit(one.title, 30), size=3, colour=_DIM)
    value = _fit(one.value, 16)
    canvas.write(inside + room - len(value) * 18, y + 20, value, size=3, colour=_TEXT)
    y += 56
    if one.share > 0:
        canvas.box(inside, y, room, 8, _GROUND)
        colour = _FULL if one.share < 1 else _BUSY
        canvas.box(inside, y, int(room * min(1.0, one.share)), 8, colour)
        y += 20
    for line in one.lines:
        canvas.write(inside, y, _fit(line, _COLUMNS), size=2, colour=_TEXT)
        y += 24


def _fit(text: str, most: int) -> str:
    shown = plain(" ".join(text.split()))
    return shown if len(shown) <= most else shown[: most - 2] + ".."


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
