"""What a session may do without asking. Pure: a tool and its input in, a verdict out.

Three things can come of it: it may be used; it is refused, whoever asks; or it is the owner's to
say, and what he has said about exactly this before counts. A speed bump and not a wall where the
shell is concerned: see `agentos.worker.commands`.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentos.domain.frames import Access
from agentos.domain.rules import WHY, Granted, May, Request, Rules
from agentos.worker.commands import is_rough, reaches, read, written
from agentos.worker.shell import Command, Unreadable

_WRITES = {"Write": "file_path", "Edit": "file_path", "NotebookEdit": "notebook_path"}
_READS = {"Read": ("file_path",), "Glob": ("path", "pattern"), "Grep": ("path", "glob")}
_FREE = frozenset({"TodoWrite", "StructuredOutput"})
_WEB = {"WebFetch": "url", "WebSearch": "query"}
# Names that hold secrets, wherever they lie.
_SECRET_NAMES = (
    ".env",
    ".credentials.json",
    "agentos.db",
    "config.toml",
    "id_rsa",
    "id_ed25519",
)
_SECRET_WORDS = (".env", ".credentials.json", "agentos.db")
# Of home itself; what is beside them may be read.
_PRIVATE = frozenset({"logs", "run", "claude", "backends", "config.toml", "worker-home"})
# Where anybody may write.
_NOWHERE = ("/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/fd")
_OWNERS = re.compile(r"card answer|policy revoke|people \w")
_LONGEST_DETAIL = 200_000


@dataclass(frozen=True)
class Verdict:
    """What comes of the wish to use a tool: nothing in it is a yes."""

    # Refused, in the words that the agent reads.
    reason: str | None = None
    # The owner is to be asked this.
    request: Request | None = None
    # It was allowed once, which this use takes.
    grant: Granted | None = None


YES = Verdict()


class Policy:
    """The rules of one session; the folders, the rules and what was granted come with each turn."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._folders: list[Path] = []
        self._rules = Rules()
        self._granted: list[Granted] = []

    def allow_folders(self, folders: Sequence[str]) -> None:
        """From now on, writing is allowed in these folders and nowhere else."""
        self._folders = [Path(os.path.realpath(folder)) for folder in folders]

    def follow(self, rules: Rules, granted: Sequence[Granted]) -> None:
        """From now on these hold. What is named as a folder is one, also `~/src`."""
        self._rules = rules
        self._granted = list(granted)

    def spend(self, grant: Granted) -> None:
        """What was allowed once has been used."""
        self._granted = [each for each in self._granted if each.id != grant.id]

    def decide(self, tool: str, arguments: Mapping[str, Any]) -> Verdict:
        """What comes of it."""
        if self._access is Access.none:
            return Verdict("This session has no tools. Answer in words.")
        if tool in _WRITES:
            return self._write(tool, str(arguments.get(_WRITES[tool], "")), arguments)
        if tool in _READS:
            return Verdict(_may_read([str(arguments.get(name, "")) for name in _READS[tool]]))
        if tool == "Bash":
            return self._run(str(arguments.get("command", "")))
        if tool in _WEB:
            return self._look_up(tool, str(arguments.get(_WEB[tool], "")))
        if tool in _FREE or tool in self._rules.tools:
            return YES
        return Verdict(f"The tool {tool} is not allowed here.")

    def _write(self, tool: str, path: str, arguments: Mapping[str, Any]) -> Verdict:
        target = Path(os.path.realpath(path))
        if self._is_ours(target):
            return YES
        where = ", ".join(str(folder) for folder in self._folders) or "no folder"
        if not path or _in_home(target) or target.name.startswith(_SECRET_NAMES) or _in_tmp(target):
            return Verdict(f"Writing is allowed in {where} only.")
        if May.outside in self._rules.may:
            return YES
        change = json.dumps(dict(arguments), sort_keys=True, ensure_ascii=False)
        request = Request(
            tool=tool,
            pattern=str(target),
            digest=hashlib.sha256(change.encode()).hexdigest()[:32],
            verb="write a file outside of its folders",
            why=WHY[May.outside],
            detail=f"{target}\n\n{_change(arguments)}"[:_LONGEST_DETAIL],
        )
        return self._ask(request)

    def _look_up(self, tool: str, what: str) -> Verdict:
        if May.fetch in self._rules.may:
            return YES
        return self._ask(
            Request(
                tool=tool, pattern=what, verb="look into the web", why=WHY[May.fetch], detail=what
            )
        )

    def _run(self, command: str) -> Verdict:
        if (reason := _secret_in(command)) is not None:
            return Verdict(reason)
        found: list[Command] = []
        wanting: list[tuple[May, str]] = []
        try:
            found = read(command)
        except Unreadable as error:
            wanting.append((May.unseen, str(error)))
        for one in found:
            if (reason := self._never(one)) is not None:
                return Verdict(reason)
        if command in self._rules.commands:
            return YES
        wanting = [each for each in [*wanting, *reaches(found)] if each[0] not in self._rules.may]
        if May.outside not in self._rules.may:
            wanting += [(May.outside, piece) for piece in self._outside(found)]
        if not wanting:
            return YES
        told = dict.fromkeys(WHY[may] for may, _ in wanting)
        pieces = ", ".join(dict.fromkeys(piece for _, piece in wanting))
        why = f"{' and '.join(told)}: {pieces}"
        return self._ask(
            Request(
                tool="Bash",
                pattern=command,
                verb="run a command",
                why=why[:900],
                detail=command[:_LONGEST_DETAIL],
            )
        )

    def _ask(self, request: Request) -> Verdict:
        """What was said about exactly this counts; a no before any yes."""
        said = [granted for granted in self._granted if request.is_meant(granted)]
        if any(not granted.allowed for granted in said):
            return Verdict("The owner has said no to this. Go on without it.")
        if any(not granted.once for granted in said):
            return YES
        if said:
            return Verdict(grant=said[0])
        if len(request.pattern) >= _LONGEST_DETAIL:
            return Verdict("That is too long for the owner to judge. Put it into a file.")
        return Verdict(request=request)

    def _never(self, command: Command) -> str | None:
        """What is refused whoever asks: home itself, other jobs, what only the owner may say."""
        texts = [word.text for word in command.words]
        names = [text.rsplit("/", 1)[-1] for text in texts]
        if "pm" in names and _OWNERS.search(" ".join(texts)):
            return "That is for the owner alone to say."
        for word in (*command.words, *command.reads, *command.writes, *command.assigned):
            reason = _secret_in(word.text)
            if reason is not None:
                return reason
            if _is_private(self._path(word.text.partition("=")[2] or word.text)):
                return f"{word.text} belongs to agentos itself and is not to be touched."
        for word in written(command):
            target = self._path(word.text)
            if target is not None and _in_home(target) and not self._is_ours(target):
                return f"{word.text} is not yours to change: it is of home, or of another job."
        return None

    def _outside(self, found: Sequence[Command]) -> list[str]:
        """What is written outside of the folders, as far as the words tell."""
        outside: list[str] = []
        here: Path | None = self._folders[0] if self._folders else None
        for command in found:
            for word in written(command):
                rough = is_rough(command)
                if not word.sure or (word.spread and "{" in word.text):
                    if rough:
                        outside.append(word.text or "$…")
                    continue
                target = self._path(word.text, base=here)
                if target is None:
                    if rough:
                        outside.append(word.text)
                elif not (self._is_ours(target) or _in_tmp(target) or _is_nowhere(target)):
                    outside.append(word.text)
            if command.words and command.words[0].text in ("cd", "pushd"):
                here = self._moved(command, here)
        return outside

    def _moved(self, command: Command, here: Path | None) -> Path | None:
        """Where a `cd` leads; None when that is not known."""
        plain = [word for word in command.words[1:] if not word.text.startswith("-")]
        if not plain or not plain[0].sure or plain[0].spread:
            return None
        return self._path(plain[0].text, base=here)

    def _path(self, text: str, *, base: Path | None = None) -> Path | None:
        """The file that a word names; None when it is relative and nobody knows to what."""
        if not text or "\x00" in text or len(text) > 4096:
            return None
        if not text.startswith("/") and base is None:
            if not self._folders:
                return None
            base = self._folders[0]
        return Path(os.path.realpath(os.path.join(base or "/", text)))  # noqa: PTH118

    def _is_ours(self, target: Path) -> bool:
        more = [Path(os.path.realpath(Path(each).expanduser())) for each in self._rules.folders]
        return any(target.is_relative_to(folder) for folder in (*self._folders, *more))


def _change(arguments: Mapping[str, Any]) -> str:
    """What would be written, as a person reads it."""
    if "old_string" in arguments:
        old = [f"- {line}" for line in str(arguments["old_string"]).splitlines()]
        new = [f"+ {line}" for line in str(arguments.get("new_string", "")).splitlines()]
        return "\n".join([*old, *new])
    return str(arguments.get("content", arguments.get("new_source", "")))


def _home() -> Path | None:
    home = os.environ.get("AGENTOS_HOME")
    return Path(os.path.realpath(home)) if home else None


def _in_home(target: Path) -> bool:
    home = _home()
    return home is not None and target.is_relative_to(home)


def _is_private(target: Path | None) -> bool:
    """Whether it is of home itself, and holds what no worker is to read."""
    home = _home()
    if home is None or target is None or not target.is_relative_to(home) or target == home:
        return False
    return target.relative_to(home).parts[0] in _PRIVATE


def _in_tmp(target: Path) -> bool:
    places = ("/tmp", "/var/tmp", tempfile.gettempdir())  # noqa: S108
    return not _in_home(target) and any(
        target.is_relative_to(os.path.realpath(place)) for place in places
    )


def _is_nowhere(target: Path) -> bool:
    return str(target).startswith((*_NOWHERE, "/proc/self/fd"))


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


def _secret_in(command: str) -> str | None:
    for word in command.replace("'", " ").replace('"', " ").split():
        name = word.rsplit("/", 1)[-1]
        if name.startswith(_SECRET_WORDS):
            return f"{name} may hold secrets and is not to be touched."
    return None
