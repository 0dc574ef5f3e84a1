"""Hearing: what the owner says to a job under way reaches its session, in order, once.

Each has a mark that stands in what the session is told, so the session's file shows whether it was
taken in, also when nobody lived to hear of it.
"""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.frames import Nudge, TurnEnded
from agentos.domain.ports import Clock
from agentos.domain.states import Actor, SteerState
from agentos.domain.work import Run, Steer
from agentos.home import Home
from agentos.prompts import render
from agentos.store import steers
from agentos.store.database import Database

log = logs.get(__name__)
# In the session's file: what a model was given. What only waits in line there is of other types.
_GIVEN = ("user", "attachment")


class Hearing:
    """What one run is to hear."""

    def __init__(self, run: Run, *, database: Database, clock: Clock, home: Home) -> None:
        self._run = run
        self._database = database
        self._clock = clock
        self._folders = _folders(home)
        # What its session knows from runs before, for when that is lost.
        self.before: list[Steer] = []
        # What its first prompt tells.
        self._in_prompt: list[str] = []

    async def left(self, *, session_id: str | None) -> list[Steer]:
        """What its prompt has to tell: all that was said and its session does not know yet."""
        said = await self._database.query(
            lambda connection: steers.list_for_job(connection, self._run.job_id)
        )
        self.before = [steer for steer in said if steer.state is SteerState.heard]
        open_ = [steer for steer in said if steer.state in steers.OPEN]
        if not open_:
            return []
        told = {steer.mark for steer in open_ if steer.run_id is not None}
        known: set[str] = set()
        if told and session_id is not None:
            files = await asyncio.to_thread(_files_of, session_id, self._folders)
            known = await asyncio.to_thread(marks_in, files, told)
        left = [steer for steer in open_ if steer.mark not in known]
        self.before += [steer for steer in open_ if steer.mark in known]
        heard = [steer for steer in open_ if steer.mark in known]
        await self._database.write(
            lambda connection: self._begin(connection, heard, left), tell=False
        )
        self._in_prompt = [steer.mark for steer in left]
        return left

    def _begin(self, connection: Connection, heard: list[Steer], left: list[Steer]) -> None:
        assert self._run.id is not None
        at = self._clock.now()
        steers.end(connection, heard, SteerState.heard, by=Actor.engine, at=at)
        steers.tell(connection, left, run_id=self._run.id)

    async def fresh(self) -> list[Nudge]:
        """What was said since, for the turn that runs."""

        def tell(connection: Connection) -> list[Steer]:
            assert self._run.id is not None
            new = [
                steer
                for steer in steers.list_open(connection, self._run.job_id)
                if steer.state is SteerState.waiting
            ]
            steers.tell(connection, new, run_id=self._run.id)
            return new

        waits = await self._database.query(
            lambda connection: any(
                steer.state is SteerState.waiting
                for steer in steers.list_open(connection, self._run.job_id)
            )
        )
        if not waits:
            return []
        told = await self._database.write(tell, tell=False)
        log.info("job_told", job_id=self._run.job_id, words=len(told))
        return [
            Nudge(text=render("nudge.md.j2", mark=steer.mark, text=steer.text), nudge_id=steer.mark)
            for steer in told
        ]

    def heard(self, ended: TurnEnded) -> frozenset[str]:
        """The marks of what a turn that came to its end has taken in."""
        if ended.failure is not None:
            return frozenset(ended.heard or ())
        return frozenset([*self._in_prompt, *(ended.heard or ())])


def heard_by(connection: Connection, run: Run, ended: TurnEnded, *, home: Home) -> frozenset[str]:
    """What a run had taken in whose end nobody was there to hear. Reads files."""
    told = {
        steer.mark
        for steer in steers.list_open(connection, run.job_id)
        if steer.run_id == run.id and run.session_id is not None
    }
    known = marks_in(_files_of(run.session_id or "", _folders(home)), told) if told else set()
    return frozenset([*known, *(ended.heard or ())])


def _folders(home: Home) -> tuple[Path, ...]:
    return (home.claude_config, Path.home() / ".claude")


def marks_in(files: Iterable[Path], marks: set[str]) -> set[str]:
    """Which marks stand in what a session was given, as its files tell."""
    found: set[str] = set()
    for file in files:
        try:
            with file.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if any(mark in line for mark in marks - found) and _is_given(line):
                        found |= {mark for mark in marks if mark in line}
        except OSError:
            continue
    return found


def _is_given(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False  # a line that a crash cut off
    return isinstance(entry, dict) and entry.get("type") in _GIVEN


def _files_of(session_id: str, folders: Iterable[Path]) -> list[Path]:
    return [
        file
        for folder in folders
        for file in (folder / "projects").glob(f"*/{session_id}.jsonl")
        if file.is_file()
    ]
