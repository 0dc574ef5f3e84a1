"""Collecting what a run left to be opened."""

import mimetypes
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


NOTHING = Collection(files=[], left=[])


def collect(folder: Path) -> Collection:
    """Look through an artefacts folder; what cannot be read or sent is named, never raised.

    Links that lead out of the folder are not followed, nor is the folder when it is a link itself.
    """
    files: list[Found] = []
    left: list[str] = []
    root = folder.parent.resolve() / folder.name
    if folder.is_symlink():
        return Collection(files=[], left=["the artefacts folder (it was made a link)"])
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        try:
            if not _is_ours(path, name, root=root):
                continue
            size = path.stat().st_size
        except OSError:
            left.append(f"{name!a} (it cannot be read)")
            continue
        problem = _problem(name, size=size, so_far=len(files))
        if problem is None:
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            files.append(Found(path=path, name=name, media_type=kind, size=size))
        else:
            left.append(problem)
    return Collection(files=files, left=left)


def _is_ours(path: Path, name: str, *, root: Path) -> bool:
    """Whether this is a visible file that lies in the folder, and not just seems to."""
    hidden = any(part.startswith(".") for part in Path(name).parts)
    return not hidden and path.is_file() and path.resolve().is_relative_to(root)


def _problem(name: str, *, size: int, so_far: int) -> str | None:
    """Why a file stays where it is, or None when it is sent."""
    if not name.isprintable():
        # Not valid UTF-8, too: no database and no channel takes such a name.
        return f"{name!a} (its name cannot be sent)"
    if size == 0:
        return f"{name} (empty)"
    if size > _LARGEST_DOCUMENT:
        return f"{name} ({size // 1_000_000} MB, too big to send)"
    return name if so_far >= _MOST_FILES else None
