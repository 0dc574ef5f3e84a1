"""From Markdown to what Telegram shows: plain text with entities, in pieces that fit. Pure."""

import re
from dataclasses import dataclass

from telegram import MessageEntity
from telegramify_markdown import RenderConfig, convert, utf16_len

# Telegram's limits are 4096 and 1024 UTF-16 units; the room is for the note of a repeated send.
TEXT_LIMIT = 4000
CAPTION_LIMIT = 950

# What opens an HTML tag would vanish, and "buy <milk>" with it. While the Markdown is read, a sign
# that nobody types stands for it.
_TAG = re.compile(r"<(?=[A-Za-z/!?])(?!(?:https?|mailto|tg):)")
_STAND_IN = "\ue0f1"


@dataclass(frozen=True)
class Piece:
    """A part of a text that fits into one message; offsets count UTF-16 units."""

    text: str
    entities: tuple[MessageEntity, ...] = ()


def _symbols() -> RenderConfig:
    """Headings and links speak for themselves; no icons."""
    config = RenderConfig.isolated()
    symbols = config.markdown_symbol
    for name in ("heading_level_1", "heading_level_2", "heading_level_3", "heading_level_4"):
        setattr(symbols, name, "")
    symbols.link = symbols.image = ""
    symbols.unordered_list_item = "•"
    return config


_CONFIG = _symbols()


def clean(text: str) -> str:
    """Without what no database keeps and no one sees: NUL and halves of surrogate pairs."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\x00", "")


def pieces(markdown: str, *, first: int = TEXT_LIMIT, then: int = TEXT_LIMIT) -> list[Piece]:
    """Format and split; the first piece has at most `first` units, the others `then`.

    The same text is always split the same way: sending goes on at a piece after a crash.
    """
    rest = styled(markdown)
    limit, made = first, []
    while utf16_len(rest.text) > limit:
        piece, rest = _cut(rest, limit=limit)
        if piece.text.strip():
            made.append(piece)
        limit = then
    return [*made, rest] if rest.text.strip() else made


def styled(markdown: str) -> Piece:
    """The whole text with its entities; text that is all markup stays as it was typed."""
    source = clean(markdown)
    text, found = convert(_TAG.sub(_STAND_IN, source), config=_CONFIG)
    if not text.strip():
        return Piece(source.strip())
    entities = tuple(
        MessageEntity(
            type=one.type,
            offset=one.offset,
            length=one.length,
            url=_restored(one.url),
            language=_restored(one.language),
            custom_emoji_id=one.custom_emoji_id,
        )
        for one in found
    )
    shown = text.replace(_STAND_IN, "<").rstrip()
    return Piece(shown, _between(entities, 0, utf16_len(shown)))


def _restored(text: str | None) -> str | None:
    return None if text is None else text.replace(_STAND_IN, "<")


def _cut(piece: Piece, *, limit: int) -> tuple[Piece, Piece]:
    """Cut where a reader would: after a paragraph, a line, a word; anywhere if there is none."""
    fits = _prefix(piece.text, limit)
    end = len(fits)
    for separator in ("\n\n", "\n", " "):
        found = fits.rfind(separator, end // 2)
        if found > 0:
            end = found + len(separator)
            break
    shown = piece.text[:end].rstrip()
    head = Piece(shown, _between(piece.entities, 0, utf16_len(shown)))
    at = utf16_len(piece.text[:end])
    tail = Piece(piece.text[end:], _between(piece.entities, at, utf16_len(piece.text)))
    return head, tail


def _prefix(text: str, units: int) -> str:
    """The longest beginning of the text that has at most so many UTF-16 units."""
    return text.encode("utf-16-le")[: units * 2].decode("utf-16-le", "ignore")


def tail(piece: Piece, *, limit: int = TEXT_LIMIT) -> Piece:
    """The end of a piece, with a mark for what is left out; the whole when it fits."""
    units = utf16_len(piece.text)
    if units <= limit:
        return piece
    head = _prefix(piece.text, units - limit)
    rest = piece.text[len(head) :]
    return shifted(Piece(rest, _between(piece.entities, utf16_len(head), units)), note="… ")


def shifted(piece: Piece, *, note: str) -> Piece:
    """The piece with a note before it."""
    by = utf16_len(note)
    moved = tuple(_moved(one, start=one.offset + by, length=one.length) for one in piece.entities)
    return Piece(note + piece.text, moved)


def _between(
    entities: tuple[MessageEntity, ...], start: int, end: int
) -> tuple[MessageEntity, ...]:
    """The entities of a stretch, counted from its start; those that cross its ends are clipped."""
    found = []
    for one in entities:
        left, right = max(one.offset, start), min(one.offset + one.length, end)
        if right > left:
            found.append(_moved(one, start=left - start, length=right - left))
    return tuple(found)


def _moved(one: MessageEntity, *, start: int, length: int) -> MessageEntity:
    return MessageEntity(
        type=one.type,
        offset=start,
        length=length,
        url=one.url,
        language=one.language,
        custom_emoji_id=one.custom_emoji_id,
    )
