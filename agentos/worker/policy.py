"""What a session may do without asking. Pure: a tool and its input in, yes or a reason out."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentos.domain.frames import Access

_WRITES = {"Write": "file_path", "Edit": "file_path", "NotebookEdit": "notebook_path"}
_READS = {"Read": ("file_path",), "Glob": ("path", "pattern"), "Grep": ("path", "glob")}
_FREE = {"WebFetch", "WebSearch", "TodoWrite", "StructuredOutput"}
# Names that hold secrets, wherever they lie.
_SECRET_NAMES = (
    ".env",
    ".credentials.json",
    "agentos.db",
    "config.toml",
    "id_rsa",
    "id_ed25519",
)


class Policy:
    """The rules of one session; the folders it may write to change with each turn."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._folders: list[Path] = []

    def allow_folders(self, folders: Sequence[str]) -> None:
        """From now on, writing is allowed in these folders and nowhere else."""
        self._folders = [Path(os.path.realpath(folder)) for folder in folders]

    def decide(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """None when the tool may be used so; else the reason, as the agent should read it."""
        if self._access is Access.none:
            return "This session has no tools. Answer in words."
        if tool in _WRITES:
            return self._may_write(str(arguments.get(_WRITES[tool], "")))
        if tool in _READS:
            return _may_read([str(arguments.get(name, "")) for name in _READS[tool]])
        if tool == "Bash":
            return _may_run(str(arguments.get("command", "")))
        if tool in _FREE:
            return None
        return f"The tool {tool} is not allowed here."

    def _may_write(self, path: str) -> str | None:
        target = Path(os.path.realpath(path))
        if any(target.is_relative_to(folder) for folder in self._folders):
            return None
        where = ", ".join(str(folder) for folder in self._folders) or "no folder"
        return f"Writing is allowed in {where} only."


def _may_read(paths: Sequence[str]) -> str | None:
    """Whether files under these names may be read; a pattern is one that may lead to them."""
    for path in paths:
        name = Path(os.path.realpath(path)).name if path else ""
        if name.startswith(_SECRET_NAMES):
            return f"{name} may hold secrets and is not to be read."
    # A search through home would come by the files that hold them.
    home = os.environ.get("AGENTOS_HOME")
    if home and paths[1:] and paths[0] and Path(home).is_relative_to(os.path.realpath(paths[0])):
        return "The home of agentos is not to be searched; look in your working folder."
    return None


def _may_run(command: str) -> str | None:
    # A speed bump, not a wall: the environment holds no secrets, and these files are the rest.
    words = command.replace("'", " ").replace('"', " ").split()
    for word in words:
        name = word.rsplit("/", 1)[-1]
        if name.startswith((".env", ".credentials.json", "agentos.db")):
            return f"{name} may hold secrets and is not to be touched."
    return None
