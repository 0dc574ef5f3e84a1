"""The real opencode against the stand-in of the Messages API."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agentos.backends.opencode import OpencodeBackend
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
    script,
    take,
    turn,
    watched_way_out,
)

NAME = "claude-sonnet-5-5"
MODEL = f"anthropic/{NAME}"
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
    process = StandinProcess.start_blocking("messages")
    yield process
    process.stop_blocking()


# In place of the thousands that it knows: half the time and the memory of a start.
FEW = {"anthropic": {"id": "anthropic", "name": "A", "npm": "@ai-sdk/anthropic", "env": []}}


@pytest.fixture
def few_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = tmp_path / "models.json"
    known.write_text(json.dumps({"anthropic": {**FEW["anthropic"], "models": {}}}))
    monkeypatch.setenv("OPENCODE_MODELS_PATH", str(known))


@pytest.fixture
async def room(standin: StandinProcess, tmp_path: Path) -> AsyncIterator[CliRoom]:
    async with MessagesControl(standin.url) as control:
        await control.reset()
    program = await installed("opencode")
    room = CliRoom("opencode", program=program, url=standin.url, tmp_path=tmp_path)
    yield room
    assert processes_in(room.folder) == []


class Session:
    """One open backend, and the policy of its worker."""

    def __init__(self, room: CliRoom) -> None:
        self.room = room
        self.policy = Policy(Access.work)
        self.policy.allow_folders([str(room.folder)])
        self.backend = OpencodeBackend(room.reach, may_use=self.may_use)

    async def may_use(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        return self.policy.decide(tool, arguments).reason

    async def __aenter__(self) -> OpencodeBackend:
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
        again = await take(first, turn("/init hello again"))
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
    assert two.prompt.endswith("/init hello again")  # no command of the CLI
    assert one.input_tokens < two.input_tokens < three.input_tokens  # it knows what was said
    assert "You are a careful worker." in one.system
    assert "OpenCode" not in one.system
    for seen, told in ((one, events), (two, again), (three, resumed)):
        end = ended(told)
        assert (end.text, end.failure, end.usage.model) == ("hi you", None, NAME)
        assert end.usage.input_tokens == seen.input_tokens
        assert end.usage.output_tokens > 0


@pytest.mark.usefixtures("few_models")
async def test_a_lost_session_starts_anew_with_what_it_has_to_know(room: CliRoom) -> None:
    await room.rules(HELLO)
    gone = "ses_e01d30e6dffez5qUjMfJx3jEeF"
    async with Session(room) as backend:
        await backend.open(room.assignment(model=MODEL, session_id=gone, stream_text=True))
        events = await take(backend, turn("hello", if_lost="You were at the barn."))
        await take(backend, turn("hello", if_lost="You were at the barn."))
    assert opened(events).lost
    assert opened(events).session_id != gone
    pieces = [event for event in events if isinstance(event, TextDelta)]
    assert "".join(event.text for event in pieces if not event.whole) == "hi you"
    assert [event.text for event in pieces if event.whole] == ["hi you"]
    first, second = await room.requests()
    assert first.prompt == "You were at the barn.\n\nhello"
    assert second.prompt == "hello"


@pytest.mark.usefixtures("few_models")
async def test_tools_really_run_and_only_as_the_policy_allows(
    room: CliRoom, tmp_path: Path
) -> None:
    outside = tmp_path / "elsewhere.txt"
    artefacts = tmp_path / "artefacts"
    artefacts.mkdir()
    (room.folder / ".env").write_text("SECRET=1")
    await room.rules(
        uses("bash", "run it", command="echo made > made.txt; cat made.txt", description="Make it"),
        uses("bash", "steal it", command="cat .env", description="Read it"),
        uses("write", "write it", filePath=str(room.folder / "note.txt"), content="a note"),
        uses("write", "hand over", filePath=str(artefacts / "report.md"), content="r"),
        uses("write", "write there", filePath=str(outside), content="no"),
        uses("read", "read it", filePath=str(room.folder / ".env")),
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
    assert [event.tool for event in starts["run it"]] == ["bash"]
    assert starts["run it"][0].summary == "Make it"
    assert starts["write it"][0].summary == "writes note.txt"
    assert [event.failed for event in ends["run it"] + ends["write it"]] == [False, False]
    for forbidden in ("steal it", "write there", "read it"):
        assert [event.failed for event in ends[forbidden]] == [True], forbidden
        assert "secrets" in ends[forbidden][0].output or "Writing is" in ends[forbidden][0].output
    assert (room.folder / "made.txt").read_text() == "made\n"
    assert (room.folder / "note.txt").read_text() == "a note"
    assert (artefacts / "report.md").read_text() == "r"
    assert not outside.exists()
    assert not any(
        "SECRET" in result for seen in await room.requests() for result in seen.tool_results
    )


@pytest.mark.usefixtures("few_models")
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
        await backend.open(room.assignment(model=MODEL, **fields))
        judged = await take(backend, turn("judge"))
        rambled = await take(backend, turn("ramble"))
    assert ended(judged).structured == {"verdict": "good"}
    assert ended(rambled).failure is Failure.nonsense
    assert opened(judged).session_id != opened(rambled).session_id
    one, two = await room.requests()
    assert one.tools == ["StructuredOutput"]
    assert one.schema_properties == ["verdict"]
    assert two.input_tokens == pytest.approx(one.input_tokens, abs=10)  # nothing is remembered


@pytest.mark.usefixtures("few_models")
async def test_faults_of_the_model_have_their_causes_and_no_wait_of_the_clis_own(
    room: CliRoom,
) -> None:
    await room.rules(
        fails("much", "rate_limit", retry_after=77),
        fails("key", "auth"),
        fails("bad", "bad_request"),
        fails("unknown", "bad_request", message="model: no-such-model"),
        fails("broken", "server_error"),
        fails("busy", "overloaded"),
        fails("nonsense", "nonsense"),
        fails("hang up", "drop_before"),
        HELLO,
    )
    expected = {
        "much": (Failure.rate_limited, 80.0),
        "key": (Failure.authentication, None),
        "bad": (Failure.refused, None),
        "unknown": (Failure.refused, None),
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
            after = end.retry_after_seconds
            found[prompt] = (end.failure, after and round(after, -1))
            assert bool(end.problem) is bool(end.failure)
    assert found == expected
    asked = [seen.prompt for seen in await room.requests()]
    assert len(asked) == len(expected)


@pytest.mark.usefixtures("few_models")
async def test_a_word_while_a_turn_runs_is_heard_before_its_end(room: CliRoom) -> None:
    await room.rules(uses("bash", "do it", command="sleep 2", description="Wait"))
    word = "please hurry " * 500
    async with Session(room) as backend:
        await backend.open(room.assignment(model=MODEL))
        assert not await backend.nudge("too early")
        told = []
        async for event in backend.turn(turn("do it")):
            told.append(event)
            if isinstance(event, ToolStarted):
                assert await backend.nudge(word)
        assert not await backend.nudge("too late")
    assert ended(told).text == "done"
    before, after = await room.requests()
    assert after.input_tokens - before.input_tokens > len(word) / 4  # beside the tool's result


@pytest.mark.usefixtures("few_models")
async def test_a_turn_that_is_cancelled_or_killed_leaves_no_process_and_its_session_goes_on(
    room: CliRoom,
) -> None:
    slow = {"when": {"prompt": "slow"}, "turn": [{"blocks": [{"text": "late"}], "delay_ms": 9000}]}
    await room.rules(uses("bash", command="sleep 300", description="Sleep"), slow, HELLO)
    async with Session(room) as backend:
        await backend.open(room.assignment(model=MODEL))
        running = asyncio.create_task(take(backend, turn("slow")))
        async with MessagesControl(room.url) as control:
            await control.wait_for_request("slow", timeout=timedelta(seconds=60))
        assert backend.pid is not None
        os.kill(backend.pid, signal.SIGKILL)
        assert ended(await running).failure is Failure.crashed
        assert ended(await take(backend, turn("hello"))).text == "hi you"
        await cut_short(backend, turn("do it"), at=ToolStarted)
        assert processes_in(room.folder) == []
        # The model is told that its tool was interrupted, and the turn goes on from there.
        again = await take(backend, turn("hello"))
    assert ended(again).text == "done"
    assert not any(event.frame == "session_opened" for event in again)
    [told] = (await room.requests())[-1].tool_results
    assert "interrupted" in told


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["exit 3"], "status 3"),
        (["echo out of order >&2; exit 1"], "out of order"),
        (["echo hello there"], "nonsense: hello there"),
        (["echo opencode server listening on http://127.0.0.1:9"], "status 0"),
    ],
)
async def test_a_cli_that_is_none_is_told_in_one_line(
    room: CliRoom, tmp_path: Path, lines: list[str], words: str
) -> None:
    program = script(tmp_path / "opencode", *lines)
    room.reach = room.reach.model_copy(update={"program": program})
    async with Session(room) as backend:
        with pytest.raises(BackendFailed) as caught:
            await backend.open(room.assignment(model=MODEL))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_missing_cli_is_told_before_a_turn(room: CliRoom, tmp_path: Path) -> None:
    room.reach = room.reach.model_copy(update={"program": tmp_path / "not-there"})
    async with Session(room) as backend:
        with pytest.raises(BackendFailed, match="its CLI is missing"):
            await backend.open(room.assignment(model=MODEL))
