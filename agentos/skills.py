"""Skills: `skills/<name>/SKILL.md`, knowledge that a worker gets in its system prompt.

The format is that of Agent Skills: YAML front matter (`name`, `description`) and a Markdown body.
Two fields are ours: `trigger`, the words of a request the skill is meant for, and `requires`, the
programs it cannot do without. The owner's skill wins over the shipped one of the same name.
"""

import hashlib
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agentos.errors import AgentosError, BadRequest, Misconfigured, NotFound
from agentos.home import Home, shipped_root

FOLDER = "skills"
FILE = "SKILL.md"
SIZE_LIMIT = 64 * 1024
# The bounds of the Agent Skills format.
DESCRIPTION_LIMIT = 1024
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_OURS = ("name", "description", "trigger", "requires")
# Fields that skills from elsewhere carry; they change nothing here.
_FOREIGN = ("license", "compatibility", "metadata", "allowed-tools")
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)?---[ \t]*(?:\n|\Z)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Skill:
    """One skill as it stands on disk now."""

    name: str
    description: str
    # Words of a request that the skill is meant for.
    trigger: tuple[str, ...]
    # Programs it cannot do without.
    requires: tuple[str, ...]
    # The body, without the front matter: what is put into the prompt.
    text: str
    # The first 12 hex digits of the file's SHA-256: any change of the file changes it.
    version: str
    path: Path


@dataclass(frozen=True)
class BrokenSkill:
    """A skill that cannot be used, and the one line that says why."""

    name: str
    reason: str


def load(home: Home, name: str) -> Skill:
    """Read a skill by its name, the owner's first.

    Raises BadRequest when there is none, Misconfigured when its file is broken. A broken skill of
    the owner's is an error too: falling back would run a job on other advice than he wrote.
    """
    if not _NAME.fullmatch(name):
        raise BadRequest(
            problem=f"{name!r} is no name of a skill: use small letters, digits and hyphens"
        )
    try:
        path = home.find(f"{FOLDER}/{name}/{FILE}")
    except NotFound as error:
        known = ", ".join(_names(home)) or "none yet"
        raise BadRequest(problem=f"there is no skill {name!r}; there is: {known}") from error
    return _parse(_read(path), name=name, path=path)


def list_all(home: Home) -> list[Skill]:
    """All skills that can be used, by name; `list_broken` has the others."""
    found = (_try(home, name) for name in _names(home))
    return [skill for skill in found if isinstance(skill, Skill)]


def list_broken(home: Home) -> list[BrokenSkill]:
    """The skills that cannot be used, by name, each with its reason."""
    found = (_try(home, name) for name in _names(home))
    return [skill for skill in found if isinstance(skill, BrokenSkill)]


def _try(home: Home, name: str) -> Skill | BrokenSkill:
    try:
        return load(home, name)
    except AgentosError as error:
        return BrokenSkill(name=name, reason=str(error))


def _names(home: Home) -> list[str]:
    """The names of all folders with a SKILL.md, the owner's and the shipped ones."""
    files = (
        file
        for root in (home.root, shipped_root())
        for file in (root / FOLDER).glob(f"*/{FILE}")
        if not file.parent.name.startswith(".")
    )
    return sorted({file.parent.name for file in files})


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise _broken(path, error.strerror or str(error), "Make it readable.") from error
    if len(content) > SIZE_LIMIT:
        raise _broken(
            path,
            f"it is larger than {SIZE_LIMIT // 1024} KB",
            "Keep what a worker has to know; put the rest into files beside it.",
        )
    return content


def _parse(content: bytes, *, name: str, path: Path) -> Skill:
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _broken(path, "it is not UTF-8 text", "Save it as UTF-8.") from error
    if (parts := _FRONT_MATTER.match(text)) is None:
        raise _broken(
            path,
            "it does not begin with front matter",
            "Begin with a line ---, then name and description, then a line ---.",
        )
    fields = _fields(parts[1] or "", path=path)
    if fields.get("name") != name:
        raise _broken(
            path,
            f"name is {reprlib.repr(fields.get('name'))}",
            f"Make it {name!r}, the name of its folder.",
        )
    body = parts[2].strip()
    if not body:
        raise _broken(path, "there is nothing below the front matter", "Write what to know.")
    return Skill(
        name=name,
        description=_description(fields, path=path),
        trigger=_words(fields, "trigger", path=path),
        requires=_words(fields, "requires", path=path),
        text=body,
        version=hashlib.sha256(content).hexdigest()[:12],
        path=path,
    )


def _fields(front_matter: str, *, path: Path) -> dict[str, Any]:
    try:
        fields = yaml.safe_load(front_matter)
    except yaml.MarkedYAMLError as error:
        # The mark counts from 0, and from below the opening line.
        line = f" in line {error.problem_mark.line + 2}" if error.problem_mark else ""
        problem = f"the front matter is not valid YAML{line}: {error.problem}"
        raise _broken(path, problem, "Mend that line.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A date like 2026-99-99 is a ValueError, and a thousand brackets end the stack.
        raise _broken(path, "the front matter is not valid YAML", "Mend it.") from error
    if not isinstance(fields, dict):
        raise _broken(path, "the front matter has no fields", "Write name: and description:.")
    unknown = sorted(str(key) for key in fields if key not in (*_OURS, *_FOREIGN))
    if unknown:
        raise _broken(path, f"there is no field {unknown[0]!r}", f"Known here: {', '.join(_OURS)}.")
    return fields


def _description(fields: dict[str, Any], *, path: Path) -> str:
    description = fields.get("description")
    if not isinstance(description, str) or not description.strip():
        raise _broken(path, "it has no description", "Say in a sentence when to use it.")
    if len(description) > DESCRIPTION_LIMIT:
        raise _broken(
            path, f"the description is longer than {DESCRIPTION_LIMIT} characters", "Shorten it."
        )
    return " ".join(description.split())


def _words(fields: dict[str, Any], key: str, *, path: Path) -> tuple[str, ...]:
    value = fields.get(key)
    if value is None:
        return ()
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _broken(path, f"{key} is not a list of words", f"Write it as {key}: [one, two].")
    return tuple(word.strip() for word in words if word.strip())


def _broken(path: Path, problem: str, mend: str) -> Misconfigured:
    return Misconfigured(where=path, problem=problem, mend=mend)
