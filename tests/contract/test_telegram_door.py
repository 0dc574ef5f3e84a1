"""The door of the Telegram channel: pairing, strangers, wrong tokens."""

from collections.abc import AsyncIterator, Iterator

import pytest

from agentos.domain.people import Role
from agentos.errors import Misconfigured
from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import TelegramUser
from agentos.store.database import Database
from tests.telegram_room import CODE, TelegramRoom, until


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    started = StandinProcess.start_blocking("bot")
    yield started
    started.stop_blocking()


@pytest.fixture
async def bot(standin: StandinProcess) -> StandinProcess:
    async with TelegramUser(standin.url) as user:
        await user.reset()
    return standin


@pytest.fixture
async def owner(bot: StandinProcess) -> AsyncIterator[TelegramUser]:
    async with TelegramUser(bot.url, name="Ada") as user:
        yield user


@pytest.fixture
async def unpaired(database: Database, bot: StandinProcess) -> AsyncIterator[TelegramRoom]:
    async with TelegramRoom(database, bot.url, owner_id=None) as room:
        yield room


@pytest.mark.parametrize("words", [f"/start {CODE}", CODE, "482913", " 482 913 "])
async def test_the_code_pairs(unpaired: TelegramRoom, owner: TelegramUser, words: str) -> None:
    await owner.say(words)
    await owner.wait_for("Ada.*We're paired")
    await owner.say("hello")
    await unpaired.message("hello")
    assert [one.text for one in await unpaired.received()] == ["hello"]
    assert [(one.external_id, one.role) for one in await unpaired.people()] == [
        ("7001", Role.owner)
    ]


async def test_the_pairing_survives_a_restart_and_its_redelivery(
    database: Database, bot: StandinProcess, owner: TelegramUser
) -> None:
    async with TelegramRoom(database, bot.url, owner_id=None) as room:
        await owner.say(CODE)
        await owner.wait_for("We're paired")
    await owner.duplicate()
    async with TelegramRoom(database, bot.url, owner_id=None) as room:
        await owner.say("hello")
        await room.message("hello")
        assert [one.text for one in await room.received()] == ["hello"]
        assert len(await room.all_said()) == 1


async def test_a_stranger_gets_one_hint_ever(
    database: Database, bot: StandinProcess, owner: TelegramUser
) -> None:
    async with (
        TelegramUser(bot.url, user_id=666, name="Mallory") as stranger,
        TelegramRoom(database, bot.url) as room,
    ):
        await stranger.say("hi")
        await stranger.wait_for("can't help you here")
        await stranger.say("let me in")
        await stranger.send_file("evil.exe", content=b"x")
        await owner.say("marker")
        await room.message("marker")
        assert [one.text for one in await room.received()] == ["marker"]
    async with (
        TelegramUser(bot.url, user_id=666, name="Mallory") as stranger,
        TelegramRoom(database, bot.url) as room,
    ):
        await stranger.say(CODE)
        await owner.say("marker 2")
        await room.message("marker 2")
        said = [one for one in (await stranger.chat()).messages if one.by == "bot"]
        assert len(said) == 1
        people = {one.external_id: one for one in await room.people()}
        assert people["666"].role is Role.stranger
        assert people["666"].name == "Mallory"
        assert people["7001"].role is Role.owner


async def test_five_wrong_codes_are_the_last(
    unpaired: TelegramRoom, owner: TelegramUser, bot: StandinProcess
) -> None:
    async with TelegramUser(bot.url, user_id=666) as stranger:
        for number in range(5):
            await stranger.say(f"/start 00000{number}")
        await stranger.say(CODE)
        await stranger.wait_for("pairing code")
        await owner.say(CODE)
        await owner.wait_for("We're paired")
    roles = {one.external_id: one.role for one in await unpaired.people()}
    assert roles == {"666": Role.stranger, "7001": Role.owner}


async def test_talking_is_not_trying(unpaired: TelegramRoom, owner: TelegramUser) -> None:
    for _ in range(7):
        await owner.say("what is this?")
    await owner.wait_for("pairing code")
    await owner.say(CODE)
    await owner.wait_for("We're paired")


async def test_the_code_is_worth_nothing_once_there_is_an_owner(
    unpaired: TelegramRoom, owner: TelegramUser, bot: StandinProcess
) -> None:
    await owner.say(CODE)
    await owner.wait_for("We're paired")
    async with TelegramUser(bot.url, user_id=666) as thief:
        await thief.say(CODE)
        await thief.wait_for("can't help you here")
    assert unpaired.channel.owner == 7001


async def test_a_token_that_the_server_does_not_know_is_told_in_one_line(
    database: Database, bot: StandinProcess
) -> None:
    room = TelegramRoom(database, bot.url, token="1000001:wrong")
    with pytest.raises(Misconfigured, match=r"telegram\.token: .* does not know .*@BotFather"):
        await room.channel.check()
    await room.channel.close()


@pytest.mark.parametrize("token", ["", "with space", "a/b", "line\nbreak"])
def test_what_cannot_be_a_token_is_told_in_one_line(database: Database, token: str) -> None:
    with pytest.raises(Misconfigured, match="does not look like a bot token"):
        TelegramRoom(database, "http://127.0.0.1:9", token=token)


async def test_the_menu_shows_the_commands(unpaired: TelegramRoom, owner: TelegramUser) -> None:
    assert unpaired.channel.pairing_link("123456") is None
    assert await unpaired.channel.check() == "Telegram: @agentos_standin_bot"
    link = "https://t.me/agentos_standin_bot?start=123456"
    assert unpaired.channel.pairing_link("123456") == link

    async def called() -> object:
        return await owner.calls(method="setMyCommands")

    (call,) = await until(called)
    names = [one["command"] for one in call.params["commands"]]
    first = ["help", "status", "jobs", "job", "stop", "cards", "project", "projects", "plan"]
    more = ["remember", "forget", "why", "briefing", "cost", "quiet", "pause", "resume", "new"]
    assert names == first + more
