"""Collecting what a run left to be opened."""

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentos.domain.talk import OutboxKind

# The Bot API takes documents of up to 50 MB and photos of up to 10 MB.
_LARGEST_DOCUMENT = 50_000_000
_LARGEST_PHOTO = 10_000_000
_MOST_FILES = 10
_PHOTOS = {"image/png", "image/jpeg", "image/webp"}


@dataclass(frozen=True)
class Found:
    """A file in the artefacts folder."""

    path: Path
    name: str
    media_type: str
    size: int

    @property
    def kind(self) -> OutboxKind:
        """Pictures go as pictures."""
        is_photo = self.media_type in _PHOTOS and self.size <= _LARGEST_PHOTO
        return OutboxKind.photo if is_photo else OutboxKind.document


@dataclass(frozen=True)
class Collection:
    """The files to send, and those that stay where they are, with the reason."""

    files: list[Found]
    left: list[str]


def collect(folder: Path) -> Collection:
    """Look through an artefacts folder. Links that lead out of it are not followed."""
    files: list[Found] = []
    left: list[str] = []
    for path in _files_in(folder):
        size = path.stat().st_size
        name = str(path.relative_to(folder))
        if size == 0:
            left.append(f"{name} (empty)")
        elif size > _LARGEST_DOCUMENT:
            left.append(f"{name} ({size // 1_000_000} MB, too big to send)")
        elif len(files) >= _MOST_FILES:
            left.append(name)
        else:
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            files.append(Found(path=path, name=name, media_type=kind, size=size))
    return Collection(files=files, left=left)


def _files_in(folder: Path) -> Iterator[Path]:
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path.resolve().is_relative_to(root):
            yield path
