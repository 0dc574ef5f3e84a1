"""What attempts at a job left behind: what they did, by the transcript, and their last words.

A session that is resumed after a crash may not know that a tool came back: the CLI writes that down
a moment later. The transcript does, for it is written before a tool begins and when it is back.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agentos.domain.frames import LAST_FRAME, TurnEnded
from agentos.domain.work import Run

# Enough for some hours of work; of what is longer, the end counts.
_MOST_BYTES = 2_000_000
_MOST_DEEDS = 40
_LONGEST_INPUT = 300
_LONGEST_OUTPUT = 200


class Fate(StrEnum):
    """What became of the use of a tool."""

    done = auto()
    failed = auto()
    # It began, and nobody knows how it ended: it may have taken effect or not.
    open = auto()


@dataclass(frozen=True)
class Deed:
    """One use of a tool: what it was called with, and what it said at its end."""

    tool: str
    input: str
    fate: Fate
    output: str = ""


@dataclass(frozen=True)
class Deeds:
    """The last of them in their order, and how many there were before."""

    last: list[Deed]
    before: int = 0


def deeds(transcript: Path, *, before_run: int | None) -> Deeds:
    """What the attempts before this run did; nothing when there is no transcript to be read.

    The worker could write to it like to any file of its user: what it says is no more than a hint.
    """
    found: dict[str, Deed] = {}
    for number, line in enumerate(_lines(transcript)):
        if before_run is not None and line.get("run") == before_run:
            continue
        key = f"{line.get('run')}:{line.get('call') or ''}"
        match line.get("kind"):
            case "tool":
                told = str(line.get("detail") or line.get("input") or "")
                deed = Deed(
                    tool=_short(line.get("tool"), most=60),
                    input=_short(told, most=_LONGEST_INPUT),
                    fate=Fate.open,
                )
                found[key if line.get("call") else f"{key}{number}"] = deed
            case "tool_result":
                _end(found, key, line)
            case _:
                pass
    every = list(found.values())
    # What is open matters most: those that may have to be looked at come along, however old.
    kept = every[-_MOST_DEEDS:]
    older = [deed for deed in every[:-_MOST_DEEDS] if deed.fate is Fate.open][-_MOST_DEEDS:]
    return Deeds(last=[*older, *kept], before=len(every) - len(kept) - len(older))


def _end(found: dict[str, Deed], key: str, line: dict[str, Any]) -> None:
    """Note the end of a use: by its id, or else of the oldest of this tool that is open."""
    if key not in found:
        run = f"{line.get('run')}:"
        tool = _short(line.get("tool"), most=60)
        key = next(
            (
                each
                for each, deed in found.items()
                if each.startswith(run) and deed.tool == tool and deed.fate is Fate.open
            ),
            "",
        )
    if (begun := found.get(key)) is None:
        return
    found[key] = Deed(
        tool=begun.tool,
        input=begun.input,
        fate=Fate.failed if line.get("failed") else Fate.done,
        output=_short(line.get("text"), most=_LONGEST_OUTPUT),
    )


def _lines(transcript: Path) -> Iterator[dict[str, Any]]:
    for line in _tail(transcript).splitlines():
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue  # cut in the middle, by the end of a process or by where we begin
        if isinstance(told, dict):
            yield told


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _MOST_BYTES))
            return file.read(_MOST_BYTES)
    except OSError:
        return b""


def last_frame(folder: Path, run: Run) -> TurnEnded | None:
    """How the turn of a run came to its end, when nobody was there to hear it; else None."""
    try:
        ended = TurnEnded.model_validate_json((folder / LAST_FRAME).read_bytes())
    except (OSError, ValidationError):
        return None
    return ended if ended.turn_id == run.token and ended.failure is None else None


def last_words(path: Path, *, since: int) -> str:
    """The last line that was written to an error file after its first `since` bytes, if any."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(since, size - 16_384))
            lines: Iterable[str] = file.read(16_384).decode(errors="replace").splitlines()
    except OSError:
        return ""
    words = [" ".join(line.split()) for line in lines]
    return next((line for line in reversed(words) if line), "")[:300]


def _short(value: Any, *, most: int) -> str:
    text = " ".join(str(value or "").split())
    return text if len(text) <= most else f"{text[:most]} …"
