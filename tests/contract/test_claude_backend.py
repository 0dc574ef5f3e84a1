"""The claude backend in front of the stand-in: nudges, bills, lost sessions, wrong programs."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from agentos.backends.claude import ClaudeBackend
from agentos.backends.claude_access import standin_access
from agentos.backends.claude_program import PROGRAM
from agentos.domain.frames import (
    Access,
    Assignment,
    Failure,
    SessionOpened,
    Spent,
    ToolEnded,
    ToolStarted,
    Turn,
    TurnEnded,
)
from agentos.domain.ports import Event
from agentos.engine.environment import child_environment
from agentos.errors import BackendFailed, BackendMissing
from agentos.home import Home
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule

E = TypeVar("E")
DONE: dict[str, Any] = {"blocks": [{"text": "All done."}]}
WAIT = "python3 -c 'import time; time.sleep(1)'"


def bash(command: str, **more: Any) -> dict[str, Any]:
    return {"blocks": [{"tool": "Bash", "input": {"command": command}}], **more}


class Desk:
    """A backend in this process, and the model it talks to."""

    def __init__(self, model: MessagesControl, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self.asked: list[str] = []
        self.made: list[ClaudeBackend] = []

    async def plays(self, prompt: str, *turn: dict[str, Any], **more: Any) -> None:
        rule = {"when": {"prompt": prompt}, "turn": list(turn), **more}
        await self.model.add_rules([Rule.model_validate(rule)])

    async def open(self, session_id: str | None = None) -> ClaudeBackend:
        async def may_use(tool: str, arguments: Any) -> None:
            self.asked.append(tool)

        backend = ClaudeBackend(may_use=may_use)
        self.made.append(backend)
        assignment = Assignment(
            backend="claude",
            model="sonnet",
            system_prompt="You work.",
            access=Access.work,
            working_folder=str(self.folder),
            session_id=session_id,
        )
        await backend.open(assignment)
        return backend


@pytest.fixture
async def desk(
    model: StandinProcess, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    access = standin_access(model.url, config_folder=home.claude_config)
    wanted = child_environment(access, home=home.root, mark="test:1")
    for name in set(os.environ) - set(wanted) - {"PYTEST_CURRENT_TEST"}:
        monkeypatch.delenv(name)
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "work"
    folder.mkdir()
    async with MessagesControl(model.url) as control:
        made = Desk(control, folder)
        yield made
        for backend in made.made:
            await backend.close()


async def events_of(
    backend: ClaudeBackend,
    prompt: str,
    *,
    if_lost: str = "",
    on: Callable[[Event], Any] | None = None,
) -> list[Event]:
    """A whole turn; what `on` gives back for an event is awaited, if it is anything."""
    found = []
    async for event in backend.turn(Turn(turn_id="t", prompt=prompt, if_lost=if_lost)):
        found.append(event)
        if on is not None and (work := on(event)) is not None:
            await work
    return found


def of(kind: type[E], events: list[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def ended(events: list[Event]) -> TurnEnded:
    last = events[-1]
    assert isinstance(last, TurnEnded)
    return last


def cli() -> psutil.Process:
    (found,) = [p for p in psutil.Process().children() if p.name() == "claude"]
    return found


async def test_a_nudge_during_a_tool_is_seen_before_the_next_request(desk: Desk) -> None:
    await desk.plays("work", bash(WAIT), DONE)
    backend = await desk.open()

    def nudge(event: Event) -> Any:
        return backend.nudge("Come to an end.") if isinstance(event, ToolStarted) else None

    assert ended(await events_of(backend, "work", on=nudge)).text == "All done."
    first, second = await desk.model.requests()
    assert first.told == []
    assert len(second.told) == 1 and "Come to an end." in second.told[0]


@pytest.mark.parametrize("late", [0.1, 0.7])
async def test_a_nudge_in_the_last_request_starts_no_turn_of_its_own(
    desk: Desk, late: float
) -> None:
    slow = {**DONE, "delay_ms": 1000}
    await desk.plays("work", bash("echo one > a"), slow)
    await desk.plays("Come to an end", bash("touch never"), DONE)
    await desk.plays("next", DONE)
    backend = await desk.open()
    later: list[asyncio.Task[Any]] = []

    async def nudge() -> None:
        await asyncio.sleep(late)
        assert await backend.nudge("Come to an end.")

    def soon(event: Event) -> None:
        if isinstance(event, ToolEnded):
            later.append(asyncio.create_task(nudge()))

    events = await events_of(backend, "work", on=soon)
    assert ended(events).text == "All done." and later[0].done()
    assert ended(await events_of(backend, "next")).text == "All done."
    assert not await backend.nudge("too late")
    assert not (desk.folder / "never").exists()
    assert [request.prompt for request in await desk.model.requests()][-1] == "next"


async def test_each_turn_of_a_warm_session_is_billed_for_itself(desk: Desk) -> None:
    numbers = {"input_tokens": 1000, "output_tokens": 100}
    await desk.plays("say", {**DONE, "usage": numbers})
    backend = await desk.open()
    first = await events_of(backend, "say it")
    turns = [ended(first), *[ended(await events_of(backend, f"say {n}")) for n in range(2)]]
    (cost,) = {turn.usage.cost_usd for turn in turns}
    assert cost > 0
    # After an orderly end, the next process of a session goes on counting where that one was.
    (opened,) = of(SessionOpened, first)
    await backend.close()
    again = ended(await events_of(await desk.open(opened.session_id), "say it again"))
    assert abs(again.usage.cost_usd - cost) < Decimal("0.00001")


async def test_what_is_spent_is_told_once_a_request_and_the_size_at_the_end(desk: Desk) -> None:
    first = {"input_tokens": 100, "cache_read_input_tokens": 20, "output_tokens": 9}
    second = {"input_tokens": 300, "cache_creation_input_tokens": 50, "output_tokens": 8}
    words = {"text": "Let me see."}
    tools = [{"tool": "Bash", "input": {"command": f"echo {n} > f{n}"}} for n in range(2)]
    await desk.plays("work", {"blocks": [words, *tools], "usage": first}, {**DONE, "usage": second})
    events = await events_of(await desk.open(), "work")
    spent = of(Spent, events)
    assert [each.usage.input_tokens for each in spent] == [100, 400]
    assert spent[-1].usage.cache_read_tokens == 20
    assert ended(events).usage.input_tokens == 400
    # Of the last request: 300 + 50, and an answer of a few tokens.
    assert 350 <= (ended(events).session_tokens or 0) <= 360
    assert [each.call_id for each in of(ToolStarted, events)] == [
        each.call_id for each in of(ToolEnded, events)
    ]


async def test_a_lost_session_begins_anew_with_what_it_has_to_know(desk: Desk, home: Home) -> None:
    await desk.plays("", DONE)
    backend = await desk.open()
    (opened,) = of(SessionOpened, await events_of(backend, "first"))
    await backend.close()
    for file in home.claude_config.rglob("*.jsonl"):
        file.write_bytes(b"\x00garbage\n" * 50)
    again = await desk.open(opened.session_id)
    events = await events_of(again, "second", if_lost="You begin anew.")
    (fresh,) = of(SessionOpened, events)
    assert fresh.lost and fresh.session_id != opened.session_id
    assert ended(events).text == "All done."
    assert (await desk.model.requests())[-1].prompt == "You begin anew.\n\nsecond"
    await events_of(again, "third", if_lost="You begin anew.")
    assert (await desk.model.requests())[-1].prompt == "third"


async def test_a_cli_that_is_killed_has_not_lost_its_session(desk: Desk) -> None:
    await desk.plays("first", DONE)
    await desk.plays("second", {**DONE, "delay_ms": 5000})
    backend = await desk.open()
    (opened,) = of(SessionOpened, await events_of(backend, "first"))
    await backend.close()
    again = await desk.open(opened.session_id)
    os.kill(cli().pid, signal.SIGKILL)
    events = await events_of(again, "second")
    assert ended(events).failure is Failure.crashed
    assert not any(each.lost for each in of(SessionOpened, events))


async def test_a_turn_that_is_broken_off_leaves_what_its_tools_brought(desk: Desk) -> None:
    await desk.plays("work", bash("echo 42 > answer && cat answer"), {**DONE, "delay_ms": 9000})
    await desk.plays("go on", DONE)
    backend = await desk.open()
    session = ""
    async with aclosing(backend.turn(Turn(turn_id="t", prompt="work"))) as events:  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, SessionOpened):
                session = event.session_id
            if isinstance(event, ToolEnded):
                break
    began = asyncio.get_running_loop().time()
    await backend.close()
    assert asyncio.get_running_loop().time() - began < 3
    assert ended(await events_of(await desk.open(session), "go on")).text == "All done."
    (file,) = Path(os.environ["CLAUDE_CONFIG_DIR"]).rglob(f"{session}.jsonl")
    lines = file.read_text()
    assert '"tool_result"' in lines and "Tool call interrupted" not in lines


def program(folder: Path, text: str, *, mode: int = 0o755) -> str:
    file = folder / "claude-of-mine"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (None, 0, "the Claude CLI is missing: there is no"),
        ("#!/bin/sh\n", 0o644, "may not be run; make it executable"),
        ("#!/bin/sh\necho 1.0.3 '(Claude Code)'\n", 0o755, "is too old: 1.0.3"),
        ("#!/bin/sh\necho hello; sleep 60\n", 0o755, "it says 'hello'"),
        ("#!/bin/sh\n", 0o755, "it says ''"),
        ("\x7fELF no program", 0o755, "cannot be started: "),
    ],
    ids=["missing", "not executable", "too old", "nonsense", "silent", "no program"],
)
async def test_a_wrong_program_is_one_clear_line(
    desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    mode: int,
    words: str,
) -> None:
    path = "/nowhere/claude" if text is None else program(tmp_path, text, mode=mode)
    monkeypatch.setenv(PROGRAM, path)
    if mode == 0o644 and os.geteuid() == 0:
        assert not os.access(path, os.X_OK)
    with pytest.raises(BackendMissing) as caught:
        await desk.open()
    assert words in str(caught.value) and "\n" not in str(caught.value)


async def test_a_program_that_ends_at_once_tells_its_last_words(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"""#!{sys.executable}
import sys
if "-v" in sys.argv:
    print("9.9.9 (Claude Code)")
else:
    sys.exit("no more room in here")
"""
    monkeypatch.setenv(PROGRAM, program(tmp_path, text))
    with pytest.raises(BackendFailed, match="no more room in here") as caught:
        await desk.open()
    assert not isinstance(caught.value, BackendMissing)


async def test_a_model_that_there_is_not_is_refused(desk: Desk) -> None:
    fault = {"kind": "not_found", "message": "model: claude-none"}
    await desk.plays("try", {**DONE, "fault": fault})
    end = ended(await events_of(await desk.open(), "try"))
    assert end.failure is Failure.refused
    assert "model" in end.problem
