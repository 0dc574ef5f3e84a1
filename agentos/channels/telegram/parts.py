"""The parts of an outbox row: the messages it takes to say it. Looks at files, sends nothing."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from agentos.channels.telegram import words
from agentos.channels.telegram.formatting import CAPTION_LIMIT, Piece, clean, pieces
from agentos.domain.talk import OutboxKind, Outgoing

_DOCUMENT_LIMIT = 50 * 1024 * 1024
_PHOTO_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True)
class Part:
    """One Telegram message: a text, or a file with a caption; the buttons are on the last."""

    piece: Piece
    kind: OutboxKind = OutboxKind.text
    file: Path | None = None
    buttons: InlineKeyboardMarkup | None = None

    def easier(self) -> Iterator["Part"]:
        """This part and then plainer ones, for a server that refuses it."""
        yield self
        plain = dataclasses.replace(self, piece=Piece(self.piece.text))
        if self.piece.entities:
            yield plain
        if self.kind is OutboxKind.photo:
            yield dataclasses.replace(plain, kind=OutboxKind.document)
        if self.file is not None:
            told = words.file_refused(self.file.name, path=str(self.file))
            said = "\n\n".join(filter(None, [self.piece.text, told]))
            yield Part(Piece(said), buttons=self.buttons)


def parts_of(row: Outgoing) -> list[Part]:
    """What to send for a row, in order; empty when there is nothing to say."""
    if row.kind is OutboxKind.text or row.file_path is None:
        made = [Part(piece) for piece in pieces(row.text)]
    else:
        made = _with_file(row, file=Path(row.file_path))
    if made and row.buttons:
        made[-1] = dataclasses.replace(made[-1], buttons=keyboard(row.buttons))
    return made


def _with_file(row: Outgoing, *, file: Path) -> list[Part]:
    """The file with its caption, and as texts what the caption has no room for."""
    size = file.stat().st_size if file.is_file() else None
    problem = _problem(file, size=size)
    if problem is not None:
        said = "\n\n".join(filter(None, [row.text, problem]))
        return [Part(piece) for piece in pieces(said)]
    kind = row.kind
    if kind is OutboxKind.photo and (size or 0) > _PHOTO_LIMIT:
        kind = OutboxKind.document
    caption, *rest = pieces(row.text, first=CAPTION_LIMIT) or [Piece("")]
    return [Part(caption, kind=kind, file=file), *[Part(piece) for piece in rest]]


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


def keyboard(rows: list[list[dict[str, str]]]) -> InlineKeyboardMarkup:
    """Rows of buttons as Telegram takes them."""
    return InlineKeyboardMarkup(
        [
            [
                InlineKeyboardButton(clean(button["label"]), callback_data=button["data"])
                for button in row
            ]
            for row in rows
        ]
    )
