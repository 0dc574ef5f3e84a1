"""A price sign as a PNG, drawn pixel by pixel: nothing but the standard library."""

import struct
import sys
import zlib
from pathlib import Path

SCALE = 10
WIDTH, HEIGHT = 64, 26
Colour = tuple[int, int, int]
NIGHT, CREAM, CRUST, DARK_CRUST = (38, 34, 48), (248, 236, 208), (198, 124, 56), (132, 74, 32)
LETTERS = {
    "6": ("0110", "1000", "1110", "1001", "1001", "0110"),
    "A": ("0110", "1001", "1001", "1111", "1001", "1001"),
    "B": ("1110", "1001", "1110", "1001", "1001", "1110"),
    "D": ("1110", "1001", "1001", "1001", "1001", "1110"),
    "E": ("1111", "1000", "1110", "1000", "1000", "1111"),
    "R": ("1110", "1001", "1001", "1110", "1010", "1001"),
    "€": ("0111", "1000", "1110", "1000", "1000", "0111"),
}


def picture() -> list[list[Colour]]:
    """The pixels before they are enlarged: a loaf, what it is, what it costs."""
    pixels = [[NIGHT] * WIDTH for _ in range(HEIGHT)]
    for y in range(HEIGHT):
        for x in range(WIDTH):
            if (colour := _loaf(x - 17, y - 13)) is not None:
                pixels[y][x] = colour
    _write(pixels, "BREAD", left=36, top=5)
    _write(pixels, "6 €", left=41, top=15)
    return pixels


def _loaf(x: int, y: int) -> Colour | None:
    """The colour of the loaf at a place counted from its middle, or None beside it."""
    distance = (x / 13.5) ** 2 + (y / 9.5) ** 2
    if distance > 1:
        return None
    if distance > 0.78:
        return DARK_CRUST
    # Three slanted cuts, where the crumb shows.
    return CREAM if abs(y) < 6 and (x * 2 + y) % 14 in (0, 1) else CRUST


def _write(pixels: list[list[Colour]], words: str, *, left: int, top: int) -> None:
    for letter in words:
        for y, row in enumerate(LETTERS.get(letter, ())):
            for x, dot in enumerate(row):
                if dot == "1":
                    pixels[top + y][left + x] = CREAM
        left += 5


def png(pixels: list[list[Colour]]) -> bytes:
    """The pixels as a PNG file, eight bits a colour."""
    rows = [b"".join(bytes(colour) * SCALE for colour in row) for row in pixels]
    data = b"".join((b"\0" + row) * SCALE for row in rows)
    size = struct.pack(">IIBBBBB", WIDTH * SCALE, HEIGHT * SCALE, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(png(picture()))
    sys.stdout.write(f"{WIDTH * SCALE} x {HEIGHT * SCALE} pixels\n")
