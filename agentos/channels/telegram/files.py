"""Bringing files from Telegram, under names that are safe here."""

import asyncio
import unicodedata
from pathlib import Path
from typing import Any

from telegram import Bot
from telegram.error import BadRequest as Refused
from telegram.error import InvalidToken

from agentos.channels.telegram import words
from agentos.channels.telegram.incoming import DOWNLOAD_LIMIT
from agentos.channels.telegram.refusals import is_unknown_method, translated
from agentos.errors import BadRequest

_NAME_BYTES = 120


async def fetch(bot: Bot, attachment: dict[str, Any], *, folder: Path) -> Path:
    """Download a file into a folder, which is made when need be; never over one that is there.

    Raises BadRequest when it never will work, ChannelDown when it may later.
    """
    name, size = str(attachment.get("name") or "file"), attachment.get("size")
    if "file_id" not in attachment:
        raise BadRequest(problem="there is no file in it")
    if attachment.get("too_big") or (size or 0) > DOWNLOAD_LIMIT:
        raise BadRequest(problem=words.too_big_to_fetch(name, size=size))
    with translated(repeatable=True):
        try:
            file = await bot.get_file(attachment["file_id"])
            if (file.file_size or 0) > DOWNLOAD_LIMIT:
                raise BadRequest(problem=words.too_big_to_fetch(name, size=file.file_size))
            content = await file.download_as_bytearray(read_timeout=60)
            if len(content) > DOWNLOAD_LIMIT:  # whatever was said of its size
                raise BadRequest(problem=words.too_big_to_fetch(name, size=len(content)))
        except Refused as error:
            if "too big" in error.message.lower():
                raise BadRequest(problem=words.too_big_to_fetch(name, size=size)) from error
            raise
        except InvalidToken as error:
            if not is_unknown_method(error):
                raise
            raise BadRequest(problem=words.no_longer_there(name)) from error
    return await asyncio.to_thread(_keep, bytes(content), name=name, folder=folder)


def safe_name(name: str) -> str:
    """A file name without folders, control signs and surprises, at most 120 bytes long."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    plain = "".join(sign for sign in last if unicodedata.category(sign)[0] != "C")
    stem, dot, suffix = plain.strip().lstrip(".").rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    suffix = suffix[:16]
    room = _NAME_BYTES - len(f"{dot}{suffix}".encode())
    stem = stem.encode()[:room].decode(errors="ignore").strip()
    return f"{stem or 'file'}{dot}{suffix}"


def _keep(content: bytes, *, name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder / safe_name(name)
    target, number = wanted, 1
    while target.exists():
        number += 1
        target = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    # Whole or not at all: a crash must not leave half a file under its name.
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(content)
    part.replace(target)
    return target
