"""The real Codex CLI against a stand-in of its API."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentos.backends.cli_backend import CliBackend
from agentos.backends.codex import CodexDialect
from agentos.domain.frames import Access, Failure, TextDelta, ToolEnded, ToolStarted
from agentos.standins.process import StandinProcess
from tests.cli_room import CliRoom, cut_short, ended, installed, opened, processes_in, take, turn

HELLO = {"when": {"prompt": "hello"}, "turn": [{"blocks": [{"text": "hi you"}]}]}


def runs(command: str, **more: Any) -> dict[str, Any]:
    """A rule that runs a command, then says that it did."""
    call = {"tool": "exec_command", "input": {"cmd": command, **more}}
    replies = [{"blocks": [{"text": "I look."}, call]}, {"blocks": [{"text": "done"}]}]
    return {"when": {"prompt": "run it"}, "turn": replies}


def fails(kind: str, **more: Any) -> dict[str, Any]:
    return {"when": {"prompt": "hello"}, "turn": [{"fault": {"kind": kind, **more}}]}


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    made = StandinProcess.start_blocking("responses")
    yield made
    made.stop_blocking()


@pytest.fixture
async def room(standin: StandinProcess, tmp_path: Path) -> CliRoom:
    made = CliRoom("codex", program=await installed("codex"), url=standin.url, tmp_path=tmp_path)
    await made.reset()
    return made


async def backend(room: CliRoom, **fields: Any) -> CliBackend:
    made = CliBackend(CodexDialect(room.reach))
    await made.open(room.assignment(**fields))
    return made


async def test_a_new_session_answers_and_tells_its_id_and_its_use(room: CliRoom) -> None:
    await room.rules(HELLO)
    events = await take(await backend(room), turn("hello"))
    assert len(opened(events).session_id) == 36
    assert not opened(events).lost
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["hi you"]
    end = ended(events)
    assert (end.text, end.failure) == ("hi you", None)
    [seen] = await room.requests()
    assert end.usage.model == "test-model" == seen.model
    assert end.usage.input_tokens == seen.input_tokens > 0
    assert end.usage.output_tokens == 2
    assert "You are a careful worker." in seen.system
    assert seen.auth == "authorization"


async def test_a_session_is_resumed_and_each_turn_has_its_own_use(room: CliRoom) -> None:
    await room.rules(HELLO)
    first = await take(await backend(room), turn("hello"))
    session_id = opened(first).session_id
    second = await take(await backend(room, session_id=session_id), turn("hello again"))
    assert opened(second).session_id == session_id
    assert not opened(second).lost
    before, seen = await room.requests()
    assert seen.session_id == before.session_id
    assert ended(second).usage.input_tokens == seen.input_tokens
    assert seen.input_tokens > before.input_tokens
    assert ended(second).session_tokens == seen.input_tokens + ended(second).usage.output_tokens


async def test_a_warm_backend_goes_on_with_its_session_unless_it_is_to_forget(
    room: CliRoom,
) -> None:
    await room.rules(HELLO)
    warm = await backend(room)
    first = await take(warm, turn("hello"))
    assert not any(event.frame == "session_opened" for event in await take(warm, turn("hello")))
    one, two = await room.requests()
    assert one.session_id == two.session_id == opened(first).session_id
    forgetful = await backend(room, forget_between_turns=True)
    ids = {opened(await take(forgetful, turn("hello"))).session_id for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize("how", ["unknown", "broken file"])
async def test_a_lost_session_starts_anew_with_what_it_has_to_know(room: CliRoom, how: str) -> None:
    await room.rules(HELLO)
    session_id = "01a1fe2b-cbf7-7101-8e44-39459b1e9fff"
    if how == "broken file":
        session_id = opened(await take(await backend(room), turn("hello"))).session_id
        [file] = room.reach.state.glob("sessions/*/*/*/*.jsonl")
        file.write_bytes(b"\0garbage\n" * 9)
    events = await take(
        await backend(room, session_id=session_id), turn("hello", if_lost="You had begun a poem.")
    )
    assert opened(events).lost
    assert opened(events).session_id != session_id
    assert ended(events).text == "hi you"
    assert (await room.requests())[-1].prompt == "You had begun a poem.\n\nhello"


async def test_a_command_really_runs_and_is_told_in_plain_words(room: CliRoom) -> None:
    await room.rules(runs("echo out; echo made > made.txt; exit 3"))
    events = await take(await backend(room), turn("run it"))
    assert (room.folder / "made.txt").read_text() == "made\n"
    [started] = [event for event in events if isinstance(event, ToolStarted)]
    assert started.summary == "runs: echo out; echo made > made.txt; exit 3"
    assert started.detail == "echo out; echo made > made.txt; exit 3"
    [over] = [event for event in events if isinstance(event, ToolEnded)]
    # Before it, a login shell may have things to say.
    assert over.failed and over.output.endswith("out\n")
    assert over.call_id == started.call_id != ""
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert texts == ["I look.", "done"]
    assert ended(events).text == "done"
    requests = await room.requests()
    assert ended(events).usage.input_tokens == sum(seen.input_tokens for seen in requests)


async def test_a_patch_writes_a_file_and_is_told(room: CliRoom) -> None:
    patch = "*** Begin Patch\n*** Add File: new.txt\n+hello\n*** End Patch"
    await room.rules(runs(f"apply_patch <<'EOP'\n{patch}\nEOP"))
    events = await take(await backend(room), turn("run it"))
    assert (room.folder / "new.txt").read_text() == "hello\n"
    summaries = [event.summary for event in events if isinstance(event, ToolStarted)]
    assert summaries == ["writes new.txt"]


async def test_commands_write_in_the_folders_of_the_turn_and_nowhere_else(
    room: CliRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefacts, other, home = tmp_path / "artefacts", tmp_path / "other", tmp_path / "home"
    for each in (artefacts, other, home):
        each.mkdir()
    (home / ".env").write_text("A_KEY=the-owners-key")
    monkeypatch.setenv("AGENTOS_HOME", str(home))
    monkeypatch.setenv("AGENTOS_REACH_GEMINI", "for another backend")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    tried = [
        f"touch in.txt {artefacts}/in.txt",
        f"touch {other}/out.txt",
        f"cat {home}/.env",
        "env",
        "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 9))'",
        "true",
    ]
    await room.rules(runs("; ".join(tried)))
    await take(await backend(room), turn("run it", folders=[str(artefacts)]))
    assert (room.folder / "in.txt").exists()
    assert (artefacts / "in.txt").exists()
    assert not (other / "out.txt").exists()
    [result] = (await room.requests())[-1].tool_results
    assert "the-owners-key" not in result
    assert "only-for-the-gateway" not in result
    assert "for another backend" not in result
    assert "PermissionError" in result or "Operation not permitted" in result


async def test_a_session_without_access_has_no_shell(room: CliRoom) -> None:
    await room.rules(HELLO)
    await take(await backend(room, access=Access.none), turn("hello"))
    [seen] = await room.requests()
    assert not {"exec_command", "shell", "view_image", "apply_patch"} & set(seen.tools)


async def test_a_structured_answer_fits_its_schema(room: CliRoom) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer", "default": 1}}}
    await room.rules(
        {"when": {"prompt": "judge"}, "turn": [{"blocks": [{"structured": {"score": 7}}]}]},
        {"when": {"prompt": "talk"}, "turn": [{"blocks": [{"text": "well, well"}]}]},
    )
    made = await backend(room, output_schema=schema)
    assert ended(await take(made, turn("judge"))).structured == {"score": 7}
    assert (await room.requests())[0].schema_properties == ["score"]
    assert ended(await take(made, turn("talk"))).failure is Failure.nonsense


async def test_a_cancelled_turn_leaves_no_process_and_its_session_goes_on(room: CliRoom) -> None:
    await room.rules(runs("sleep 300 & setsid sleep 301 & sleep 302"), HELLO)
    made = await backend(room)
    await cut_short(made, turn("run it"), at=ToolStarted)
    async with asyncio.timeout(3):
        while processes_in(room.folder):
            await asyncio.sleep(0.02)
    events = await take(made, turn("hello"))
    assert ended(events).text == "hi you"
    first, *_, last = await room.requests()
    assert first.session_id == last.session_id


@pytest.mark.parametrize(
    ("fault", "failure", "problem"),
    [
        (fails("auth"), Failure.authentication, "Incorrect API key"),
        (fails("rate_limit", retry_after=600), Failure.rate_limited, "429"),
        (fails("server_error"), Failure.transient, "high demand"),
        (fails("server_error", status=503, retry_after=600), Failure.transient, ""),
        (fails("bad_request"), Failure.refused, "not valid"),
        (fails("drop"), Failure.transient, "stream"),
        (fails("nonsense"), Failure.transient, "stream"),
    ],
)
async def test_a_fault_of_the_model_has_its_cause_and_no_wait_of_the_clis_own(
    room: CliRoom, fault: dict[str, Any], failure: Failure, problem: str
) -> None:
    fault["turn"][0]["blocks"] = [{"text": "half an answer"}]
    await room.rules(fault)
    end = ended(await take(await backend(room), turn("hello"), seconds=20))
    assert end.failure is failure
    assert problem in end.problem
    assert "\n" not in end.problem
    assert "127.0.0.1" not in end.problem
    assert len(await room.requests()) == 1


async def test_an_unknown_model_is_refused_by_name(room: CliRoom) -> None:
    end = ended(await take(await backend(room, model="no-such-model"), turn("hello")))
    assert end.failure is Failure.refused
    assert "no-such-model" in end.problem


async def test_a_model_that_is_not_there_is_transient(room: CliRoom) -> None:
    room.reach = room.reach.model_copy(update={"url": "http://127.0.0.1:9"})
    end = ended(await take(await backend(room), turn("hello")))
    assert end.failure is Failure.transient


async def test_a_prompt_longer_than_the_cli_takes_is_refused_in_one_line(room: CliRoom) -> None:
    await room.rules({"when": {"prompt": "the end$"}, "turn": [{"blocks": [{"text": "read"}]}]})
    made = await backend(room)
    assert ended(await take(made, turn("x" * 1_000_000 + " the end"))).text == "read"
    end = ended(await take(made, turn("x" * 2_000_000 + " the end")))
    assert end.failure is Failure.refused
    assert "longer than the CLI takes" in end.problem


async def test_instructions_of_any_length_and_with_any_character_arrive(room: CliRoom) -> None:
    await room.rules(HELLO)
    odd = 'a "quoted" \\back\nline \x7f é 🎈 """ [table] ' + "x" * 300_000
    await take(await backend(room, system_prompt=odd), turn("hello"))
    [seen] = await room.requests()
    assert odd[:60] in seen.system
