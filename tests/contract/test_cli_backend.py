"""CLIs that are missing, wrong, silent, too loud, or talk nonsense: one clear line each."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from agentos.backends.cli_backend import CliBackend, object_in
from agentos.backends.cli_process import CliProcess, Command, Ending, Json
from agentos.backends.codex import CodexDialect
from agentos.domain.frames import Assignment, Failure, TextDelta, Turn, TurnEnded, TurnUsage
from agentos.domain.ports import Event
from agentos.errors import BackendMissing
from tests.cli_room import CliRoom, cut_short, ended, opened, processes_in, says, script, take, turn

ID = "01a1fe2b-cbf7-7101-8e44-39459b1e9fff"
STARTED = {"type": "thread.started", "thread_id": ID}
COMPLETED = {"type": "turn.completed", "usage": {"input_tokens": 12, "output_tokens": 3}}
ANSWER = {"type": "item.completed", "item": {"id": "1", "type": "agent_message", "text": "hi"}}


async def codex(tmp_path: Path, *lines: str) -> CliBackend:
    """The codex backend with a program of ours for its CLI."""
    program = script(tmp_path / "cli", *lines)
    room = CliRoom("codex", program=program, url="http://127.0.0.1:9", tmp_path=tmp_path)
    made = CliBackend(CodexDialect(room.reach))
    await made.open(room.assignment())
    return made


async def end_of(tmp_path: Path, *lines: str) -> TurnEnded:
    return ended(await take(await codex(tmp_path, *lines), turn("hello")))


async def test_a_missing_cli_is_told_when_the_session_opens(tmp_path: Path) -> None:
    room = CliRoom("codex", program=tmp_path / "no", url="http://127.0.0.1:9", tmp_path=tmp_path)
    with pytest.raises(BackendMissing, match="its CLI is missing"):
        await CliBackend(CodexDialect(room.reach)).open(room.assignment())


async def test_a_cli_that_vanishes_later_ends_the_turn(tmp_path: Path) -> None:
    made = await codex(tmp_path)
    (tmp_path / "cli").unlink()
    end = ended(await take(made, turn("hello")))
    assert end.failure is Failure.refused
    assert "its CLI is missing" in end.problem


async def test_a_cli_that_may_not_run_says_so(tmp_path: Path) -> None:
    made = await codex(tmp_path)
    (tmp_path / "cli").write_bytes(b"\x7fELF nothing")
    end = ended(await take(made, turn("hello")))
    assert end.failure is Failure.refused
    assert "cannot be started: Exec format error" in end.problem


async def test_a_working_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    made = await codex(tmp_path)
    (tmp_path / "work").rmdir()
    end = ended(await take(made, turn("hello")))
    assert end.failure is Failure.crashed
    assert f"its working folder {tmp_path / 'work'} is gone" in end.problem


async def test_settings_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    made = await codex(tmp_path, *says(STARTED, ANSWER, COMPLETED))
    (tmp_path / "state").rmdir()
    end = ended(await take(made, turn("hello")))
    assert end.problem == "its settings cannot be written: No such file or directory"


async def test_a_cli_that_prints_nonsense(tmp_path: Path) -> None:
    end = await end_of(tmp_path, "echo Welcome to another program", "echo '[1, 2]'")
    assert end.failure is Failure.nonsense
    assert end.problem == "its CLI talks nonsense: Welcome to another program"


async def test_objects_of_another_program_are_nonsense(tmp_path: Path) -> None:
    end = await end_of(tmp_path, *says({"type": 3}, {"type": "item.completed", "item": "what"}))
    assert end.failure is Failure.nonsense
    assert "talks nonsense" in end.problem


async def test_garbage_among_the_lines_changes_nothing(tmp_path: Path) -> None:
    garbage = "head -c 3000 /dev/urandom; echo"
    unknown = {"type": "something.new", "item": {"id": "9", "type": "new"}}
    lines = [garbage, *says(STARTED, unknown), garbage, *says(ANSWER, COMPLETED), "printf '{\"a'"]
    events = await take(await codex(tmp_path, *lines), turn("hello"))
    assert opened(events).session_id == ID
    assert (ended(events).text, ended(events).usage.input_tokens) == ("hi", 12)


async def test_a_cli_that_says_nothing_and_ends(tmp_path: Path) -> None:
    end = await end_of(tmp_path, "exit 0")
    assert end.failure is Failure.crashed
    assert end.problem == "its CLI ended with status 0 and without a word"


async def test_a_cli_that_dies_says_why(tmp_path: Path) -> None:
    end = await end_of(
        tmp_path, "echo noise >&2", "echo 'Error: no disk' >&2; echo at 0x1 >&2; exit 9"
    )
    assert end.failure is Failure.crashed
    assert end.problem == "its CLI ended with status 9: Error: no disk"


async def test_a_cli_that_is_killed_is_told_with_its_signal(tmp_path: Path) -> None:
    end = await end_of(tmp_path, *says(STARTED), "kill -KILL $$")
    assert end.problem == "its CLI ended with signal 9 and without a word"


async def test_a_flood_without_an_end_of_line_is_cut(tmp_path: Path) -> None:
    before = psutil.Process().memory_info().rss
    end = await end_of(tmp_path, *says(STARTED), "head -c 100000000 /dev/zero", "sleep 300")
    assert end.failure is Failure.nonsense
    assert end.problem == "its CLI wrote more than 64 MB"
    assert psutil.Process().memory_info().rss - before < 60_000_000
    assert processes_in(tmp_path) == []


async def test_a_flood_of_errors_is_cut(tmp_path: Path) -> None:
    end = await end_of(tmp_path, "yes something is wrong >&2")
    assert end.problem == "its CLI wrote more than 64 MB"


async def test_a_line_that_is_too_long_is_left_out_and_the_rest_is_heard(tmp_path: Path) -> None:
    long = "head -c 20000000 /dev/zero; echo"
    end = await end_of(tmp_path, *says(STARTED), long, *says(ANSWER, COMPLETED))
    assert end.text == "hi"


async def test_a_cli_that_does_not_read_its_prompt_is_no_fault(tmp_path: Path) -> None:
    made = await codex(tmp_path, "exec 0<&-", *says(STARTED, ANSWER, COMPLETED))
    assert ended(await take(made, turn("x" * 2_000_000))).text == "hi"


async def test_a_cli_that_closes_its_output_and_stays_is_ended(tmp_path: Path) -> None:
    end = await end_of(tmp_path, *says(STARTED, ANSWER, COMPLETED), "exec 1>&- 2>&-", "sleep 300")
    assert end.text == "hi"
    assert processes_in(tmp_path) == []


async def test_what_a_cli_leaves_behind_ends_with_the_turn(tmp_path: Path) -> None:
    left = "(sleep 300 >/dev/null 2>&1 </dev/null &)"
    end = await end_of(tmp_path, left, *says(STARTED, ANSWER, COMPLETED))
    assert end.text == "hi"
    assert processes_in(tmp_path) == []


async def test_output_that_something_else_holds_open_is_not_waited_for(tmp_path: Path) -> None:
    left = "(setsid sleep 20 2>&1 &)"
    end = await end_of(tmp_path, left, *says(STARTED, ANSWER, COMPLETED))
    assert end.text == "hi"


async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    command = Command(arguments=["/bin/sh", "-c", "sleep 300"], folder=tmp_path)
    for pause in (0, 0.001, 0.003, 0.01):
        task = asyncio.ensure_future(CliProcess(command, name="test").__aenter__())
        await asyncio.sleep(pause)
        task.cancel()
        [made] = await asyncio.gather(task, return_exceptions=True)
        if isinstance(made, CliProcess):
            await made.end()
        assert processes_in(tmp_path) == []


async def test_a_cancelled_turn_ends_all_that_it_started(tmp_path: Path) -> None:
    made = await codex(
        tmp_path, "setsid sleep 300 &", "sleep 301 &", *says(STARTED, ANSWER), "sleep 302"
    )
    await cut_short(made, turn("hello"), at=TextDelta)
    async with asyncio.timeout(3):
        while processes_in(tmp_path):
            await asyncio.sleep(0.02)


async def test_a_cli_ends_when_its_worker_is_killed(tmp_path: Path) -> None:
    program = script(tmp_path / "cli", "echo '{}'", "exec sleep 300")
    code = (
        "import asyncio, pathlib\n"
        "from agentos.backends.cli_process import CliProcess, Command\n"
        "async def main():\n"
        f"    folder = pathlib.Path({str(tmp_path)!r})\n"
        f"    command = Command(arguments=[{str(program)!r}], folder=folder)\n"
        "    async with CliProcess(command, name='test') as process:\n"
        "        async for _ in process.objects():\n"
        "            print(process.pid, flush=True)\n"
        "asyncio.run(main())\n"
    )
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    pid = int(await worker.stdout.readline())
    os.kill(worker.pid, signal.SIGKILL)
    await worker.wait()
    async with asyncio.timeout(3):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.02)


class Plain:
    """A dialect whose every object is a passage; the CLI is a shell command."""

    name = "plain"

    def __init__(self, folder: Path, *, script: str, first_word_within: timedelta | None) -> None:
        self.first_word_within = first_word_within
        self._folder = folder
        self._script = script
        self.session_id = ""
        self.usage = TurnUsage(model="m", input_tokens=5)

    async def prepare(self, assignment: Assignment) -> None:
        pass

    def command(self, turn: Turn, *, prompt: str, session_id: str | None) -> Command:
        return Command(arguments=["/bin/sh", "-c", self._script], folder=self._folder)

    def listen(self, turn: Turn) -> "Plain":
        self._turn = turn
        return self

    def hear(self, said: Json) -> Iterable[Event]:
        return [TextDelta(turn_id=self._turn.turn_id, text=str(said["text"]), whole=True)]

    def is_lost(self, ending: Ending) -> bool:
        return False

    def ended(self, ending: Ending) -> TurnEnded | None:
        return None


async def plain(folder: Path, script: str, *, seconds: float | None = None) -> CliBackend:
    within = None if seconds is None else timedelta(seconds=seconds)
    room = CliRoom("codex", program=Path("/bin/sh"), url="", tmp_path=folder)
    made = CliBackend(Plain(folder, script=script, first_word_within=within))
    await made.open(room.assignment())
    return made


async def test_a_cli_that_is_silent_is_ended_in_time(tmp_path: Path) -> None:
    end = ended(await take(await plain(tmp_path, "sleep 300", seconds=0.3), turn("hello")))
    assert end.failure is Failure.crashed
    assert end.problem == "its CLI said nothing for 0.3 seconds"
    assert processes_in(tmp_path) == []


async def test_after_its_first_word_a_cli_may_think(tmp_path: Path) -> None:
    lines = 'echo \'{"text": "one"}\'; sleep 0.8; echo \'{"text": "two"}\''
    events = await take(await plain(tmp_path, lines, seconds=0.4), turn("hello"))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["one", "two"]


async def test_what_a_turn_used_is_kept_when_its_cli_dies(tmp_path: Path) -> None:
    end = ended(await take(await plain(tmp_path, "exit 4"), turn("hello")))
    assert end.usage.input_tokens == 5


async def test_a_cli_is_not_shown_what_is_for_other_backends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTOS_REACH_CODEX", "a token")
    command = Command(arguments=["/bin/sh", "-c", "env >&2"], folder=tmp_path)
    async with CliProcess(command, name="test") as process:
        assert [one async for one in process.objects()] == []
        assert "a token" not in (await process.ended()).errors


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        (' \n{"a": 1}\n ', {"a": 1}),
        ("[1]", None),
        ("certainly!", None),
        ("[" * 100_000, None),
    ],
)
def test_an_object_is_found_in_an_answer(text: str, found: object) -> None:
    assert object_in(text) == found
