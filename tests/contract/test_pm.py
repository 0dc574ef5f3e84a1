"""`pm` as a person runs it: whole processes, with the daemon up and down."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agentos.home import Home
from tests.command_line import ROOT, daemon, environment, run


@pytest.fixture(params=["up", "down"])
def there(request: pytest.FixtureRequest, home: Home) -> Iterator[Home]:
    """A home, with its daemon up or down."""
    if request.param == "down":
        yield home
        return
    with daemon(home):
        yield home


def pm(*arguments: str, home: Home, **more: Any) -> subprocess.CompletedProcess[str]:
    return run("pm", *arguments, home=home, **more)


def told(*arguments: str, home: Home) -> Any:
    """What a call prints as JSON."""
    done = pm(*arguments, "--json", home=home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_commands_work_with_the_daemon_up_and_down(there: Home) -> None:
    project = told("project", "add", "house", home=there)
    task = told("task", "add", "--title", "Paint", "--project-id", str(project["id"]), home=there)
    job = told(
        "job", "add", "--title", "Buy", "--prompt", "Buy paint", "--type", "claude",
        "--task", str(task["id"]), "--at", "in 20 minutes", home=there,
    )  # fmt: skip
    assert (job["backend"], job["project"], job["state"]) == ("claude", "house", "queued")
    assert [one["id"] for one in told("job", "list", home=there)] == [job["id"]]
    assert told("task", "show", "1", home=there)["jobs"][0]["title"] == "Buy"
    assert told("project", "show", "house", home=there)["tasks"][0]["title"] == "Paint"
    assert told("job", "show", "1", home=there)["task"]["title"] == "Paint"
    assert told("job", "cancel", "1", home=there)["state"] == "cancelled"
    lines = pm("job", "logs", "1", "--json", home=there).stdout.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["job_queued", "job_cancelled"]


def test_what_is_wrong_is_one_line_and_no_traceback(there: Home) -> None:
    done = pm("job", "show", "99", home=there)
    assert done.returncode == 1
    assert done.stderr == "There is no job 99. `pm job list` shows what there is.\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("job", "show", "seven"),
        ("job", "show", "0"),
        ("job", "dance"),
        ("cake", "list"),
        ("job", "add", "--title", "T"),
        ("job", "list", "--state", "asleep"),
        ("job", "list", "--limit", "0"),
        ("job", "add", "--title", "T", "--prompt", "P", "--at", "someday"),
    ],
)
def test_a_call_that_is_not_one_exits_with_two(home: Home, arguments: tuple[str, ...]) -> None:
    done = pm(*arguments, home=home)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_help_shows_examples(home: Home) -> None:
    assert "pm job add --title" in pm("--help", home=home).stdout
    assert "Examples:" in pm("job", "add", "--help", home=home).stdout


def test_people_read_tables_and_stories(home: Home) -> None:
    title = "Sort \x1b[2Jthe notes"
    added = pm("job", "add", "--title", title, "--prompt", "-", home=home, typed="By topic")
    assert added.stdout == "Added job 1: Sort the notes (queued)\n"
    table = pm("job", "list", home=home).stdout
    assert table.splitlines()[0].split() == [
        "ID",
        "STATE",
        "P",
        "TITLE",
        "PROJECT",
        "ADDED",
        "ENDED",
    ]
    assert "Sort the notes" in table
    story = pm("job", "show", "1", home=home).stdout
    assert "Job 1 · Sort the notes" in story
    assert "By topic" in story
    assert "\x1b" not in added.stdout + table + story


def test_times_are_shown_in_the_owners_zone(home: Home) -> None:
    pm(
        "job", "add", "--title", "T", "--prompt", "P", "--at", "2001-02-03T10:00",
        home=home,
    )  # fmt: skip
    due = told("job", "show", "1", home=home)["job"]["run_at"]
    assert due.startswith("2001-02-03T09:00")  # Berlin in winter


def test_an_empty_list_says_how_to_begin(home: Home) -> None:
    assert pm("job", "list", home=home).stdout.startswith("No jobs yet.")
    assert told("job", "list", home=home) == []


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_quiet(home: Home, unbuffered: str) -> None:
    told("job", "add", "--title", "T", "--prompt", "P", home=home)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "pm", "job", "list"],
        env=environment(home, PYTHONUNBUFFERED=unbuffered),
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert done.stderr == b""


def test_broken_settings_are_told_when_they_are_needed(home: Home) -> None:
    home.config_file.write_text("[owner\n")
    done = pm("job", "list", home=home)
    assert done.returncode == 1
    assert "not valid TOML" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_corrupt_database_is_told_in_one_line(home: Home) -> None:
    home.database_file.write_bytes(b"this is no database" * 100)
    done = pm("job", "list", home=home)
    assert done.returncode == 1
    assert "not a database" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_log_is_followed_until_the_job_has_ended(home: Home) -> None:
    with daemon(home):
        told("job", "add", "--title", "T", "--prompt", "P", home=home)
        following = subprocess.Popen(
            [sys.executable, "-m", "pm", "job", "logs", "1", "--follow"],
            env=environment(home, PYTHONUNBUFFERED="1"),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert following.stdout is not None
        assert following.stdout.readline().endswith("queued\n")
        folder = home.job_folder(1)
        folder.mkdir()
        with (folder / "transcript.jsonl").open("a") as file:
            at = "2099-01-01T00:00:00+00:00"
            for text in ("I am at it.", "Nearly."):
                file.write(json.dumps({"at": at, "kind": "text", "text": text}) + "\n")
        assert following.stdout.readline().endswith("I am at it.\n")
        told("job", "cancel", "1", home=home)
        # Not communicate(): what readline has read ahead would be lost to it.
        rest = following.stdout.read()
        following.stdout.close()
        assert following.wait(20) == 0
    assert "Nearly." in rest
    assert "cancelled" in rest


def test_ctrl_c_is_quiet(home: Home) -> None:
    with daemon(home):
        told("job", "add", "--title", "T", "--prompt", "P", home=home)
        following = subprocess.Popen(
            [sys.executable, "-m", "pm", "job", "logs", "1", "--follow"],
            env=environment(home, PYTHONUNBUFFERED="1"),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert following.stdout is not None
        following.stdout.readline()
        time.sleep(0.3)
        following.send_signal(signal.SIGINT)
        _, complaints = following.communicate(timeout=20)
    assert following.returncode == 130
    assert complaints == ""


def test_a_killed_daemon_does_not_stop_pm(home: Home) -> None:
    with daemon(home) as process:
        told("job", "add", "--title", "T", "--prompt", "P", home=home)
        process.kill()
        process.wait(10)
        assert home.socket.exists()
        assert told("job", "list", home=home)[0]["title"] == "T"


def test_with_the_daemon_up_no_table_is_imported(home: Home) -> None:
    with daemon(home):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "pm", "job", "list"],
            env=environment(home),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "pm.cli" in imported
    assert not imported & {"sqlalchemy", "rich", "pydantic_settings"}
