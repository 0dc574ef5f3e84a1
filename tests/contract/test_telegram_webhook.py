"""Telegram brings the messages itself: kept before it is told so, and from nobody else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from agentos.control.health import Health
from agentos.domain.clock import SystemClock
from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import TelegramUser
from agentos.store.database import Database
from tests.telegram_room import TOKEN, TelegramRoom, free_port, until

_SECRET = "X-Telegram-Bot-Api-Secret-Token"


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    started = StandinProcess.start_blocking("bot")
    yield started
    started.stop_blocking()


@pytest.fixture
async def owner(standin: StandinProcess) -> AsyncIterator[TelegramUser]:
    async with TelegramUser(standin.url) as owner:
        await owner.reset()
        yield owner


@pytest.fixture
async def room(
    database: Database, standin: StandinProcess, owner: TelegramUser
) -> AsyncIterator[TelegramRoom]:
    address = f"127.0.0.1:{free_port()}"
    async with TelegramRoom(database, standin.url, webhook=address) as room:
        await until(lambda: _is(room.channel.status == "connected"))
        yield room


async def _is(value: object) -> object:
    return value


async def test_messages_are_brought_in_order_and_each_once(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    for number in range(5):
        await owner.say(f"number {number}")
    await room.message("number 4")
    await owner.duplicate()
    await owner.say("marker")
    await room.message("marker")
    said = [one.text for one in await room.received()]
    assert said == [*(f"number {number}" for number in range(5)), "marker"]
    (call,) = await owner.calls(method="setWebhook")
    assert call.params["allowed_updates"] == ["message", "edited_message", "callback_query"]
    assert not await owner.calls(method="getUpdates")


async def test_a_message_that_cannot_be_kept_is_brought_again(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    room.desk.full_disk = True
    await owner.say("precious")
    await until(lambda: _is(room.announced))
    assert "disk is full" in room.announced[0]
    assert await room.received() == []
    room.desk.full_disk = False
    await room.message("precious")
    await until(lambda: _is(room.announced[-1] == "Telegram: connected again."))
    assert len(room.announced) == 2


async def test_nobody_else_can_bring_anything(room: TelegramRoom, owner: TelegramUser) -> None:
    (call,) = await owner.calls(method="setWebhook")
    known = {_SECRET: str(call.params["secret_token"])}
    update = {"update_id": 1, "message": {"text": "open the door"}}
    async with httpx.AsyncClient(trust_env=False) as client:
        url = room.settings.webhook_url

        async def post(body: bytes, headers: dict[str, str]) -> int:
            return (await client.post(url, content=body, headers=headers)).status_code

        assert (await client.post(url, json=update)).status_code == 403
        assert await post(b"{}", {_SECRET: "guess"}) == 403
        assert await post(b"not json", known) == 400
        assert await post(b"[" * 100_000, known) == 400
        assert await post(b"[1]", known) == 400
        assert await post(b'{"update_id": 1, "message": {"odd": true}}', known) == 200
        assert (await client.get(url)).status_code == 405
    assert await _status_of_a_long_call(room, secret=known[_SECRET]) == b"413"
    assert await room.received() == []
    await owner.say("still there")
    await room.message("still there")


async def _status_of_a_long_call(room: TelegramRoom, *, secret: str) -> bytes:
    """The body is never sent: it is refused before anybody reads it."""
    address = urlsplit(room.settings.webhook_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST /hook HTTP/1.1\r\nHost: x\r\n{_SECRET}: {secret}\r\n"
    writer.write(f"{head}Content-Length: 2000000\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return line.split()[1]


async def test_polling_takes_over_from_a_webhook_and_the_other_way_round(
    database: Database, standin: StandinProcess, owner: TelegramUser
) -> None:
    address = f"127.0.0.1:{free_port()}"
    async with TelegramRoom(database, standin.url, webhook=address) as room:
        await owner.say("by webhook")
        await room.message("by webhook")
    await owner.say("by poll")
    async with TelegramRoom(database, standin.url) as room:
        await room.message("by poll")
    await owner.say("by webhook again")
    async with TelegramRoom(database, standin.url, webhook=address) as room:
        await room.message("by webhook again")
    assert len(await room.received()) == 3


async def test_who_asks_how_it_goes_is_told(room: TelegramRoom, database: Database) -> None:
    assert room.listener is not None
    channels = {"telegram": room.channel}
    health = Health(database, clock=SystemClock(), channels=channels, model_source="none")
    await room.say("nobody is there", key="stuck", conversation="slate:1")
    is_well, told = await health.look()
    assert (is_well, told["channels"], told["unsaid"]) == (True, {"telegram": "connected"}, 1)
    assert TOKEN not in str(told) and told["unsaid_seconds"] >= 0
    room.channel._standing.trouble("it cannot be reached")
    is_well, told = await health.look()
    assert not is_well and "cannot be reached" in told["channels"]["telegram"]
