"""Receiving on Telegram: stored before it is confirmed, from the owner alone, whatever happens."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from agentos.channels.telegram.polling import Poller
from agentos.domain.states import CardState
from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import TelegramUser
from agentos.store import cards
from agentos.store.database import Database
from tests.telegram_room import TelegramRoom, free_port, until


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
    async with TelegramUser(bot.url) as user:
        yield user


@pytest.fixture
async def room(database: Database, bot: StandinProcess) -> AsyncIterator[TelegramRoom]:
    async with TelegramRoom(database, bot.url) as room:
        yield room


async def test_a_message_is_stored_and_acknowledged(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    sent = await owner.say("hello there")
    message = await room.message("hello there")
    assert message.conversation == "telegram:7001"
    assert message.external_id == str(sent.update_id)
    assert message.external_message_id == str(sent.message_id)
    view = await owner.wait_until(
        lambda view: view.messages[-1].reactions == ["👀"] and view.action == "typing"
    )
    assert view.messages[-1].text == "hello there"


@pytest.mark.parametrize(
    "text", ["🙂🙃👩‍👩‍👧‍👦", "שלום עולם، مرحبا", "/help", "x" * 100_000, "a\nb\t<b>&"]
)
async def test_text_is_stored_as_it_was_typed(
    room: TelegramRoom, owner: TelegramUser, text: str
) -> None:
    await owner.say(text)
    assert (await room.message(text)).attachments == []


async def test_a_reply_and_a_forward_are_told(room: TelegramRoom, owner: TelegramUser) -> None:
    first = await owner.say("first")
    await owner.say("as I said", reply_to=first.message_id)
    await owner.say("wire me money", forward="A Prince")
    assert (await room.message("as I said")).reply_to_external_id == str(first.message_id)
    forwarded = await room.message("wire me money")
    assert forwarded.attachments == [{"kind": "forward", "from": "A Prince"}]


async def test_a_redelivered_update_changes_nothing(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    await owner.say("only once")
    await room.message("only once")
    await owner.duplicate()
    await owner.say("marker")
    await room.message("marker")
    assert [one.text for one in await room.received()] == ["only once", "marker"]


async def test_an_update_is_stored_before_its_offset_is_confirmed(
    database: Database, bot: StandinProcess, owner: TelegramUser
) -> None:
    """The process ends right after the commit: the update comes again and changes nothing."""
    sent = await owner.say("precious")
    room = TelegramRoom(database, bot.url)
    # Everything after the first answer hangs, so nothing can be confirmed any more.
    async with room:
        await owner.plan_fault("hang", method="setMessageReaction", seconds=3600)
        await room.message("precious")
        asked = [one.params.get("offset") for one in await owner.calls(method="getUpdates")]
    assert str(sent.update_id + 1 if sent.update_id else "") not in [str(one) for one in asked]

    async with TelegramRoom(database, bot.url) as again:
        await owner.say("next")
        await again.message("next")
        assert [one.text for one in await again.received()] == ["precious", "next"]
    answers = [one.params.get("offset") for one in await owner.calls(method="getUpdates")]
    assert answers[len(asked)] in (None, "", 0)  # the new process began without an offset


async def test_an_update_that_cannot_be_stored_stays_with_telegram(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    room.desk.full_disk = True
    await owner.say("one")
    await owner.say("two")
    await until(lambda: _true(bool(room.announced)))
    assert await room.received() == []
    await asyncio.sleep(1)
    assert len(room.announced) == 1
    assert "disk is full" in room.announced[0]
    room.desk.full_disk = False
    await room.message("two")
    assert [one.text for one in await room.received()] == ["one", "two"]
    await until(lambda: _true(room.announced[-1] == "Telegram: connected again."))


async def test_an_update_that_breaks_us_does_not_stop_those_after_it(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    room.desk.poison = "poison"
    await owner.say("poison")
    await owner.say("fine")
    await room.message("fine")
    assert [one.text for one in await room.received()] == ["fine"]


async def test_an_edit_reaches_a_message_that_is_not_handled(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    sent = await owner.say("buy mlik")
    await room.message("buy mlik")
    await owner.edit(sent.message_id, text="buy milk")
    await room.message("buy milk")
    assert len(await room.received()) == 1


async def test_a_tap_answers_the_card_and_is_answered(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    card_id = await room.ask("Shall I?", options=["Yes", "No"])
    await owner.wait_for_button("Yes")
    first = await owner.tap("Yes")
    assert await _toast(owner, first.tap_id) == "Noted."
    second = await owner.tap("No")
    assert await _toast(owner, second.tap_id) == "That was answered before."
    card = await room.database.query(lambda c: cards.get(c, card_id))
    assert (card.state, card.answer, card.answered_via) == (CardState.answered, "yes", "telegram")


@pytest.mark.parametrize("data", ["card:7", "card:x:go", "card::", "hello", "card:²:go"])
async def test_an_odd_button_gets_kind_words(
    room: TelegramRoom, owner: TelegramUser, data: str
) -> None:
    row_id = await room.say("?", key="odd", buttons=[[{"label": "Odd", "data": data}]])
    await room.sent(row_id)
    tap = await owner.tap("Odd")
    assert await _toast(owner, tap.tap_id) == "I don't know this button any more."
    assert room.desk.taps == []


async def test_a_card_that_is_gone_gets_words_too(room: TelegramRoom, owner: TelegramUser) -> None:
    row_id = await room.say("?", key="gone", buttons=[[{"label": "Go", "data": "card:999:go"}]])
    await room.sent(row_id)
    tap = await owner.tap("Go")
    assert "There is no card 999" in await _toast(owner, tap.tap_id)


async def test_a_tap_by_a_stranger_is_refused(
    room: TelegramRoom, owner: TelegramUser, bot: StandinProcess
) -> None:
    await room.ask("Shall I?", options=["Yes", "No"])
    shown = await owner.wait_for_button("Yes")
    async with TelegramUser(bot.url, user_id=666, chat_id=7001) as stranger:
        tap = await stranger.tap("Yes", message_id=shown.message_id)
        assert await _toast(owner, tap.tap_id) == "Sorry, this is not for you."
    assert room.desk.taps == []


async def test_groups_are_left_alone(
    room: TelegramRoom, owner: TelegramUser, bot: StandinProcess
) -> None:
    async with TelegramUser(bot.url, user_id=7001, chat_id=-500) as in_group:
        await in_group.say("hello group")
        await owner.say("hello you")
        await room.message("hello you")
        assert [one.text for one in await room.received()] == ["hello you"]
        assert len((await in_group.chat()).messages) == 1


async def test_another_poller_is_told_once_and_taken_over_from(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    await until(lambda: _true(room.channel.status == "connected"))
    await owner.plan_fault("409", method="getUpdates", times=3)
    await owner.say("wake up")
    await room.message("wake up")
    await owner.say("and now?")
    await room.message("and now?")
    await until(lambda: _true(room.channel.status == "connected"))
    told = [one for one in room.announced if "another program" in one]
    assert len(told) == 1
    assert room.announced[-1] == "Telegram: connected again."


async def test_a_webhook_that_is_in_the_way_is_taken_off(
    database: Database, bot: StandinProcess, owner: TelegramUser
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        hook = {"url": f"http://127.0.0.1:{free_port()}/hook"}
        answer = await client.post(f"{bot.url}/bot1000001:stand-in/setWebhook", json=hook)
        assert answer.json()["ok"], answer.text
    async with TelegramRoom(database, bot.url) as room:
        await owner.say("hello")
        await room.message("hello")


@pytest.mark.parametrize("kind", ["500", "502", "drop_before", "drop_after", "429", "401"])
async def test_a_poll_that_fails_loses_nothing(
    room: TelegramRoom, owner: TelegramUser, kind: str
) -> None:
    await owner.plan_fault(kind, method="getUpdates", times=2, retry_after=1)
    await owner.say("one")
    await owner.say("two")
    await room.message("two")
    assert [one.text for one in await room.received()] == ["one", "two"]


async def test_a_server_that_is_down_is_waited_for(database: Database) -> None:
    port = free_port()
    async with TelegramRoom(database, f"http://127.0.0.1:{port}") as room:
        assert "I keep trying" in await room.channel.check()
        row_id = await room.say("are you there?", key="early")
        await asyncio.sleep(1)
        assert (await room.row(row_id)).attempts > 1
        bot = await StandinProcess.start("bot", args=["--port", str(port)])
        async with bot, TelegramUser(bot.url) as owner:
            await owner.wait_for("^are you there")
            assert not (await room.sent(row_id)).uncertain
            await owner.say("back again")
            await room.message("back again")
            await until(lambda: _true(room.announced))
            assert room.announced == ["Telegram: connected again."]


async def test_an_unreadable_update_does_not_hide_the_others(
    database: Database, bot: StandinProcess, owner: TelegramUser
) -> None:
    """A server speaks a dialect: one update lacks what the library needs."""
    first = await owner.say("readable")
    async with TelegramRoom(database, bot.url) as room:
        await room.message("readable")
        polls = room.channel._connection.polls
        good = {"message_id": 9, "date": 1, "chat": {"id": 7001, "type": "private"}}
        sender = {"id": 7001, "is_bot": False, "first_name": "O"}
        number = (first.update_id or 0) + 1000
        polls.last_reply = json.dumps(
            {
                "ok": True,
                "result": [
                    {"update_id": number, "message": {"odd": True}},
                    {"update_id": number + 1, "message": {**good, "from": sender, "text": "hi"}},
                ],
            }
        ).encode()
        assert isinstance(room.channel._receiver, Poller)
        updates = room.channel._receiver._readable()
    assert [one.update_id for one in updates] == [number, number + 1]
    assert updates[0].message is None
    assert updates[1].message is not None and updates[1].message.text == "hi"


async def _true(value: object) -> object:
    return value


async def _toast(user: TelegramUser, tap_id: str | None) -> str:
    assert tap_id is not None
    view = await user.wait_until(lambda view: tap_id in view.answers)
    return view.answers[tap_id].text
