"""`agentos init`, `agentos doctor`, `--help`, and a chat that starts the daemon by itself."""

import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agentos import config
from agentos.cli.init import config_text
from agentos.control.client import ControlClient
from agentos.errors import DaemonUnreachable
from agentos.home import Home
from agentos.standins.process import StandinProcess
from tests.command_line import ROOT, daemon, environment, run

TOKEN = "1000001:stand-in"  # the one that the Bot API stand-in knows


def agentos(*arguments: str, home: Home, **variables: str) -> subprocess.CompletedProcess[str]:
    return run("agentos.cli", *arguments, home=home, variables=variables)


def findings(home: Home, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = agentos("doctor", "--json", home=home, **variables)
    return done.returncode, {one["part"]: one for one in json.loads(done.stdout)}


def test_init_makes_a_home_and_changes_nothing_the_second_time(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    first = agentos("init", home=home)
    assert first.returncode == 0
    assert "made config.toml" in first.stdout
    assert stat.S_IMODE(home.secrets_file.stat().st_mode) == 0o600
    home.config_file.write_text("[owner]\nname = 'Ada'\n")
    (home.root / "SOUL.md").write_text("mine")
    again = json.loads(agentos("init", "--json", home=home).stdout)
    assert again == {"home": str(home.root), "made": []}
    assert "Ada" in home.config_file.read_text()
    assert (home.root / "SOUL.md").read_text() == "mine"


def test_the_written_settings_are_the_defaults_and_valid(home: Home) -> None:
    home.config_file.write_text(config_text())
    untouched = config.load(config_file=home.config_file, secrets_file=home.secrets_file)
    assert untouched == config.Config()
    taken = re.sub(r"^# (\w+ = )", r"\1", config_text(), flags=re.M)
    home.config_file.write_text(taken.replace("owner_id = 123456789", "", 1))
    changed = config.load(config_file=home.config_file, secrets_file=home.secrets_file)
    assert changed == config.Config()
    assert "\ntoken =" not in taken


def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = agentos("init", home=Home(tmp_path / "file" / "home"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "AGENTOS_HOME" in done.stderr


def test_doctor_finds_a_fresh_home_usable(home: Home) -> None:
    status, found = findings(home)
    assert status == 0
    assert found["home"]["verdict"] == found["settings"]["verdict"] == "ok"
    assert found["model"]["verdict"] == found["telegram"]["verdict"] == "warn"
    assert "agentos up" in found["daemon"]["mend"]
    assert all(one["mend"] for one in found.values() if one["verdict"] != "ok")


def test_doctor_sees_the_running_daemon(home: Home) -> None:
    with daemon(home):
        assert "the plain desk" in findings(home)[1]["daemon"]["words"]


def test_doctor_knows_a_key_and_does_not_show_it(home: Home) -> None:
    home.secrets_file.write_text("ANTHROPIC_API_KEY=sk-ant-very-secret\n")
    home.secrets_file.chmod(0o644)
    done = agentos("doctor", home=home)
    assert "Claude (API key)" in done.stdout
    assert "could be read by others" in done.stdout
    assert "very-secret" not in done.stdout
    assert stat.S_IMODE(home.secrets_file.stat().st_mode) == 0o600


def test_doctor_names_what_is_wrong_with_the_settings(home: Home) -> None:
    home.config_file.write_text("[engine]\nslotz = 3\n")
    status, found = findings(home)
    assert status == 1
    assert "slotz" in found["settings"]["words"]
    assert "slots" in found["settings"]["words"]
    assert "database" not in found


def test_doctor_finds_a_corrupt_database(home: Home) -> None:
    home.database_file.write_bytes(b"no database" * 1000)
    status, found = findings(home)
    assert (status, found["database"]["verdict"]) == (1, "fail")


async def test_doctor_asks_telegram_who_the_bot_is(home: Home) -> None:
    async with await StandinProcess.start("bot") as bot:
        good = findings(home, AGENTOS_TELEGRAM__TOKEN=TOKEN, AGENTOS_TELEGRAM__BASE_URL=bot.url)[1][
            "telegram"
        ]
        wrong = findings(
            home, AGENTOS_TELEGRAM__TOKEN="1:nonsense", AGENTOS_TELEGRAM__BASE_URL=bot.url
        )[1]["telegram"]
    assert (good["verdict"], good["words"][0]) == ("ok", "@")
    assert (wrong["verdict"], "BotFather" in wrong["mend"]) == ("fail", True)


def test_doctor_does_not_tell_the_token_when_telegram_is_away(home: Home) -> None:
    nowhere = "http://127.0.0.1:9"
    done = agentos(
        "doctor", home=home, AGENTOS_TELEGRAM__TOKEN=TOKEN, AGENTOS_TELEGRAM__BASE_URL=nowhere
    )
    assert "cannot be reached" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments", [("--help",), ("chat", "--help"), ("init", "--help"), ("--version",)]
)
def test_help_is_plain(home: Home, arguments: tuple[str, ...]) -> None:
    done = agentos(*arguments, home=home)
    assert done.returncode == 0
    assert "agentos" in done.stdout


def test_a_command_that_is_none_exits_with_two(home: Home) -> None:
    done = agentos("dance", home=home)
    assert done.returncode == 2
    assert "dance" in done.stderr


def test_a_chat_starts_the_daemon_and_stops_it_again(home: Home) -> None:
    done = agentos("chat", "--message", "hello", "--wait", home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    with pytest.raises(DaemonUnreachable):
        ControlClient(home.socket)


def test_a_daemon_that_cannot_start_says_why(home: Home) -> None:
    home.config_file.write_text("[engine]\nslots = 0\n")
    done = agentos("chat", "--message", "hello", home=home)
    assert done.returncode == 1
    assert "engine.slots" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_chat_that_is_interrupted_stops_the_daemon_it_started(home: Home) -> None:
    chat = subprocess.Popen(
        [sys.executable, "-m", "agentos.cli", "chat"],
        env=environment(home),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 40
    while True:
        try:
            with ControlClient(home.socket) as client:
                pid = client.call("daemon.status")["pid"]
            break
        except DaemonUnreachable:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    chat.send_signal(2)
    _, complaints = chat.communicate(timeout=30)
    assert (chat.returncode, complaints) == (130, "")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
