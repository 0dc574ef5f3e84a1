"""Reading the transcript of a job: JSON lines that a worker writes while we read."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentos.home import Home, default_home

_START = b'{"at": '
_LONGEST_LINE = 4 * 1024 * 1024


class TranscriptFile:
    """The lines of a transcript from where the last reading ended."""

    def __init__(self, job_id: int) -> None:
        self._path: Path = Home(default_home()).job_folder(job_id) / "transcript.jsonl"
        self._offset = 0

    def lines(self) -> Iterator[dict[str, Any]]:
        """What is new. A last line that is still being written is left for the next time."""
        try:
            file = self._path.open("rb")
        except OSError:
            return
        with file:
            file.seek(self._offset)
            while (line := file.readline(_LONGEST_LINE)).endswith(b"\n"):
                self._offset += len(line)
                if (read := _read(line)) is not None:
                    yield read


def count_tools(job_id: int) -> dict[str, int]:
    """Which tools a job used and how often, the most used first."""
    lines = TranscriptFile(job_id).lines()
    names = Counter(str(line.get("tool")) for line in lines if line["kind"] == "tool")
    return dict(names.most_common())


def _read(line: bytes) -> dict[str, Any] | None:
    """A line, or None when it is none. A crash may leave half a line before a whole one."""
    whole = line[max(line.rfind(_START), 0) :]
    for candidate in (line, whole):
        try:
            read = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(read, dict) and isinstance(read.get("kind"), str):
            return read
    return None
