"""What a worker does, as one would say it to somebody who waits. Pure."""

import re
from datetime import timedelta

_TESTS = re.compile(
    r"\b(?:pytest|unittest|tox|nox|vitest|jest|rspec|phpunit|make (?:test|check)"
    r"|(?:npm|yarn|pnpm|go|cargo|dotnet|mvn|gradle) (?:run )?test)\b"
)
_COMMANDS = (
    (
        re.compile(r"\b(?:pip|npm|yarn|pnpm|apt(?:-get)?|cargo|brew) (?:install|add|ci)\b"),
        "installing what it needs",
    ),
    (re.compile(r"\bgit (?:clone|fetch|pull)\b"), "fetching a repository"),
    (re.compile(r"\bgit commit\b"), "writing down its changes"),
    (re.compile(r"\b(?:curl|wget)\b"), "fetching something from the web"),
    (re.compile(r"\b(?:grep|rg|find|ls|tree|wc)\b"), "looking around in the files"),
    (re.compile(r"\b(?:cat|head|tail|less|sed -n)\b"), "reading files"),
    (re.compile(r"\b(?:make|cmake|tsc|webpack|vite build|cargo build|go build)\b"), "building it"),
)
_GERUNDS = {
    "reads": "reading",
    "writes": "writing",
    "edits": "editing",
    "looks": "looking",
    "searches": "searching",
    "uses": "using",
    "asks": "asking",
    "changes": "changing",
    "deletes": "deleting",
    "moves": "moving",
    "fetches": "fetching",
    "runs": "running",
    "starts": "starting",
}
_LONGEST = 70


def phrase(summary: str) -> str:
    """A tool's summary as what is being done: "reads a.md" is "reading a.md"."""
    words = " ".join(summary.split())
    verb, _, rest = words.partition(" ")
    if verb in ("runs:", "runs"):
        return _command(rest)
    if verb == "remembers:":
        return "making a note of something"
    if verb == "uses":
        return f"using {rest.removeprefix('mcp__').replace('__', ' ')}"
    if verb in _GERUNDS:
        return _cut(f"{_GERUNDS[verb]} {rest}".strip())
    return _cut(words[:1].lower() + words[1:]) if words else "working"


def _command(command: str) -> str:
    if _TESTS.search(command):
        return "running tests"
    for pattern, words in _COMMANDS:
        if pattern.search(command):
            return words
    program = command.split(maxsplit=1)[0] if command else ""
    name = program.rsplit("/", 1)[-1]
    return f"running {name}" if re.fullmatch(r"[\w.+-]{1,30}", name) else "running a command"


def _cut(words: str) -> str:
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1].rstrip() + "…"


def lasted(length: timedelta) -> str:
    """How long something took or takes, in steps that do not flicker: "40 s", "3 min"."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def pause(age: timedelta) -> timedelta:
    """How long to leave a progress message alone: the older the work, the less often it is news."""
    for until, seconds in ((30, 3), (120, 5), (600, 10), (3600, 30)):
        if age < timedelta(seconds=until):
            return timedelta(seconds=seconds)
    return timedelta(seconds=60)
