"""What is in a file that came in: told by its content, since anybody can write any name."""

import mimetypes
from pathlib import Path

import filetype

# As much as the longest signature needs.
_HEAD = 8192
_ARCHIVES = frozenset(
    {
        "application/zip",
        "application/gzip",
        "application/x-tar",
        "application/x-7z-compressed",
        "application/x-rar-compressed",
        "application/x-bzip2",
        "application/x-xz",
        "application/zstd",
        "application/vnd.ms-cab-compressed",
    }
)
# One family under several names.
_SAME = {"audio/ogg": "ogg", "video/ogg": "ogg", "application/ogg": "ogg", "audio/opus": "ogg"}


def kind_of(path: Path, *, claimed: str) -> str:
    """What a file is, in words for a worker. Reads its beginning and nothing else.

    `claimed` is what the sender's program said it is; where that is wrong, it is told.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    guessed = filetype.guess(head)
    if guessed is None:
        if b"\x00" in head or not head:
            return f"{claimed}, not checked" if head else f"{claimed}, empty"
        # Text has no signature: the name is as good as anything, unless it promises something else.
        named = mimetypes.guess_type(path.name)[0] or "text/plain"
        return f"text, although it is called {path.suffix}" if _has_signature(named) else named
    found = str(guessed.mime)
    told = f"{found}, an archive, not unpacked" if found in _ARCHIVES else found
    meant = mimetypes.guess_type(path.name)[0]
    if meant is not None and not _alike(meant, found):
        told += f", although it is called {path.suffix}"
    return told


def is_sound(path: Path) -> bool:
    """Whether a file is one of sounds, or of pictures with sounds."""
    with path.open("rb") as file:
        guessed = filetype.guess(file.read(_HEAD))
    return guessed is not None and str(guessed.mime).partition("/")[0] in ("audio", "video")


def _has_signature(mime: str) -> bool:
    """Whether files of a type begin with something that text does not."""
    if mime == "image/svg+xml":
        return False
    family = mime.partition("/")[0]
    known = family in ("audio", "font", "image", "video") or mime in _ARCHIVES
    return known or mime == "application/pdf" or "officedocument" in mime


def _alike(named: str, found: str) -> bool:
    """Whether two names of a type may mean the same: `x-` or not, and office files are zips."""
    if _SAME.get(named, named) == _SAME.get(found, found):
        return True
    if found == "application/zip":
        return "zip" in named or "officedocument" in named or "opendocument" in named
    plain = [one.replace("x-", "").partition("/") for one in (named, found)]
    if {plain[0][0], plain[1][0]} <= {"audio", "video"}:
        return True  # one container holds both
    return plain[0][2] == plain[1][2] or plain[0][0] == plain[1][0] == "image"
