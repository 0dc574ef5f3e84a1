"""CLIs come from npm: whole or not at all, once, and with one line when they do not."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentos.backends import npm
from agentos.errors import BackendFailed, BackendMissing
from tests.cli_room import CliRoom, installed, script

MAKES = """
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/node_modules/.bin"
"""


def fake(path: Path, *lines: str) -> Callable[[], list[str]]:
    """An npm of ours."""
    program = script(path, *lines)
    return lambda: [str(program)]


def good(path: Path) -> Callable[[], list[str]]:
    """One that makes the program, after a while, and writes down that it was called."""
    called = path.with_name("called")
    touch = 'touch "$2/node_modules/.bin/codex"'
    return fake(path, f"echo $$ >> {called}", MAKES, "sleep 0.3", touch)


async def test_two_at_once_install_one(tmp_path: Path) -> None:
    find = good(tmp_path / "npm")
    both = [npm.install("codex", folder=tmp_path / "clis", find=find) for _ in range(2)]
    one, two = await asyncio.gather(*both)
    assert one == two == npm.program("codex", folder=tmp_path / "clis")
    assert one.is_file()
    assert len((tmp_path / "called").read_text().split()) == 1
    assert await npm.install("codex", folder=tmp_path / "clis", find=find) == one
    assert len((tmp_path / "called").read_text().split()) == 1


async def test_one_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    find = fake(tmp_path / "npm", MAKES, 'touch "$2/node_modules/.bin/codex"', "sleep 300")
    code = (
        "import asyncio, pathlib\n"
        "from agentos.backends import npm\n"
        f"folder = pathlib.Path({str(tmp_path / 'clis')!r})\n"
        f"asyncio.run(npm.install('codex', folder=folder, find=lambda: {find()!r}))\n"
    )
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    async with asyncio.timeout(20):
        while not list(tmp_path.glob("clis/codex/fetching-*/node_modules/.bin/codex")):
            await asyncio.sleep(0.02)
    os.kill(other.pid, signal.SIGKILL)
    await other.wait()
    assert not npm.program("codex", folder=tmp_path / "clis").exists()
    await npm.install("codex", folder=tmp_path / "clis", find=good(tmp_path / "npm2"))
    assert npm.program("codex", folder=tmp_path / "clis").is_file()
    assert not list(tmp_path.glob("clis/codex/fetching-*"))


async def test_a_worker_waits_for_a_cli_that_is_being_installed(tmp_path: Path) -> None:
    room = CliRoom("codex", program=Path(), url="", tmp_path=tmp_path)
    program = npm.program("codex", folder=tmp_path / "clis")
    reach = room.reach.model_copy(update={"program": program})
    with pytest.raises(BackendMissing, match="its CLI is missing"):
        await reach.ready()
    find = good(tmp_path / "npm")
    task = asyncio.create_task(npm.install("codex", folder=tmp_path / "clis", find=find))
    while not npm.is_being_installed(program):
        await asyncio.sleep(0.01)
    await reach.ready()
    assert program.is_file()
    await task


async def test_a_cancelled_install_ends_npm(tmp_path: Path) -> None:
    find = fake(tmp_path / "npm", f"echo $$ > {tmp_path}/pid", "sleep 300")
    task = asyncio.create_task(npm.install("codex", folder=tmp_path / "clis", find=find))
    async with asyncio.timeout(20):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not list(tmp_path.glob("clis/codex/fetching-*"))


async def test_without_npm_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(BackendFailed, match=r"there is no npm; install Node.js 20 or newer"):
        await npm.install("codex", folder=tmp_path, find=lambda: None)


async def test_what_npm_says_is_told_in_one_line(tmp_path: Path) -> None:
    words = [
        "npm warn something old",
        "npm error code E404",
        "npm error 404 Not Found",
        "npm error A complete log of this run can be found in: /x",
    ]
    find = fake(tmp_path / "npm", *(f"echo '{word}' >&2" for word in words), "exit 1")
    with pytest.raises(BackendFailed) as caught:
        await npm.install("codex", folder=tmp_path, find=find)
    told = str(caught.value.fields["problem"])
    version = npm.PACKAGES["codex"].version
    assert told == f"npm could not install @openai/codex {version}: code E404 404 Not Found"


async def test_a_package_without_the_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendFailed, match=r"has no .bin/codex"):
        await npm.install("codex", folder=tmp_path, find=fake(tmp_path / "npm", MAKES))


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "clis").touch()
    with pytest.raises(BackendFailed, match="cannot be installed in"):
        await npm.install("codex", folder=tmp_path / "clis", find=good(tmp_path / "npm"))


async def test_npm_is_not_shown_the_owners_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the-owners-key")
    monkeypatch.setenv("npm_config_fund", "false")
    find = fake(tmp_path / "npm", f"env > {tmp_path}/env", "exit 1")
    with pytest.raises(BackendFailed):
        await npm.install("codex", folder=tmp_path / "clis", find=find)
    seen = (tmp_path / "env").read_text()
    assert "the-owners-key" not in seen
    assert "npm_config_fund=false" in seen


async def test_the_real_package_is_the_pinned_version_and_can_be_run() -> None:
    program = await installed("codex")
    package = json.loads((program.parent.parent / "@openai/codex/package.json").read_text())
    assert package["version"] == npm.PACKAGES["codex"].version
    assert program.stat().st_mode & stat.S_IXUSR
