"""The other backends as the daemon has them: keys stay home, what is missing says so."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentos.backends.cli_backend import CliBackend
from agentos.backends.codex import CodexDialect
from agentos.backends.reach import Reach
from agentos.backends.roster import Roster
from agentos.config import Config
from agentos.errors import BackendMissing
from agentos.loopback.process import LoopbackProcess
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from tests.cli_room import CliRoom, ended, installed, take, turn

KEY = "sk-this-is-the-real-one"


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    made = StandinProcess.start_blocking("responses")
    yield made
    made.stop_blocking()


@asynccontextmanager
async def roster(tmp_path: Path, known: dict[str, str], **settings: Any) -> AsyncIterator[Roster]:
    """The roster of a configuration."""
    servers: list[LoopbackProcess] = []

    async def keep_alive(server: LoopbackProcess, name: str) -> None:
        servers.append(server)

    made = Roster(Config(**settings), folder=tmp_path / "backends")
    try:
        await made.open(known=known, keep_alive=keep_alive)
        yield made
    finally:
        await made.close()
        for server in servers:
            await server.stop()


async def test_the_key_stays_with_the_gateway_and_the_cli_works_through_it(
    standin: StandinProcess, tmp_path: Path
) -> None:
    program = await installed("codex")
    codex = {"base_url": standin.url, "command": str(program), "model": "their-model"}
    known = {"OPENAI_API_KEY": KEY}
    async with roster(tmp_path, known, backends={"use": ["codex"]}, codex=codex) as made:
        assert "codex" not in made.missing()
        variables = made.variables()
        assert KEY not in str(variables)
        reach = Reach.of("codex", variables)
        assert reach.url != standin.url
        room = CliRoom("codex", program=program, url=standin.url, tmp_path=tmp_path)
        await room.rules({"when": {"prompt": "hello"}, "turn": [{"blocks": [{"text": "hi"}]}]})
        backend = CliBackend(CodexDialect(reach))
        await backend.open(room.assignment(model=""))
        assert ended(await take(backend, turn("hello"))).text == "hi"
        async with MessagesControl(standin.url) as control:
            assert (await control.requests())[-1].model == "their-model"
        async with httpx.AsyncClient(trust_env=False) as client:
            refused = await client.post(
                f"{reach.url}/responses", json={}, headers={"authorization": "Bearer guessed"}
            )
        assert refused.status_code == 401


@pytest.mark.parametrize(
    "shown",
    [
        {"headers": {"authorization": "Bearer TOKEN"}},
        {"headers": {"x-api-key": "TOKEN"}},
        {"headers": {"x-goog-api-key": "TOKEN"}},
        {"params": {"key": "TOKEN", "alt": "sse"}},
    ],
)
async def test_the_gateway_knows_its_token_wherever_a_cli_shows_it(
    tmp_path: Path, shown: dict[str, dict[str, str]]
) -> None:
    async with await StandinProcess.start("gemini") as standin:
        known = {"GEMINI_API_KEY": KEY}
        gemini = {"base_url": standin.url, "command": "/bin/sh"}
        async with roster(tmp_path, known, backends={"use": ["gemini"]}, gemini=gemini) as made:
            reach = Reach.of("gemini", made.variables())
            options = {
                kind: {name: text.replace("TOKEN", reach.token) for name, text in pairs.items()}
                for kind, pairs in shown.items()
            }
            url = f"{reach.url}/v1beta/models/gemini-x:generateContent"
            body = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.post(url, json=body, **options)  # type: ignore[arg-type]
        assert answer.status_code == 200
        async with MessagesControl(standin.url) as control:
            [seen] = await control.requests()
        assert seen.auth == "x-goog-api-key"
        assert reach.token not in str(seen.headers)


async def test_a_backend_without_a_key_says_which_one(tmp_path: Path) -> None:
    async with roster(tmp_path, {}, backends={"use": ["codex", "gemini"]}) as made:
        problems = made.missing()
    assert problems["codex"].startswith("it has no key; set OPENAI_API_KEY")
    assert problems["gemini"].startswith("it has no key; set GEMINI_API_KEY")
    assert 'use = ["opencode"] under [backends]' in problems["opencode"]
    assert made.variables() == {}


async def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    codex = {"command": "no-such-program", "base_url": "http://127.0.0.1:9"}
    async with roster(tmp_path, {}, backends={"use": ["codex"]}, codex=codex) as made:
        assert made.missing()["codex"].startswith("there is no program no-such-program")


async def test_a_start_does_not_wait_for_npm_and_a_failed_install_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "empty"))
    codex = {"base_url": "http://127.0.0.1:9"}
    async with roster(tmp_path, {}, backends={"use": ["codex"]}, codex=codex) as made:
        assert made.coming() == {"codex": "codex is being installed"}
        assert "codex" not in made.missing()
        async with asyncio.timeout(30):
            await made.installed()
        assert made.coming() == {}
        assert made.missing()["codex"].startswith("npm could not install @openai/codex")
        reach = Reach.of("codex", made.variables())
        with pytest.raises(BackendMissing, match="its CLI is missing"):
            reach.check()


async def test_a_home_that_cannot_be_written_costs_the_backend_alone(tmp_path: Path) -> None:
    (tmp_path / "backends").touch()
    codex = {"base_url": "http://127.0.0.1:9"}
    async with roster(tmp_path, {}, backends={"use": ["codex"]}, codex=codex) as made:
        await made.installed()
        assert "backends" in made.missing()["codex"]


def test_a_worker_whose_backend_is_not_in_use_says_how_to_use_it() -> None:
    with pytest.raises(BackendMissing, match=r'put use = \["codex"\] under \[backends\]'):
        Reach.of("codex", dict(os.environ))
