"""Settings and places that cannot work: one clear line, exit 1, and nothing is touched."""

import asyncio
import random
import signal
import socket
import sqlite3
from collections.abc import Callable

import pytest

from agentos.home import Home
from tests.scenarios.lines import quick, text
from tests.stage import Stage


async def refused(stage: Stage) -> str:
    """The one line with which a start is refused."""
    stage.begin()
    assert await stage.ended() == 1
    *before, line = stage.output.strip().splitlines()
    # A start that gets further says first where it runs; that is no second complaint.
    assert all(one.startswith(("agentos runs in", "Telegram: @")) for one in before)
    assert stage.home.root.name in line or "AGENTOS_" in line or "://" in line
    return line


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("[engine\nslots = 3", "not valid TOML"),
        ("[engine]\nslot = 3", "there is no setting engine.slot. Known here: drain_seconds"),
        ("[engin]\nslots = 3", "there is no setting engin. Known here: backends, capacity, cards"),
        ('[engine]\nslots = "many"', "engine.slots is wrong"),
        ("engine = 3", "engine is not a section"),
        ('[owner]\ntimezone = "Mars/Base"', "no time zone is called 'Mars/Base'"),
        ("\udcff", "this is not text"),
    ],
)
async def test_settings_that_are_wrong_are_named(stage: Stage, written: str, words: str) -> None:
    del stage.environment["AGENTOS_OWNER__TIMEZONE"]
    stage.home.make()
    stage.home.config_file.write_bytes(written.encode(errors="surrogateescape"))
    line = await refused(stage)
    assert str(stage.home.config_file) in line and words in line
    assert not stage.home.database_file.exists()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AGENTOS_ENGINE__SLOT", "3", "there is no setting engine.slot"),
        ("AGENTOS_ENGINE__SLOTS", "many", "engine.slots is wrong"),
        ("AGENTOS_ENGIN__SLOTS", "3", "sets nothing there is"),
        ("AGENTOS_ENGINE", "many", "sets a whole section"),
        ("AGENTOS_STORE__URL", "nonsense://there", "Set store.url"),
    ],
)
async def test_a_variable_that_is_wrong_is_named(
    stage: Stage, name: str, value: str, words: str
) -> None:
    stage.environment[name] = value
    line = await refused(stage)
    assert words in line
    assert name in line or value in line


async def test_a_secret_of_the_wrong_name_points_to_its_file(stage: Stage) -> None:
    stage.home.make()
    stage.home.secrets_file.write_text("AGENTOS_TELEGRAM__TOKN=1:hidden\n")
    line = await refused(stage)
    assert str(stage.home.secrets_file) in line and "telegram.tokn" in line
    assert "hidden" not in line


def _below_a_file(home: Home) -> None:
    home.root.write_text("a file\n")


def _log_is_a_folder(home: Home) -> None:
    home.log_file.mkdir(parents=True)


def _lock_is_a_folder(home: Home) -> None:
    home.lock_file.mkdir(parents=True)


def _socket_is_a_file(home: Home) -> None:
    home.socket.parent.mkdir(parents=True)
    home.socket.write_text("taken")


def _database_is_noise(home: Home) -> None:
    home.make()
    home.database_file.write_bytes(random.Random(7).randbytes(20_000))


def _database_is_of_others(home: Home) -> None:
    home.make()
    with sqlite3.connect(home.database_file) as connection:
        connection.execute("CREATE TABLE job (description TEXT)")
    connection.close()


def _database_is_of_tomorrow(home: Home) -> None:
    home.make()
    with sqlite3.connect(home.database_file) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_below_a_file, "cannot be used: File exists"),
        (_log_is_a_folder, "Is a directory (agentos.log)"),
        (_lock_is_a_folder, "Is a directory (daemon.lock)"),
        (_socket_is_a_file, "no socket can be made there"),
        (_database_is_noise, "file is not a database. Move the file away"),
        (_database_is_of_others, "table job already exists"),
        (_database_is_of_tomorrow, "It may be newer than this agentos"),
    ],
)
async def test_a_home_that_cannot_be_used_says_why(
    stage: Stage, spoil: Callable[[Home], None], words: str
) -> None:
    spoil(stage.home)
    assert words in await refused(stage)


async def test_a_home_of_nobody_says_so(stage: Stage) -> None:
    stage.environment["AGENTOS_HOME"] = "~nobody-at-all/home"
    assert "nobody knows where ~ is" in await refused(stage)


async def test_a_spoilt_database_is_left_as_it_was(stage: Stage) -> None:
    _database_is_noise(stage.home)
    before = stage.home.database_file.read_bytes()
    await refused(stage)
    assert stage.home.database_file.read_bytes() == before


async def test_a_second_daemon_is_refused_and_the_first_goes_on(live: Stage) -> None:
    assert live.process is not None
    second = live.agentos("up")
    assert (second.returncode, second.stdout) == (1, "")
    assert f"already running on {live.home.root} (pid {live.process.pid})" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    await live.user.say("hello")
    await live.user.wait_for("Hello")


async def test_a_socket_that_somebody_listens_on_is_left_alone(stage: Stage) -> None:
    stage.home.make()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(stage.home.socket))
        other.listen()
        assert "already running" in await refused(stage)
    assert stage.home.socket.exists()


async def test_the_socket_of_a_dead_daemon_is_replaced(live: Stage) -> None:
    await live.kill()
    assert live.home.socket.exists()
    await live.start()


async def test_a_deep_home_is_served_like_any_other(stage: Stage) -> None:
    deep = stage.home.root.joinpath(*["a-rather-long-name-of-a-folder"] * 5)
    stage.home = Home(deep)
    stage.environment["AGENTOS_HOME"] = str(deep)
    await stage.start()
    assert len(str(stage.home.socket)) < 104
    added = stage.pm("job", "add", "--title", "Deep", "--prompt", "write a note on depth")
    assert added.returncode == 0, added.stderr
    told = stage.agentos("chat", "--message", "hello", "--wait")
    assert (told.returncode, "Hello" in told.stdout) == (0, True)


async def test_work_needs_neither_a_home_variable_nor_a_writable_config(stage: Stage) -> None:
    del stage.environment["HOME"]
    stage.home.make()
    stage.home.config_file.write_text("[engine]\nslots = 2\n")
    stage.home.config_file.chmod(0o400)
    await stage.start()
    await stage.model.add_rules(quick("look around", text("Seen.")))
    await stage.user.say("look around")
    await stage.user.wait_for("Seen")
    assert stage.home.config_file.read_text() == "[engine]\nslots = 2\n"


@pytest.mark.parametrize("after", [0.1, 0.5, 0.7, 0.9])
async def test_a_stop_in_the_middle_of_a_start_harms_nothing(stage: Stage, after: float) -> None:
    await stage.user.say("hello")
    process = stage.begin()
    await asyncio.sleep(after)
    process.terminate()
    assert await stage.ended() in (0, -signal.SIGTERM)
    assert not await asyncio.to_thread(stage.children)
    await stage.start()
    await stage.user.wait_for("Hello")
    view = await stage.user.chat()
    assert len([one for one in view.messages if one.by == "bot"]) == 1


async def test_nothing_is_written_outside_of_home(live: Stage) -> None:
    await live.model.add_rules(quick("look around", text("Seen.")))
    await live.user.say("look around")
    await live.user.wait_for("Seen")
    outside = live.home.root.parent
    left = sorted(path.name for path in outside.iterdir())
    assert left == ["daemon-001.out", "home", "user"]
    assert list((outside / "user").iterdir()) == []
