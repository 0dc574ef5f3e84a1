"""The codex backend: the Codex CLI, `codex exec --json`, once a turn.

The profile it is given (`codex_profile.py`) says what a session is and may do; here is how it is
called and what its lines mean.
"""

import json
import os
import re
import shlex
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from agentos.backends import codex_profile, codex_usage
from agentos.backends.cli_process import Command, Ending, Json
from agentos.backends.reach import Reach
from agentos.domain.frames import (
    Assignment,
    Failure,
    TextDelta,
    ToolEnded,
    ToolStarted,
    Turn,
    TurnEnded,
    TurnUsage,
)
from agentos.domain.ports import Event

# The native program beside npm's wrapper: it needs no node, and ends with who started it.
_NATIVE = "@openai/codex-*/vendor/*/bin/codex"
_TOKEN = "AGENTOS_CODEX_TOKEN"  # noqa: S105 - the name of the variable it comes in
_OUTPUT_KEPT = 4000


class CodexDialect:
    """How the Codex CLI is called and understood."""

    name = "codex"
    first_word_within: timedelta | None = timedelta(seconds=60)

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._assignment: Assignment | None = None
        self._program = reach.program

    async def prepare(self, assignment: Assignment) -> None:
        """Find the CLI and make its folder. Raises BackendFailed without a CLI."""
        await self._reach.ready()
        self._assignment = assignment
        found = sorted(self._reach.program.parent.parent.glob(_NATIVE))
        self._program = found[0] if len(found) == 1 else self._reach.program
        self._reach.state.mkdir(parents=True, exist_ok=True)
        codex_profile.sweep(self._reach.state)

    def command(self, turn: Turn, *, prompt: str, session_id: str | None) -> Command:
        """`codex exec`, with a profile of its own; the prompt comes on standard input."""
        assignment = self._assignment
        assert assignment is not None
        profile = codex_profile.write(
            assignment,
            state=self._reach.state,
            url=self._reach.url,
            token_variable=_TOKEN,
            folders=turn.folders,
        )
        arguments = [str(self._program), "exec", "--profile", profile]
        if session_id is not None:
            arguments.append("resume")
        arguments += ["--json", "--skip-git-repo-check"]
        if self.model:
            arguments += ["--model", self.model]
        if assignment.output_schema is not None:
            schema = codex_profile.write_schema(assignment.output_schema, state=self._reach.state)
            arguments += ["--output-schema", str(schema)]
        if session_id is not None:
            arguments.append(session_id)
        arguments.append("-")
        return Command(
            arguments=arguments,
            folder=Path(assignment.working_folder),
            stdin=prompt,
            variables={
                "CODEX_HOME": str(self._reach.state),
                _TOKEN: self._reach.token,
                "PATH": self._path(),
            },
        )

    def listen(self, turn: Turn) -> "CodexTurn":
        """A fresh listener for one run."""
        return CodexTurn(turn, model=self.model, state=self._reach.state)

    @property
    def model(self) -> str:
        """The model of this session; empty leaves it to the CLI."""
        wanted = self._assignment.model if self._assignment is not None else ""
        return wanted or self._reach.model

    def _path(self) -> str:
        """With the folder of the tools that come with the native program."""
        tools = self._program.parent.parent / "codex-path"
        return os.pathsep.join(
            [str(tools), self._reach.path] if tools.is_dir() else [self._reach.path]
        )


class _Item(BaseModel):
    """One thing of a turn: a passage, a command, a change of files, a call of a tool."""

    id: str
    type: str
    text: str = ""
    message: str = ""
    command: str = ""
    aggregated_output: str = ""
    status: str = ""
    query: str = ""
    server: str = ""
    tool: str = ""
    changes: list[dict[str, Any]] = Field(default_factory=list)


class _Error(BaseModel):
    message: str = ""


class _Said(BaseModel):
    """One line of `codex exec --json`."""

    type: str
    thread_id: str = ""
    item: _Item | None = None
    usage: codex_usage.Counted | None = None
    error: _Error | None = None
    message: str = ""


class CodexTurn:
    """Makes events of the lines of one run."""

    def __init__(self, turn: Turn, *, model: str, state: Path) -> None:
        self._turn_id = turn.turn_id
        self._model = model
        self._state = state
        self._running: set[str] = set()
        self._answer = ""
        self._total: codex_usage.Counted | None = None
        self._completed = False
        self._problem = ""
        self.session_id = ""
        self.usage = TurnUsage(model=model)

    def hear(self, said: Json) -> Iterable[Event]:
        """The events of one line."""
        line = _Said.model_validate(said)
        match line.type:
            case "thread.started":
                self.session_id = line.thread_id
            case "item.started" if line.item is not None:
                return self._started(line.item)
            case "item.completed" if line.item is not None:
                return self._ended(line.item)
            case "turn.completed":
                self._completed = True
                self._total = line.usage
            case "turn.failed":
                self._problem = (line.error.message if line.error else "") or "it did not say why"
            case "error":
                self._problem = line.message or self._problem
        return ()

    def is_lost(self, ending: Ending) -> bool:
        """Its file is gone, or is none any more."""
        return ending.objects == 0 and "thread/resume" in ending.errors

    def ended(self, ending: Ending) -> TurnEnded | None:
        """The answer is the last passage; a failure is told in words only."""
        used = codex_usage.of_turn(
            self.session_id, state=self._state, model=self._model, told=self._total
        )
        self.usage = used.turn
        if self._completed:
            return TurnEnded(
                turn_id=self._turn_id,
                text=self._answer,
                usage=self.usage,
                session_tokens=used.session_tokens,
            )
        if not self._problem and "input_too_large" in ending.errors:
            self._problem = "the prompt is longer than the CLI takes (1,048,576 characters)"
        if not self._problem:
            return None
        problem = _plain(self._problem)
        return TurnEnded(
            turn_id=self._turn_id,
            usage=self.usage,
            failure=failure_of(self._problem),
            problem=problem,
            session_tokens=used.session_tokens,
        )

    def _started(self, item: _Item) -> list[Event]:
        if item.type not in _TOOLS:
            return []
        self._running.add(item.id)
        return [
            ToolStarted(
                turn_id=self._turn_id,
                tool=item.type,
                summary=in_plain_words(item),
                detail=detail_of(item),
                call_id=item.id,
            )
        ]

    def _ended(self, item: _Item) -> list[Event]:
        if item.type == "agent_message":
            self._answer = item.text
            if not item.text.strip():
                return []
            return [TextDelta(turn_id=self._turn_id, text=item.text, whole=True)]
        if item.type not in _TOOLS:
            return []
        # A quick one is told at its end only.
        events = [] if item.id in self._running else self._started(item)
        self._running.discard(item.id)
        return [
            *events,
            ToolEnded(
                turn_id=self._turn_id,
                tool=item.type,
                failed=item.status not in ("completed", ""),
                output=item.aggregated_output[-_OUTPUT_KEPT:],
                call_id=item.id,
            ),
        ]


_TOOLS = ("command_execution", "file_change", "mcp_tool_call", "web_search")
_CHANGES = {"add": "writes", "update": "edits", "delete": "deletes"}


def in_plain_words(item: _Item) -> str:
    """What a tool is about to do, in one line for a phone."""
    match item.type:
        case "command_execution":
            return f"runs: {_short(_unwrapped(item.command))}"
        case "file_change":
            done = [
                f"{_CHANGES.get(str(one.get('kind')), 'changes')} {Path(str(one.get('path'))).name}"
                for one in item.changes
            ]
            return _short(", ".join(done)) or "changes files"
        case "web_search":
            return f"searches the web for {_short(item.query)}"
        case _:
            return f"uses {_short(f'{item.server} {item.tool}')}"


def detail_of(item: _Item) -> str:
    """What a tool was called with, in full as far as it is short."""
    paths = "\n".join(str(one.get("path", "")) for one in item.changes)
    return (_unwrapped(item.command) or item.query or paths)[:_OUTPUT_KEPT]


def _unwrapped(command: str) -> str:
    """The command inside `/bin/bash -lc '…'`."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return words[2] if len(words) == 3 and words[1] in ("-lc", "-c") else command


def _short(text: str) -> str:
    return " ".join(text.split())[:160]


# The CLI tells causes in words only; these are its own (codex-rs/protocol/src/error.rs) and those
# that the API has for its errors. The first that fits counts.
_CAUSES = (
    (
        re.compile(r"quota exceeded|check your plan|insufficient_quota", re.I),
        Failure.authentication,
    ),
    (re.compile(r"\b429\b|rate.?limit|usage limit", re.I), Failure.rate_limited),
    (
        re.compile(r"status 40[13]\b|api key|missing environment variable", re.I),
        Failure.authentication,
    ),
    (
        re.compile(
            r"status 4(00|04|13|22)\b|invalid_request_error|does not exist|context window"
            r"|not supported|unsupported|longer than",
            re.I,
        ),
        Failure.refused,
    ),
)


def failure_of(problem: str) -> Failure:
    """Why a turn failed, by the words of the CLI."""
    return next((cause for words, cause in _CAUSES if words.search(problem)), Failure.transient)


def _plain(problem: str) -> str:
    """The words of an error that may be the API's JSON, in one line."""
    try:
        problem = str(json.loads(problem)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        problem = problem.partition(", url: ")[0]  # the gateway's address is of no use to anybody
    return " ".join(problem.split())[:500]
