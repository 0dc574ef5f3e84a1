"""Core memory: one small file that every session reads, at most 80 lines of it.

The file is the truth, and the owner's to edit with any editor. What agents want in it they can
only propose; the owner's yes puts it there. Each version is kept as a row, so that every change can
be looked at and taken back; one made by hand is noticed at the next look.
"""

import os
import re
from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.memory import CoreState, CoreVersion
from agentos.errors import BadRequest, WrongState
from agentos.home import Home
from agentos.store import core_versions

BUDGET = 80
SECTIONS = ("Identity", "Priorities", "Active projects", "Rules")
_NAME = "memory/core-memory.md"
_HEADING = re.compile(r"^##\s+(.+?)\s*$")
OWNER = "owner"


def read(home: Home) -> str:
    """What the file says, or the shipped one; a line end at its end."""
    file = home.core_memory_file
    text = (file if file.is_file() else home.find(_NAME)).read_text("utf-8", errors="replace")
    return text.rstrip("\n") + "\n"


def check(text: str) -> str:
    """The text as it may be written. Raises BadRequest when it is over the budget, or unreadable.

    Comments count, too: a line is a line.
    """
    if "\x00" in text:
        raise BadRequest(problem="core memory: a text may not have zero characters in it")
    lines = text.rstrip("\n").split("\n")
    if len(lines) > BUDGET:
        over = len(lines) - BUDGET
        raise BadRequest(
            problem=f"core memory may have {BUDGET} lines and this has {len(lines)}: "
            f"take out {over}, or keep as memories what not every session needs (`pm memory add`)"
        )
    found = {match.group(1).casefold() for line in lines if (match := _HEADING.match(line))}
    missing = [name for name in SECTIONS if name.casefold() not in found]
    if missing:
        named = ", ".join(f'"## {name}"' for name in missing)
        raise BadRequest(problem=f"core memory needs its sections; missing: {named}")
    return "\n".join(lines) + "\n"


def with_line(text: str, *, section: str, line: str) -> str:
    """The text with one more line at the end of a section. Raises BadRequest for another one."""
    lines = text.rstrip("\n").split("\n")
    headings = [
        (place, match.group(1)) for place, own in enumerate(lines) if (match := _HEADING.match(own))
    ]
    for number, (start, name) in enumerate(headings):
        if name.casefold() == section.casefold():
            end = headings[number + 1][0] if number + 1 < len(headings) else len(lines)
            while end > start + 1 and not lines[end - 1].strip():
                end -= 1
            item = line if line.lstrip().startswith(("-", "*", "1")) else f"- {line}"
            return "\n".join([*lines[:end], item, *lines[end:]]) + "\n"
    known = ", ".join(name for _, name in headings)
    raise BadRequest(problem=f"core memory has no section {section!r}; it has {known}")


class Core:
    """The file and its versions. Each call is made inside of a transaction of the caller's."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def notice(self, connection: Connection, *, at: datetime) -> str:
        """What the file says now; a change made by hand becomes a version."""
        text = read(self._home)
        newest = core_versions.find_newest(connection)
        if newest is None or newest.text != text:
            reason = "the beginning" if newest is None else "changed by hand"
            self._record(connection, text, by=OWNER, reason=reason, at=at)
        return text

    def write(
        self, connection: Connection, text: str, *, by: str, reason: str, at: datetime
    ) -> CoreVersion:
        """Put another text into the file, for the owner. Raises BadRequest.

        The row is written first: a kill in between leaves a version that the next look corrects.
        """
        text = check(text)
        self.notice(connection, at=at)
        made = self._record(connection, text, by=by, reason=reason, at=at)
        _replace(self._home, text)
        return made

    def propose(
        self, connection: Connection, text: str, *, by: str, reason: str, at: datetime
    ) -> CoreVersion:
        """Keep a wish of somebody who is not the owner; nothing changes before his yes."""
        row = CoreVersion(
            state=CoreState.proposed, text=check(text), by=by, reason=reason[:2000], at=at
        )
        self.notice(connection, at=at)
        return core_versions.add(connection, row)

    def answer(
        self, connection: Connection, version_id: int, *, yes: bool, at: datetime
    ) -> CoreVersion:
        """The owner's tap on a proposal. Raises WrongState when it was answered, or is outdated.

        A yes to a text that was written against another one would undo what came in between.
        """
        wish = core_versions.get(connection, version_id)
        if wish.state is not CoreState.proposed:
            problem = "it was answered before"
            raise WrongState(noun="core", name=version_id, state=wish.state.value, problem=problem)
        if not yes:
            core_versions.settle(connection, version_id, CoreState.refused, at=at)
            return core_versions.get(connection, version_id)
        self.notice(connection, at=at)
        base = core_versions.find_newest(connection, before=version_id)
        newest = core_versions.find_newest(connection)
        assert base is not None and newest is not None
        if base.text != newest.text:
            problem = "core memory has changed since; have it proposed again"
            raise WrongState(noun="core", name=version_id, state="proposed", problem=problem)
        core_versions.settle(connection, version_id, CoreState.agreed, at=at)
        return self.write(connection, wish.text, by=wish.by, reason=wish.reason, at=at)

    def undo(self, connection: Connection, *, at: datetime) -> CoreVersion:
        """Go back to the version before. Raises WrongState when there is none.

        Undoing twice is going back and forth, as in an editor with one level; older ones are in
        the history, and can be written again.
        """
        self.notice(connection, at=at)
        newest = core_versions.find_newest(connection)
        assert newest is not None
        before = core_versions.find_different(connection, newest)
        if before is None:
            problem = "there is no version before it"
            raise WrongState(noun="core", name=newest.id, state="the first", problem=problem)
        return self.write(
            connection, before.text, by=OWNER, reason=f"undo: back to version {before.id}", at=at
        )

    def _record(
        self, connection: Connection, text: str, *, by: str, reason: str, at: datetime
    ) -> CoreVersion:
        row = CoreVersion(state=CoreState.kept, text=text, by=by, reason=reason, at=at)
        return core_versions.add(connection, row)


def _replace(home: Home, text: str) -> None:
    """Write the file so that a kill leaves the old one or the new one, never half of one."""
    file = home.core_memory_file
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with home.written():
        file.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
