"""Taking a message in: its files are fetched, a very long text goes into a file of its own."""

import asyncio
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentos.domain.people import Audience
from agentos.domain.ports import Channel
from agentos.domain.talk import Message
from agentos.errors import BadRequest, ChannelDown
from agentos.frontdesk import contents, words
from agentos.home import Home

# More than this is not read by triage and chat as a whole; a worker reads it in the file.
LONG_TEXT = 8_000
_HEAD, _TAIL = 6_000, 1_000
_FETCH_TRIES = 3
# What came without being a file or words, and what of it can be said in words.
_TOLD_KINDS = {
    "contact": ("name", "phone"),
    "location": ("latitude", "longitude"),
    "poll": ("question", "options"),
    "venue": ("title", "name", "address", "latitude", "longitude"),
}
_FILE_KINDS = frozenset(
    {"animation", "audio", "document", "file", "photo", "video", "video_note", "voice"}
)


@dataclass(frozen=True)
class File:
    """A file that came with a message, where it lies now, and what it is."""

    path: Path
    kind: str

    @property
    def name(self) -> str:
        """Its name, without the folder."""
        return self.path.name


@dataclass(frozen=True)
class Intake:
    """A message as the models see it."""

    # The text, or the beginning and the end of a very long one.
    shown: str
    files: tuple[File, ...] = ()
    # Who said it first, when the owner only handed it on.
    forwarded_from: str | None = None
    # What somebody else said that the message answers or quotes.
    quoted: str = ""
    # What could not be taken, in words for the owner.
    excuses: tuple[str, ...] = ()
    is_long: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to go on."""
        return not self.shown and not self.files


async def take(message: Message, *, channel: Channel | None, home: Home) -> Intake:
    """Fetch what came with a message into its folder of the inbox; again is the same as once."""
    files: list[File] = []
    excuses: list[str] = []
    for number, attachment in enumerate(message.attachments, start=1):
        if attachment.get("kind") not in _FILE_KINDS:
            continue
        if message.audience is Audience.guest:
            excuses = [words.GUEST_FILE]
            continue  # nobody here would open it, and a stranger's files are kept for nobody
        try:
            files.append(await _fetch(message, number, attachment, channel=channel, home=home))
        except (BadRequest, ChannelDown, OSError) as error:
            excuses.append(_excuse(attachment, error))
    said = [message.text] if _has_visible(message.text) else []
    text = "\n".join([*said, *map(_told, _tellable(message.attachments))])
    is_long = len(text) > LONG_TEXT
    if is_long:
        kept = await asyncio.to_thread(_keep, text, folder=folder_of(home, message.id))
        files.insert(0, File(path=kept, kind="the whole message"))
    return Intake(
        shown=_shortened(text) if is_long else text.strip(),
        files=tuple(files),
        forwarded_from=_forwarded_from(message.attachments),
        quoted=_quoted(message.attachments),
        excuses=tuple(excuses),
        is_long=is_long,
    )


def folder_of(home: Home, message_id: int | None) -> Path:
    """Where the files of a message lie."""
    return home.inbox / str(message_id)


def files_of(home: Home, message_id: int | None) -> list[File]:
    """The files that were kept for a message before. Reads a folder."""
    folder = folder_of(home, message_id)
    if message_id is None or not folder.is_dir():
        return []
    found = sorted(path for path in folder.iterdir() if path.is_file())
    return [File(path=path, kind=path.suffix.lstrip(".") or "file") for path in found]


async def _fetch(
    message: Message,
    number: int,
    attachment: dict[str, Any],
    *,
    channel: Channel | None,
    home: Home,
) -> File:
    claimed = str(attachment.get("mime") or attachment.get("kind"))
    folder = folder_of(home, message.id)
    if (kept := await asyncio.to_thread(_kept, folder, number)) is not None:
        return await asyncio.to_thread(_told_apart, kept, claimed)
    if attachment.get("too_big"):
        limit = int(attachment.get("limit_megabytes", 20))
        raise BadRequest(problem=words.too_big(_megabytes(attachment), limit=limit))
    if channel is None:
        raise ChannelDown(channel=message.channel, problem="it is not connected")
    arriving = folder / f".{number}"
    for attempt in range(1, _FETCH_TRIES + 1):
        await asyncio.to_thread(_make_empty, arriving)
        try:
            fetched = await channel.fetch(attachment, folder=arriving)
            break
        except ChannelDown as error:
            if attempt == _FETCH_TRIES:
                raise
            await asyncio.sleep(min(5.0, error.retry_after or attempt))
    # Only a file that has arrived as a whole gets its name, so that a crash leaves no half one.
    path = await asyncio.to_thread(fetched.replace, folder / f"{number}-{fetched.name}")
    await asyncio.to_thread(shutil.rmtree, arriving, ignore_errors=True)
    return await asyncio.to_thread(_told_apart, path, claimed)


def _told_apart(path: Path, claimed: str) -> File:
    return File(path=path, kind=contents.kind_of(path, claimed=claimed))


def _kept(folder: Path, number: int) -> Path | None:
    return next(iter(sorted(folder.glob(f"{number}-*"))), None)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _keep(text: str, *, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "message.txt"
    path.write_text(text, encoding="utf-8", errors="replace")
    return path


def _excuse(attachment: Mapping[str, Any], error: Exception) -> str:
    if isinstance(error, BadRequest):
        return str(error)
    return words.not_fetched(str(attachment.get("name") or ""))


def _megabytes(attachment: Mapping[str, Any]) -> int | None:
    size = attachment.get("size")
    return round(size / 1_000_000) if isinstance(size, int) and size > 0 else None


def _shortened(text: str) -> str:
    left_out = len(text) - _HEAD - _TAIL
    # The local rules read this, too: no word in it may sound like a request for big work.
    note = f"[… {left_out} characters are left out here; all of them are in a file …]"
    return f"{text[:_HEAD].strip()}\n{note}\n{text[-_TAIL:].strip()}"


def _tellable(attachments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [attachment for attachment in attachments if attachment.get("kind") in _TOLD_KINDS]


def _told(attachment: Mapping[str, Any]) -> str:
    """A place, a contact or a poll as a line of text."""
    kind = str(attachment["kind"])
    parts = [str(attachment[key]) for key in _TOLD_KINDS[kind] if attachment.get(key)]
    return f"[{kind}: {', '.join(parts)}]"


def _has_visible(text: str) -> bool:
    """Whether there is more than spaces, control characters and invisible marks."""
    return any(unicodedata.category(char)[0] not in "ZC" for char in text)


def _forwarded_from(attachments: list[dict[str, Any]]) -> str | None:
    for attachment in attachments:
        if attachment.get("kind") == "forward":
            return str(attachment.get("from") or "somebody else")
    return None


def _quoted(attachments: list[dict[str, Any]]) -> str:
    """What is quoted, with whose words they are where that is known."""
    for attachment in attachments:
        if attachment.get("kind") == "quote":
            said, whose = str(attachment.get("text") or ""), attachment.get("from")
            return f"{whose}: {said}" if whose else said
    return ""
