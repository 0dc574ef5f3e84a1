"""`agentos chat` as a person or a script runs it: whole processes beside the small daemon."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from agentos.home import Home
from tests.command_line import ROOT, daemon, environment, run

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def there(home: Home) -> Iterator[Home]:
    with daemon(home):
        yield home


def chat(*arguments: str, home: Home, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    return run("agentos.cli", "chat", *arguments, home=home, typed=typed)


def test_one_message_and_its_reply(there: Home) -> None:
    done = chat("--message", "hello", home=there)
    assert (done.returncode, done.stdout) == (0, "You said: **hello**\n")


def test_waiting_brings_the_result_and_its_file(there: Home) -> None:
    done = chat("--message", "work", "--wait", home=there)
    assert done.returncode == 0
    file = there.job_folder(1) / "report.md"
    assert done.stdout.splitlines() == ["On it.", "Job 1 is done.", f"{file} (13 B)"]
    assert done.stderr == ""


def test_without_waiting_the_work_goes_on(there: Home) -> None:
    done = chat("--message", "work", home=there)
    assert (done.returncode, done.stdout) == (0, "On it.\n")
    assert "goes on" in done.stderr


def test_a_failed_job_is_the_exit_status(there: Home) -> None:
    done = chat("--message", "fail", "--wait", home=there)
    assert done.returncode == 1
    assert "Job 1 failed: it went wrong" in done.stderr


def test_the_time_being_up_is_the_exit_status(there: Home) -> None:
    done = chat("--message", "slow", "--wait", "--timeout", "0.5", home=there)
    assert done.returncode == 3
    assert "Still not done after 0.5 s" in done.stderr


def test_json_tells_everything(there: Home) -> None:
    done = chat("--message", "work", "--wait", "--json", home=there)
    told = json.loads(done.stdout)
    assert told["done"]
    assert [reply["text"] for reply in told["replies"]] == ["On it.", "Job 1 is done."]
    assert told["files"] == [str(there.job_folder(1) / "report.md")]
    assert told["jobs"][0]["state"] == "done"


def test_news_of_before_is_kept_apart(there: Home) -> None:
    chat("--message", "work", home=there)
    time.sleep(0.8)  # its result waits for the next terminal
    done = chat("--message", "hello", "--wait", home=there)
    assert done.stdout == "You said: **hello**\n"
    assert "(meanwhile) Job 1 is done." in done.stderr


def test_a_message_is_read_from_standard_input(there: Home) -> None:
    done = chat("--message", "-", home=there, typed="from a pipe")
    assert done.stdout == "You said: **from a pipe**\n"


def test_a_file_is_sent_along(there: Home, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("tea")
    file = str(tmp_path / "notes.txt")
    done = chat("--message", "read", "--file", file, home=there)
    assert done.stdout == "You said: **read** with notes.txt\n"
    done = chat("--message", "read", "--file", "missing.txt", home=there)
    assert done.returncode == 1
    assert "there is no file" in done.stderr


def test_lines_of_a_pipe_are_sent_one_by_one(there: Home) -> None:
    done = chat(home=there, typed="one\n\nwork\ncard\n2\nlast")
    assert done.returncode == 0
    file = there.job_folder(1) / "report.md"
    assert done.stdout.splitlines() == [
        "You said: **one**",
        "On it.",
        "Job 1 is done.",
        f"{file} (13 B)",
        "Which?",
        "  1 Go",
        "  2 Drop",
        "✓ drop",
        "You chose drop.",
        "You said: **last**",
    ]


def test_a_file_of_lines_is_a_pipe_too(there: Home, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("one\ntwo\n/quit\nthree\n")
    with (tmp_path / "lines").open() as lines:
        done = subprocess.run(
            [sys.executable, "-m", "agentos.cli", "chat"],
            env=environment(there),
            cwd=ROOT,
            stdin=lines,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert done.stdout == "You said: **one**\nYou said: **two**\n"


def test_what_is_printed_moves_no_cursor(there: Home) -> None:
    done = chat("--message", "\x1b[2Jhello\x07", home=there)
    assert done.stdout == "You said: **hello**\n"


def test_options_that_need_a_message_say_so(home: Home) -> None:
    done = chat("--wait", home=home)
    assert done.returncode == 2
    assert "--message" in done.stderr


def test_a_daemon_that_goes_away_is_told_in_one_line(home: Home) -> None:
    with daemon(home) as process:
        script = subprocess.Popen(
            [sys.executable, "-m", "agentos.cli", "chat", "--message", "slow", "--wait"],
            env=environment(home),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(1.5)
        process.kill()
        process.wait(10)
        _, complaints = script.communicate(timeout=20)
    assert script.returncode == 1
    assert "does not answer" in complaints
    assert len(complaints.splitlines()) == 1


class Person:
    """Somebody at a real terminal."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.pid, self.screen = 0, ""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "agentos.cli", "chat"]
        self._keys, tty = pty.openpty()
        self._process = subprocess.Popen(
            command,
            env=environment(self._home, TERM="xterm", COLUMNS="80"),
            cwd=ROOT,
            stdin=tty,
            stdout=tty,
            stderr=tty,
            start_new_session=True,
        )
        os.close(tty)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._keys)

    def type(self, text: str) -> None:
        os.write(self._keys, text.encode())

    def press_ctrl_c(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def see(self, words: str, *, within: float = 20) -> str:
        """What is on the screen up to these words; it is looked at once."""
        deadline = time.monotonic() + within
        while words not in self.screen:
            assert time.monotonic() < deadline, f"{words!r} is not in {self.screen!r}"
            if select.select([self._keys], [], [], 0.1)[0]:
                self._look()
        seen, _, self.screen = self.screen.partition(words)
        return seen + words

    def left(self) -> int:
        """How it ended."""
        deadline = time.monotonic() + 20
        while self._process.poll() is None and time.monotonic() < deadline:
            if select.select([self._keys], [], [], 0.1)[0]:
                self._look()
        return self._process.wait(1)

    def _look(self) -> None:
        try:
            chunk = os.read(self._keys, 65_536).decode(errors="replace")
        except OSError:  # the other side is closed
            chunk = ""
        self.screen = ESCAPES.sub("", self.screen + chunk)


@pytest.fixture
def person(there: Home) -> Iterator[Person]:
    with Person(there) as person:
        person.see("› ")
        yield person


def test_a_conversation_at_the_keyboard(there: Home) -> None:
    with Person(there) as person:
        first = person.see("› ")
        assert str(there.root) in first.replace("\r\n", "")
        assert "The plain desk answers" in " ".join(first.split())
        person.type("hello\n")
        person.see("· received")
        person.see("You said: hello")  # Markdown: the stars are gone
        person.see("› ")
        person.type("\x04")
        assert person.left() == 0


def test_a_card_is_chosen_by_number_or_by_label(person: Person) -> None:
    person.type("card\n")
    person.see("1 Go")
    person.see("2 Drop")
    person.see("› ")
    person.type("2\n")
    person.see("✓ drop")
    person.see("You chose drop.")
    person.type("card\n")
    person.see("1 Go")
    person.type("GO\n")
    person.see("✓ go")
    person.type("2\n")  # no card is open now, so this is a message
    person.see("You said: 2")


def test_a_file_is_shown_with_its_place_and_its_beginning(there: Home, person: Person) -> None:
    person.type("work\n")
    person.see("On it.")
    person.see("(13 B)")
    person.see("│ # The report")


def test_pasted_lines_are_one_message(person: Person) -> None:
    person.type("first\nsecond\n")
    person.see("You said: first")
    assert "You said" not in person.see("second")


@pytest.mark.parametrize("words", ["/quit\n", "/exit\n"])
def test_quitting_ends_it(person: Person, words: str) -> None:
    person.type(words)
    assert person.left() == 0


def test_ctrl_c_ends_it_quietly(person: Person) -> None:
    person.press_ctrl_c()
    assert person.left() == 130
    assert "Traceback" not in person.screen


def test_a_daemon_that_ends_is_told_at_the_keyboard(home: Home) -> None:
    with daemon(home) as process, Person(home) as person:
        person.see("› ")
        process.kill()
        process.wait(10)
        person.see("does not answer")
        assert person.left() == 1
        assert "Traceback" not in person.screen
