"""A text in messages: formatted, in pieces that fit, and when it is long with a file. Pure."""

import re
import unicodedata
from dataclasses import dataclass

from telegram import MessageEntity

from agentos.channels.telegram.entities import Entity, fewer, is_blank, legal, room_for, units
from agentos.channels.telegram.markdown import Written, write

# Telegram's limits are 4096 and 1024 UTF-16 units; the room is for the note of a repeated send.
TEXT_LIMIT = 4000
CAPTION_LIMIT = 950
# What takes more messages than this is a beginning and a file.
MOST_MESSAGES = 3
_MORE = "\n\n📄 The whole of it is in the file below."
_JOINER = "\u200d"
_CONTROLS = re.compile(r"[\x01-\x08\x0b-\x1f\x7f\x85]")
_LINE_ENDS = re.compile(r"\r\n?|[\u2028\u2029]")
# Telegram takes these out: they turn the direction of what comes after them.
_TURNING = re.compile(r"[\u202a-\u202e]")


@dataclass(frozen=True)
class Piece:
    """A part of a text that fits into one message; offsets count UTF-16 units."""

    text: str
    found: tuple[Entity, ...] = ()

    @property
    def entities(self) -> tuple[MessageEntity, ...]:
        """The entities as the library wants them."""
        return tuple(
            MessageEntity(
                type=one.type,
                offset=one.offset,
                length=one.length,
                url=one.url,
                language=one.language,
            )
            for one in self.found
        )


@dataclass(frozen=True)
class Document:
    """A file that goes with a text; `instead` are the messages for where it is not taken."""

    name: str
    content: bytes
    instead: tuple[Piece, ...]


def clean(text: str) -> str:
    """Without what no database keeps and no one sees: NUL, halves of surrogate pairs, controls."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    whole = _LINE_ENDS.sub("\n", whole.replace("\x00", ""))
    return _TURNING.sub("", _CONTROLS.sub(" ", whole))


def answer(
    markdown: str, *, first: int = TEXT_LIMIT, then: int = TEXT_LIMIT
) -> tuple[list[Piece], Document | None]:
    """The messages of a text, and a file when it is long or has one big table."""
    source = clean(markdown)
    whole = write(source)
    if units(whole.text) > MOST_MESSAGES * then:
        beginning, rest = _beginning(_piece(whole), limit=min(first, then))
        content = source.encode()
        return [beginning], Document(_name(whole.text), content, tuple(_split(rest, then, then)))
    few = write(source, few_rows=True)
    if len(few.tables) == 1 and few.text != whole.text:
        (table,) = few.tables
        rows = table.drawn()
        instead = tuple(_split(_piece(Written(rows.text, rows.entities)), then, then))
        return _split(_piece(few), first, then), Document("table.csv", table.as_csv(), instead)
    return _split(_piece(whole), first, then), None


def pieces(markdown: str, *, first: int = TEXT_LIMIT, then: int = TEXT_LIMIT) -> list[Piece]:
    """Format and split; the first piece has at most `first` units, the others `then`.

    The same text is always split the same way: sending goes on at a piece after a crash.
    """
    return _split(styled(markdown), first, then)


def styled(markdown: str) -> Piece:
    """The whole text with its entities; text that is all markup stays as it was typed."""
    return _piece(write(clean(markdown)))


def _piece(written: Written) -> Piece:
    return _between(Piece(written.text, written.entities), 0, len(written.text))


def _split(whole: Piece, first: int, then: int) -> list[Piece]:
    rest, limit, made = whole, first, list[Piece]()
    while True:
        room = room_for(rest.found)
        if units(rest.text) <= limit and room is None:
            break
        piece, rest = _cut(rest, limit=min(limit, room or limit))
        if not is_blank(piece.text):
            made.append(_fitting(piece))
            limit = then
    return made if is_blank(rest.text) else [*made, _fitting(rest)]


def _fitting(piece: Piece) -> Piece:
    return Piece(piece.text, fewer(piece.found))


def _beginning(whole: Piece, *, limit: int) -> tuple[Piece, Piece]:
    """The first message of a text that is too long, with a word about the rest."""
    head, rest = _cut(whole, limit=min(limit - units(_MORE), room_for(whole.found) or limit))
    return _fitting(Piece(head.text + _MORE, head.found)), rest


def _name(text: str) -> str:
    """The name of a text's file: its first words."""
    words = re.findall(r"[^\W_]+", text[:200])
    return ("-".join(words[:6])[:40].strip("-") or "answer") + ".md"


def _cut(piece: Piece, *, limit: int) -> tuple[Piece, Piece]:
    """Cut where a reader would: after a paragraph, a line, a word; anywhere if there is none."""
    fits = _prefix(piece.text, limit)
    end = _place(piece, fits) or _whole_sign(piece.text, len(fits))
    return _between(piece, 0, end), _between(piece, end, len(piece.text))


def _place(piece: Piece, fits: str) -> int | None:
    """Where the second half of what fits has a good end, or None."""
    most, half = units(fits), len(fits) // 2
    block = next((one for one in piece.found if one.type == "pre" and _holds(one, most)), None)
    separators: tuple[str, ...] = ("\n\n", "\n", " ")
    if block is not None:
        before = len(_prefix(fits, block.offset))
        if before > half and block.length <= TEXT_LIMIT:
            return before
        separators = ("\n",)
        # A message loses the white space it begins with, so code is cut before a line without.
        flush = [one.end() for one in re.finditer(r"\n(?=\S)", fits) if one.end() > half]
        if flush:
            return flush[-1]
    for separator in separators:
        found = fits.rfind(separator, half)
        if found > 0:
            return found + len(separator)
    return None


def _holds(block: Entity, at: int) -> bool:
    return block.offset < at < block.end


def _whole_sign(text: str, end: int) -> int:
    """A place at or shortly before `end` that is not in the middle of what looks like one sign."""
    for at in range(end, max(end - 40, 0), -1):
        if not _is_inside_sign(text, at):
            return at
    return max(end, 1)


def _is_inside_sign(text: str, at: int) -> bool:
    if at >= len(text):
        return False
    sign, before = text[at], text[at - 1]
    if _JOINER in (sign, before) or unicodedata.category(sign) in ("Mn", "Me", "Mc"):
        return True
    if "\U0001f3fb" <= sign <= "\U0001f3ff" or "\ufe00" <= sign <= "\ufe0f":
        return True
    # A flag is two letters: the place is inside of one when an odd number of them is before it.
    flags = re.search(r"[\U0001f1e6-\U0001f1ff]*$", text[max(at - 40, 0) : at])
    is_letter = "\U0001f1e6" <= sign <= "\U0001f1ff"
    return is_letter and flags is not None and len(flags[0]) % 2 == 1


def _prefix(text: str, most: int) -> str:
    """The longest beginning of the text that has at most so many UTF-16 units."""
    head = text[:most]
    return head.encode("utf-16-le")[: most * 2].decode("utf-16-le", "ignore")


def tail(piece: Piece, *, limit: int = TEXT_LIMIT) -> Piece:
    """The end of a piece, with a mark for what is left out; the whole when it fits."""
    long = units(piece.text)
    if long <= limit:
        return _fitting(piece)
    start = len(_prefix(piece.text, long - limit))
    return _fitting(shifted(_between(piece, start, len(piece.text)), note="… "))


def shifted(piece: Piece, *, note: str) -> Piece:
    """The piece with a note before it."""
    by = units(note)
    return Piece(
        note + piece.text, tuple(one.at(one.offset + by, one.end + by) for one in piece.found)
    )


def _between(piece: Piece, start: int, end: int) -> Piece:
    """A stretch of a piece, no white space at its ends; entities that cross them are clipped."""
    stretch = piece.text[start:end]
    left = start + len(stretch) - len(stretch.lstrip())
    text = stretch.strip()
    low = units(piece.text[:left])
    high = low + units(text)
    clipped = [
        one.at(max(one.offset, low) - low, min(one.end, high) - low)
        for one in piece.found
        if one.offset < high and one.end > low
    ]
    return Piece(text, legal(text, clipped))
