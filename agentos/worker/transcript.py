"""The transcript of a job: one JSON object a line, written as it happens."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_LONGEST_TEXT = 20_000


class Transcript:
    """Appends to a file; without a file it does nothing. A full disk does not stop the work."""

    def __init__(self, path: str | None, *, run_id: int | None) -> None:
        self._path = Path(path) if path else None
        self._run_id = run_id
        self.lost_lines = 0

    def write(self, kind: str, **fields: Any) -> None:
        """Add a line: what happened, when, in which run."""
        if self._path is None:
            return
        shown = {key: _cut(value) for key, value in fields.items()}
        at = datetime.now(UTC).isoformat()
        line = json.dumps({"at": at, "run": self._run_id, "kind": kind, **shown}, default=str)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError:
            self.lost_lines += 1


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return value[:_LONGEST_TEXT] + f" … ({len(value)} characters)"
    return value
