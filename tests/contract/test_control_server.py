"""The control socket: it answers, it refuses, and no client can disturb it."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agentos.config import Config
from agentos.control import wire
from agentos.control.client import ControlClient
from agentos.control.link import Link
from agentos.control.peer import Peer
from agentos.control.server import ControlServer
from agentos.errors import (
    AgentosError,
    AlreadyRunning,
    BadRequest,
    DaemonUnreachable,
    HomeUnusable,
    NotFound,
)
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.store.database import Database

Answer = dict[str, Any]


class Extras:
    """Operations as the daemon adds them."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.finished: list[str] = []

    async def greet(self, *, peer: Peer, name: str) -> Answer:
        for number in range(3):
            await peer.push("tick", number=number)
        return {"hello": name}

    async def watch(self, *, peer: Peer) -> Answer:
        peer.on_close(self.gone.set)
        return {}

    async def slow(self, **_: Any) -> Answer:
        await asyncio.sleep(0.2)
        self.finished.append("slow")
        return {"slow": True}

    async def broken(self, **_: Any) -> Answer:
        raise RuntimeError("the secret is 42")

    async def huge(self, **_: Any) -> Answer:
        return {"text": "x" * wire.LINE_LIMIT}


@pytest.fixture
def extras() -> Extras:
    return Extras()


@pytest.fixture
async def server(
    home: Home, database: Database, clock: VirtualClock, extras: Extras
) -> AsyncIterator[ControlServer]:
    named = {f"x.{name}": getattr(extras, name) for name in ("greet", "watch", "slow", "broken")}
    server = ControlServer(
        home,
        database=database,
        clock=clock,
        config=Config(),
        extra={**named, "x.huge": extras.huge},
    )
    await server.start()
    yield server
    await server.close()


async def raw(home: Home, *lines: bytes, hang_up: bool = True) -> list[Answer]:
    """Send bytes as they are, and read all that comes until the other side closes."""
    reader, writer = await asyncio.open_unix_connection(str(home.socket), limit=wire.LINE_LIMIT)
    try:
        for line in lines:
            writer.write(line)
        await writer.drain()
        if hang_up:
            writer.write_eof()
        answers = (await asyncio.wait_for(reader.read(), 10)).splitlines()
    finally:
        writer.close()
    return [json.loads(answer) for answer in answers]


def ask(home: Home, op: str, **params: Any) -> Any:
    with ControlClient(home.socket) as client:
        return client.call(op, **params)


async def asked(home: Home, op: str, **params: Any) -> Any:
    return await asyncio.to_thread(ask, home, op, **params)


@pytest.mark.usefixtures("server")
async def test_operations_on_the_rows_are_answered(home: Home) -> None:
    made = await asked(home, "job.add", title="T", prompt="P")
    assert made["job"]["id"] == 1
    assert [job["title"] for job in (await asked(home, "job.list"))["jobs"]] == ["T"]


@pytest.mark.usefixtures("server")
async def test_a_write_wakes_those_who_listen_to_the_rows(home: Home, database: Database) -> None:
    changed = database.listen()
    await asked(home, "job.list")
    assert not changed.is_set()
    await asked(home, "job.add", title="T", prompt="P")
    assert changed.is_set()


@pytest.mark.usefixtures("server")
async def test_only_the_owner_of_the_home_may_connect(home: Home) -> None:
    assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "garbage", [b"hello\n", b"[]\n", b"{}}\n", b"\x00\xff\n", b"GET / HTTP/1.1\r\n\r\n"]
)
async def test_garbage_gets_a_clear_error_and_is_hung_up_on(home: Home, garbage: bytes) -> None:
    answers = await raw(home, garbage, hang_up=False)
    assert answers[-1]["error"]["kind"] == "BadRequest"
    assert (await asked(home, "job.list"))["jobs"] == []


@pytest.mark.usefixtures("server")
async def test_an_endless_line_ends_the_connection_and_nothing_else(home: Home) -> None:
    reader, writer = await asyncio.open_unix_connection(str(home.socket))
    with pytest.raises(ConnectionError):
        for _ in range(40):
            writer.write(b"x" * 1024 * 1024)
            await writer.drain()
    writer.close()
    assert reader is not None
    assert (await asked(home, "job.list"))["jobs"] == []


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"id": 1}, 'needs an "op"'),
        ({"id": 1, "op": 7}, 'needs an "op"'),
        ({"id": 1, "op": "job.list", "params": []}, 'needs an "op"'),
        ({"id": 1, "op": "job.lst"}, "there is no operation 'job.lst'"),
        ({"id": 1, "op": "job.list", "params": {"no": 1}}, "does not know no"),
        ({"id": 1, "op": "x.greet"}, "missing a required argument: 'name'"),
        ({"id": 1, "op": "x.greet", "params": {"name": "a", "b": 1}}, "'b'"),
    ],
)
async def test_a_wrong_request_says_what_is_wrong(home: Home, request_: Answer, words: str) -> None:
    (answer,) = await raw(home, json.dumps(request_).encode() + b"\n")
    assert answer["id"] == 1
    assert answer["error"]["kind"] == "BadRequest"
    assert words in answer["error"]["message"]


@pytest.mark.usefixtures("server")
async def test_a_client_that_only_sends_still_gets_its_answers(home: Home) -> None:
    lines = [json.dumps({"id": number, "op": "x.slow"}).encode() + b"\n" for number in range(5)]
    answers = await raw(home, *lines)
    assert sorted(answer["id"] for answer in answers) == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("server")
async def test_what_a_vanished_client_asked_for_is_finished(home: Home, extras: Extras) -> None:
    _, writer = await asyncio.open_unix_connection(str(home.socket))
    writer.write(b'{"id": 1, "op": "x.slow"}\n')
    await writer.drain()
    writer.close()
    await asyncio.sleep(0.5)
    assert extras.finished == ["slow"]


@pytest.mark.usefixtures("server")
async def test_a_fault_inside_is_logged_and_not_told(home: Home) -> None:
    with pytest.raises(AgentosError) as raised:
        await asked(home, "x.broken")
    assert "42" not in str(raised.value)
    assert (await asked(home, "job.list"))["jobs"] == []


@pytest.mark.usefixtures("server")
async def test_an_answer_that_is_too_long_becomes_an_error(home: Home) -> None:
    with pytest.raises(BadRequest, match="more than the socket carries"):
        await asked(home, "x.huge")


@pytest.mark.usefixtures("server")
async def test_events_reach_the_one_who_asked(home: Home) -> None:
    link = await Link.open(home.socket)
    assert await link.call("x.greet", name="ada") == {"hello": "ada"}
    numbers = [(await link.events.get() or {})["number"] for _ in range(3)]
    assert numbers == [0, 1, 2]
    await link.close()


@pytest.mark.usefixtures("server")
async def test_calls_on_one_link_run_side_by_side(home: Home) -> None:
    link = await Link.open(home.socket)
    slow = asyncio.create_task(link.call("x.slow"))
    assert (await link.call("job.list"))["jobs"] == []
    assert not slow.done()
    assert await slow == {"slow": True}
    await link.close()


@pytest.mark.usefixtures("server")
async def test_the_daemon_notices_when_a_peer_hangs_up(home: Home, extras: Extras) -> None:
    link = await Link.open(home.socket)
    await link.call("x.watch")
    await link.close()
    await asyncio.wait_for(extras.gone.wait(), 5)


async def test_a_link_tells_when_the_daemon_goes_away(home: Home, server: ControlServer) -> None:
    link = await Link.open(home.socket)
    slow = asyncio.create_task(link.call("x.slow"))
    await asyncio.sleep(0.05)
    await server.close()
    # What was asked before is still answered; what is asked after is not.
    assert await slow == {"slow": True}
    assert await link.events.get() is None
    with pytest.raises(DaemonUnreachable):
        await link.call("job.list")
    await link.close()
    assert not home.socket.exists()


@pytest.mark.usefixtures("server")
async def test_errors_arrive_as_what_they_are(home: Home) -> None:
    with pytest.raises(NotFound, match="There is no job 7"):
        await asked(home, "job.show", job=7)


async def test_the_socket_of_a_killed_daemon_is_replaced(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(home.socket))
    left.close()
    with pytest.raises(DaemonUnreachable, match="nobody listens"):
        await asked(home, "job.list")
    server = ControlServer(home, database=database, clock=clock, config=Config())
    await server.start()
    assert (await asked(home, "job.list"))["jobs"] == []
    await server.close()


async def test_a_second_server_leaves_the_first_alone(
    home: Home, database: Database, clock: VirtualClock, server: ControlServer
) -> None:
    with pytest.raises(AlreadyRunning):
        await ControlServer(home, database=database, clock=clock, config=Config()).start()
    assert (await asked(home, "job.list"))["jobs"] == []


async def test_a_place_where_no_socket_can_be_made_is_told(
    tmp_path: Path, database: Database, clock: VirtualClock
) -> None:
    server = ControlServer(Home(tmp_path / "m"), database=database, clock=clock, config=Config())
    with pytest.raises(HomeUnusable, match="no socket can be made"):
        await server.start()


async def test_a_deep_home_still_gets_a_socket(
    tmp_path: Path, database: Database, clock: VirtualClock
) -> None:
    deep = Home(tmp_path / ("d" * 120))
    deep.make()
    server = ControlServer(deep, database=database, clock=clock, config=Config())
    await server.start()
    assert (await asked(deep, "job.list"))["jobs"] == []
    await server.close()
    assert not os.path.lexists(deep.socket)


async def test_a_daemon_that_is_not_there_is_unreachable(home: Home) -> None:
    with pytest.raises(DaemonUnreachable, match="agentos up"):
        await asked(home, "job.list")


async def test_a_silent_daemon_does_not_hold_its_client_forever(home: Home) -> None:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(home.socket))
    listening.listen()
    client = ControlClient(home.socket, patience=timedelta(seconds=0.2))
    with pytest.raises(DaemonUnreachable, match="look before you repeat"):
        await asyncio.to_thread(client.call, "job.list")
    client.close()
    listening.close()
