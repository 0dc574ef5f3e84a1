"""The parts of an outbox row: the messages it takes to say it. Looks at files, sends nothing."""

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, InputFile, LinkPreviewOptions

from agentos.channels.telegram import words
from agentos.channels.telegram.formatting import (
    CAPTION_LIMIT,
    TEXT_LIMIT,
    Document,
    Piece,
    answer,
    clean,
)
from agentos.domain.talk import OutboxKind, Outgoing

_DOCUMENT_LIMIT = 50 * 1024 * 1024
_PHOTO_LIMIT = 10 * 1024 * 1024
_ADDRESS = re.compile(r"https?://[^\s<>]+")
# With more words than this around a link, its picture would only be in the way.
_FEW_WORDS = 40


@dataclass(frozen=True)
class Part:
    """One Telegram message: a text, or a file with a caption; the buttons are on the last."""

    piece: Piece
    kind: OutboxKind = OutboxKind.text
    file: Path | None = None
    # A file that is made here, and is nowhere on the disk.
    document: Document | None = None
    buttons: InlineKeyboardMarkup | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is more than words."""
        return self.file is not None or self.document is not None

    def easier(self) -> Iterator["Part"]:
        """This part and then plainer ones, for a server that refuses it."""
        yield self
        plain = dataclasses.replace(self, piece=Piece(self.piece.text))
        if self.piece.found:
            yield plain
        if self.kind is OutboxKind.photo:
            yield dataclasses.replace(plain, kind=OutboxKind.document)
        if self.file is not None:
            told = words.file_refused(self.file.name, path=str(self.file))
            said = "\n\n".join(filter(None, [self.piece.text, told]))
            yield Part(Piece(said), buttons=self.buttons)


def parts_of(row: Outgoing, *, as_texts: bool = False) -> list[Part]:
    """What to send for a row, in order; empty when there is nothing to say.

    `as_texts`: for a server that does not take the file that a long text ends with.
    """
    if row.kind is OutboxKind.text or row.file_path is None:
        made = _texts(row.text, as_texts=as_texts)
    else:
        made = _with_file(row, file=Path(row.file_path), as_texts=as_texts)
    if made and row.buttons:
        made[-1] = dataclasses.replace(made[-1], buttons=_keyboard(row.buttons))
    return made


def contents_of(part: Part) -> InputFile:
    """The file of a part, for the library; it reads the disk."""
    if part.document is not None:
        return InputFile(part.document.content, filename=part.document.name)
    assert part.file is not None
    return InputFile(part.file.read_bytes(), filename=part.file.name)


def preview_of(piece: Piece) -> LinkPreviewOptions:
    """A picture of what a link leads to, for a text that is little else than that link."""
    links = {one.url or "" for one in piece.found if one.type == "text_link"}
    links |= set(_ADDRESS.findall(piece.text))
    around = _ADDRESS.sub("", piece.text).strip()
    return LinkPreviewOptions(is_disabled=len(links) != 1 or len(around) > _FEW_WORDS)


def _texts(text: str, *, first: int = TEXT_LIMIT, as_texts: bool = False) -> list[Part]:
    """A text in messages, and as a file what is too long for them."""
    made, document = answer(text, first=first)
    parts = [Part(piece) for piece in made]
    if document is None:
        return parts
    if as_texts:
        return parts + [Part(piece) for piece in document.instead]
    return [*parts, Part(Piece(""), kind=OutboxKind.document, document=document)]


def _with_file(row: Outgoing, *, file: Path, as_texts: bool) -> list[Part]:
    """The file with its caption, and as texts what the caption has no room for."""
    size = file.stat().st_size if file.is_file() else None
    problem = _problem(file, size=size)
    if problem is not None:
        said = "\n\n".join(filter(None, [row.text, problem]))
        return _texts(said, as_texts=as_texts)
    kind = row.kind
    if kind is OutboxKind.photo and (size or 0) > _PHOTO_LIMIT:
        kind = OutboxKind.document
    caption, *rest = _texts(row.text, first=CAPTION_LIMIT, as_texts=as_texts) or [Part(Piece(""))]
    return [Part(caption.piece, kind=kind, file=file), *rest]


def _problem(file: Path, *, size: int | None) -> str | None:
    """Why a file cannot be sent, in words for its receiver, or None."""
    name = _literal(file.name)
    if size is None:
        return words.file_missing(name)
    if size == 0:
        return words.file_empty(name)
    if size > _DOCUMENT_LIMIT:
        return words.file_too_big(name, size=size, path=_literal(str(file)))
    return None


def _literal(text: str) -> str:
    """Text that Markdown leaves alone."""
    return f"`{text}`" if "`" not in text else text


def _keyboard(rows: list[list[dict[str, str]]]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        [
            [
                InlineKeyboardButton(clean(button["label"]), callback_data=button["data"])
                for button in row
            ]
            for row in rows
        ]
    )
