"""A stand-in as a child process: its url, its environment, its end."""

import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from agentos.errors import Misconfigured
from agentos.standins.process import StandinProcess


def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_it_answers_until_it_is_stopped() -> None:
    async with await StandinProcess.start("messages") as standin:
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(standin.url)).status_code == 200
        assert standin.running
    assert not standin.running
    await standin.stop()


async def test_its_environment_holds_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    async with await StandinProcess.start("bot") as standin:
        environment = psutil.Process(standin.pid).environ()
    assert "SOME_TOKEN" not in environment
    allowed = {"PATH", "PYTHONPATH", "HOME", "LANG", "LC_CTYPE", "AGENTOS_LOOPBACK_PORT"}
    assert set(environment) <= allowed


async def test_a_wrong_script_is_told_by_who_starts_it(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"rules": [{"turn": []}]}')
    with pytest.raises(Misconfigured, match=r"rules\[0\].turn"):
        await StandinProcess.start("messages", args=["--script", str(script)])


async def test_a_script_given_at_the_start_is_played(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"rules": [{"turn": [{"blocks": [{"text": "as written"}]}]}]}')
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    standin = await StandinProcess.start("messages", args=["--script", str(script)])
    async with standin, httpx.AsyncClient(trust_env=False) as client:
        url = f"{standin.url}/v1/messages"
        answer = (await client.post(url, json=body, headers={"x-api-key": "k"})).json()
    assert answer["content"][0]["text"] == "as written"


@pytest.mark.parametrize("fork", ["1", "os.fork()"], ids=["alone", "with a fork left behind"])
def test_it_dies_when_its_parent_is_killed(fork: str) -> None:
    # A fork inherits the pipe to the stand-in, which then does not end with the parent.
    program = (
        "import os, time; from agentos.standins.process import StandinProcess;"
        f"standin = StandinProcess.start_blocking('bot'); first = {fork} != 0;"
        "first and print(standin.pid, flush=True); time.sleep(6)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 4
    while not _gone(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _gone(child)


def test_it_stays_small() -> None:
    standin = StandinProcess.start_blocking("messages")
    resident = psutil.Process(standin.pid).memory_info().rss / 2**20
    standin.stop_blocking()
    assert resident < 110
