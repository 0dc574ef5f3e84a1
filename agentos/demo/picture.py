"""A picture in the terminal: two pixels a letter, one above the other."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UPPER_HALF = "▀"


class NoPicture(Exception):
    """These bytes are not a PNG of the plain kind: eight bits a colour, rows unfiltered."""


@dataclass(frozen=True)
class Picture:
    """The rows of a picture, three bytes a pixel."""

    width: int
    height: int
    rows: list[bytes]

    def colour(self, x: int, y: int) -> str:
        """The colour of a pixel, as rich calls it."""
        return "#" + self.rows[y][x * 3 : x * 3 + 3].hex()


def read(content: bytes) -> Picture:
    """Read a plain PNG. Raises NoPicture."""
    try:
        chunks = dict(_chunks(content))
        width, height, bits, kind, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
        data = zlib.decompress(chunks[b"IDAT"])
    except (KeyError, struct.error, zlib.error, ValueError) as error:
        raise NoPicture from error
    span = 1 + width * 3
    rows = [data[start : start + span] for start in range(0, span * height, span)]
    if (bits, kind) != (8, 2) or any(len(row) != span or row[0] for row in rows):
        raise NoPicture
    return Picture(width, height, [row[1:] for row in rows])


def drawn(picture: Picture, *, columns: int) -> Text:
    """The picture in as many columns; each letter shows two pixels."""
    step = max(1, -(-picture.width // columns))
    text = Text(no_wrap=True)
    for y in range(step // 2, picture.height - step, step * 2):
        for x in range(step // 2, picture.width, step):
            upper, lower = picture.colour(x, y), picture.colour(x, y + step)
            text.append(_UPPER_HALF, style=f"{upper} on {lower}")
        text.append("\n")
    text.rstrip()
    return text


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not content.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    at = len(_SIGNATURE)
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        body = content[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", content[at + 8 + length : at + 12 + length])
        if checksum != zlib.crc32(content[at + 4 : at + 8] + body):
            raise ValueError("a chunk is damaged")
        yield content[at + 4 : at + 8], body
        at += 12 + length
