"""What sessions have written down of a text that is forgotten: blotted out where it stands.

The CLIs keep each session as lines of JSON, and so do we of each job. A text in there is covered
with blanks of the same length: the line stays what it is, and whoever appends to the file meanwhile
is not disturbed.
"""

import json
import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path

from agentos.home import Home

# A shorter text is a word that stands in other places, too.
LEAST = 8
_KEPT_OF_JOBS = ("transcript.jsonl", "ended.json")


def blot_out(home: Home, texts: Iterable[str]) -> int:
    """Cover texts in what sessions and jobs have written; how many files held one."""
    needles = {needle for text in texts if len(text) >= LEAST for needle in _written(text)}
    return sum(_blot(file, needles) for file in _files(home)) if needles else 0


def _files(home: Home) -> Iterator[Path]:
    for folder in (home.claude_config, home.backends, home.worker_home):
        yield from folder.rglob("*.jsonl")
    for name in _KEPT_OF_JOBS:
        yield from home.jobs.glob(f"*/{name}")


def _written(text: str) -> set[bytes]:
    """A text as it may stand in JSON: in a string, or in a string within a string."""
    found = {text}
    for _ in range(2):
        for form in list(found):
            found |= {json.dumps(form)[1:-1], json.dumps(form, ensure_ascii=False)[1:-1]}
    return {form.encode("utf-8", "replace") for form in found}


def _blot(file: Path, needles: Iterable[bytes]) -> bool:
    """Cover them in one file; one that is gone or not ours to write is left alone."""
    try:
        if file.is_symlink() or file.stat().st_size == 0:
            return False
        with file.open("r+b") as out, mmap.mmap(out.fileno(), 0) as content:
            places = [
                (place, len(needle)) for needle in needles for place in _places(content, needle)
            ]
            for place, size in places:
                content[place : place + size] = b" " * size
            if places:
                content.flush()
    except (OSError, ValueError):
        return False
    return bool(places)


def _places(content: mmap.mmap, needle: bytes) -> Iterator[int]:
    place = content.find(needle)
    while place >= 0:
        yield place
        place = content.find(needle, place + len(needle))
