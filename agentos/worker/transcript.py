"""The transcript of a job: one JSON object a line, written as it happens."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentos.domain.frames import LAST_FRAME, TurnEnded

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

    def keep(self, ended: TurnEnded) -> None:
        """Have the end of the turn lie beside it, whole: for a daemon that is not there to hear it.

        A full disk, or a kill, leaves none; then the turn is done again.
        """
        if self._path is None:
            return
        file = self._path.with_name(LAST_FRAME)
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            draft.write_bytes(ended.model_dump_json().encode())
            draft.replace(file)
        except OSError:
            self.lost_lines += 1


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return value[:_LONGEST_TEXT] + f" … ({len(value)} characters)"
    return value
