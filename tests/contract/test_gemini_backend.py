"""The real Gemini CLI against a stand-in of its API."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agentos.backends.gemini import GeminiBackend
from agentos.domain.frames import Access, Failure, TextDelta, ToolEnded, ToolStarted
from agentos.errors import BackendFailed
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.worker.policy import Policy
from tests.cli_room import (
    CliRoom,
    cut_short,
    ended,
    installed,
    opened,
    processes_in,
    says,
    script,
    take,
    turn,
    watched_way_out,
)

MODEL = "gemini-2.5-flash"
HELLO = {"when": {"prompt": "hello"}, "turn": [{"blocks": [{"text": "hi you"}]}]}


def uses(tool: str, prompt: str = "do it", **arguments: Any) -> dict[str, Any]:
    """A rule that uses a tool, then says that it did."""
    call = {"tool": tool, "input": arguments}
    replies = [{"blocks": [{"text": "I begin."}, call]}, {"blocks": [{"text": "done"}]}]
    return {"when": {"prompt": prompt}, "turn": replies}


def fails(prompt: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"when": {"prompt": prompt}, "turn": [{"fault": {"kind": kind, **more}}]}


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    process = StandinProcess.start_blocking("gemini")
    yield process
    process.stop_blocking()


@pytest.fixture
async def room(standin: StandinProcess, tmp_path: Path) -> AsyncIterator[CliRoom]:
    async with MessagesControl(standin.url) as control:
        await control.reset()
    program = await installed("gemini")
    room = CliRoom("gemini", program=program, url=standin.url, tmp_path=tmp_path)
    yield room
    assert processes_in(room.folder) == []


class Session:
    """One open backend, and the policy of its worker."""

    def __init__(self, room: CliRoom) -> None:
        self.room = room
        self.policy = Policy(Access.work)
        self.policy.allow_folders([str(room.folder)])
        self.backend = GeminiBackend(room.reach, may_use=self.may_use)

    async def may_use(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        return self.policy.decide(tool, arguments).reason

    async def __aenter__(self) -> GeminiBackend:
        return self.backend

    async def __aexit__(self, *_: object) -> None:
        await self.backend.close()


async def test_a_session_answers_tells_its_use_and_is_resumed_by_another_process(
    room: CliRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.rules(HELLO)
    async with watched_way_out(monkeypatch) as asked_outside, Session(room) as first:
        await first.open(room.assignment(model=MODEL))
        events = await take(first, turn("hello"))
        again = await take(first, turn("/about hello again"))
    assert asked_outside == []
    assert not opened(events).lost
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["hi you"]
    assert not any(event.frame == "session_opened" for event in again)
    async with Session(room) as second:
        await second.open(room.assignment(model=MODEL, session_id=opened(events).session_id))
        resumed = await take(second, turn("hello once more"))
    assert opened(resumed) == opened(events)
    assert [event.text for event in resumed if isinstance(event, TextDelta)] == ["hi you"]
    one, two, three = await room.requests()
    assert two.prompt.endswith("/about hello again")  # no command of the CLI
    assert one.input_tokens < two.input_tokens < three.input_tokens  # it knows what was said
    assert one.system.startswith("You are a careful worker.")
    for seen, told in ((one, events), (two, again), (three, resumed)):
        end = ended(told)
        assert (end.text, end.failure, end.usage.model) == ("hi you", None, MODEL)
        assert end.usage.input_tokens == seen.input_tokens
        assert end.usage.output_tokens > 0


async def test_a_lost_session_starts_anew_with_what_it_has_to_know(room: CliRoom) -> None:
    await room.rules(HELLO)
    gone = "11111111-2222-4333-8444-555555555555"
    async with Session(room) as backend:
        await backend.open(room.assignment(model=MODEL, session_id=gone))
        events = await take(backend, turn("hello", if_lost="You were at the barn."))
        await take(backend, turn("hello", if_lost="You were at the barn."))
    assert opened(events).lost
    assert opened(events).session_id != gone
    first, second = await room.requests()
    assert first.prompt == "You were at the barn.\n\nhello"
    assert second.prompt == "hello"


async def test_tools_really_run_and_only_as_the_policy_allows(
    room: CliRoom, tmp_path: Path
) -> None:
    outside = tmp_path / "elsewhere.txt"
    artefacts = tmp_path / "artefacts"
    artefacts.mkdir()
    (room.folder / ".env").write_text("SECRET=1")
    await room.rules(
        uses("run_shell_command", "run it", command="echo made > made.txt; cat made.txt"),
        uses("run_shell_command", "steal it", command="cat .env"),
        uses("write_file", "write it", file_path="note.txt", content="a note"),
        uses("write_file", "hand over", file_path=str(artefacts / "report.md"), content="r"),
        uses("write_file", "write there", file_path=str(outside), content="no"),
        uses("read_file", "read it", file_path=".env"),
    )
    session = Session(room)
    async with session as backend:
        await backend.open(room.assignment(model=MODEL))
        folders = [str(room.folder), str(artefacts)]
        session.policy.allow_folders(folders)
        told = {
            prompt: await take(backend, turn(prompt, folders=folders))
            for prompt in ("run it", "steal it", "write it", "hand over", "write there", "read it")
        }
    starts = {
        prompt: [event for event in events if isinstance(event, ToolStarted)]
        for prompt, events in told.items()
    }
    ends = {
        prompt: [event for event in events if isinstance(event, ToolEnded)]
        for prompt, events in told.items()
    }
    assert all(ended(events).text == "done" for events in told.values())
    assert [event.tool for event in starts["run it"]] == ["run_shell_command"]
    assert starts["run it"][0].summary == "runs: echo made > made.txt; cat made.txt"
    assert starts["write it"][0].summary == "writes note.txt"
    assert [event.failed for event in ends["run it"] + ends["write it"]] == [False, False]
    for forbidden in ("steal it", "write there", "read it"):
        assert [event.failed for event in ends[forbidden]] == [True], forbidden
    assert "denied by policy" in ends["steal it"][0].output
    assert (room.folder / "made.txt").read_text() == "made\n"
    assert (room.folder / "note.txt").read_text() == "a note"
    assert (artefacts / "report.md").read_text() == "r"
    assert not outside.exists()
    assert not any(
        "SECRET" in result for seen in await room.requests() for result in seen.tool_results
    )


async def test_a_session_without_access_has_no_tools_and_answers_with_objects(
    room: CliRoom,
) -> None:
    schema = {"type": "object", "properties": {"verdict": {"type": "string"}}}
    await room.rules(
        {"when": {"prompt": "judge"}, "turn": [{"blocks": [{"structured": {"verdict": "good"}}]}]},
        {"when": {"prompt": "ramble"}, "turn": [{"blocks": [{"text": "It is good."}]}]},
    )
    async with Session(room) as backend:
        fields = {"access": Access.none, "output_schema": schema, "forget_between_turns": True}
        await backend.open(room.assignment(model=MODEL, stream_text=True, **fields))
        judged = await take(backend, turn("judge"))
        rambled = await take(backend, turn("ramble"))
    assert ended(judged).structured == {"verdict": "good"}
    assert ended(rambled).failure is Failure.nonsense
    assert opened(judged).session_id != opened(rambled).session_id
    pieces = [event for event in judged if isinstance(event, TextDelta)]
    assert "".join(event.text for event in pieces if not event.whole) == pieces[-1].text
    assert pieces[-1].whole
    one, two = await room.requests()
    assert one.tools == []
    assert '"verdict"' in one.prompt
    assert two.input_tokens == pytest.approx(one.input_tokens, abs=10)  # nothing is remembered


async def test_faults_of_the_model_have_their_causes_and_no_wait_of_the_clis_own(
    room: CliRoom,
) -> None:
    await room.rules(
        fails("much", "rate_limit", retry_after=77),
        fails("key", "auth"),
        fails("unknown", "bad_request", message="API key not valid. Please pass a valid API key."),
        fails("bad", "bad_request"),
        fails("broken", "server_error"),
        fails("busy", "overloaded"),
        fails("nonsense", "nonsense"),
        fails("hang up", "drop_before"),
        HELLO,
    )
    expected = {
        "much": (Failure.rate_limited, 77.0),
        "key": (Failure.authentication, None),
        "unknown": (Failure.authentication, None),
        "bad": (Failure.refused, None),
        "broken": (Failure.transient, None),
        "busy": (Failure.transient, None),
        "nonsense": (Failure.transient, None),
        "hang up": (Failure.transient, None),
        "hello": (None, None),
    }
    async with Session(room) as backend:
        await backend.open(room.assignment(model=MODEL))
        found = {}
        for prompt in expected:
            end = ended(await take(backend, turn(prompt)))
            found[prompt] = (end.failure, end.retry_after_seconds)
            assert bool(end.problem) is bool(end.failure)
    assert found == expected
    asked = [seen.prompt for seen in await room.requests()]
    assert len(asked) == len(expected)


async def test_an_unknown_model_is_refused_by_name(room: CliRoom) -> None:
    async with Session(room) as backend:
        await backend.open(room.assignment(model="no-such-model"))
        end = ended(await take(backend, turn("hello")))
    assert end.failure is Failure.refused
    assert "no-such-model" in end.problem


async def test_a_cancelled_turn_leaves_no_process_and_its_session_goes_on(room: CliRoom) -> None:
    await room.rules(uses("run_shell_command", command="sleep 300"), HELLO)
    async with Session(room) as backend:
        await backend.open(room.assignment(model=MODEL))
        first = await take(backend, turn("hello"))
        await cut_short(backend, turn("do it"), at=ToolStarted)
        assert processes_in(room.folder) == []
        await take(backend, turn("hello"))
        seen = (await room.requests())[-1]
    assert opened(first)
    assert seen.input_tokens > (await room.requests())[0].input_tokens


async def test_a_killed_cli_is_a_crash_and_the_next_turn_starts_it_again(room: CliRoom) -> None:
    slow = {"when": {"prompt": "slow"}, "turn": [{"blocks": [{"text": "late"}], "delay_ms": 9000}]}
    await room.rules(slow, HELLO)
    async with Session(room) as backend:
        await backend.open(room.assignment(model=MODEL, access=Access.none))
        running = asyncio.create_task(take(backend, turn("slow")))
        async with MessagesControl(room.url) as control:
            await control.wait_for_request("slow")
        assert backend.pid is not None
        os.kill(backend.pid, signal.SIGKILL)
        end = ended(await running)
        assert end.failure is Failure.crashed
        assert ended(await take(backend, turn("hello"))).text == "hi you"


@pytest.mark.parametrize(
    ("lines", "failure", "words"),
    [
        (["exit 3"], Failure.crashed, "status 3"),
        (["echo out of order >&2; exit 1"], Failure.crashed, "out of order"),
        (["echo hello there"], Failure.nonsense, "nonsense: hello there"),
        (says({"jsonrpc": "2.0", "id": 1, "error": "no"}), Failure.crashed, "no"),
        (says({"jsonrpc": "2.0", "id": 1, "result": {}}), Failure.crashed, "without a word"),
    ],
)
async def test_a_cli_that_is_none_is_told_in_one_line(
    room: CliRoom, tmp_path: Path, lines: list[str], failure: Failure, words: str
) -> None:
    program = script(tmp_path / "gemini", *lines)
    room.reach = room.reach.model_copy(update={"program": program})
    async with Session(room) as backend:
        await backend.open(room.assignment(model=MODEL))
        end = ended(await take(backend, turn("hello")))
    assert end.failure is failure
    assert words in end.problem
    assert "\n" not in end.problem


async def test_a_missing_cli_is_told_before_a_turn(room: CliRoom, tmp_path: Path) -> None:
    room.reach = room.reach.model_copy(update={"program": tmp_path / "not-there"})
    async with Session(room) as backend:
        with pytest.raises(BackendFailed, match="its CLI is missing"):
            await backend.open(room.assignment(model=MODEL))
