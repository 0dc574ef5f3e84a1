"""Progress on Telegram: signs at the owner's message, a message that is changed in place."""

from collections.abc import AsyncIterator, Iterator

import pytest

from agentos.domain.progress import Mark
from agentos.domain.talk import Message, Outgoing
from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import ChatMessage, TelegramUser
from agentos.store.database import Database
from tests.telegram_room import TelegramRoom, until

_STOP = [[{"label": "Stop", "data": "job:12:stop"}]]


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    started = StandinProcess.start_blocking("bot")
    yield started
    started.stop_blocking()


@pytest.fixture
async def owner(standin: StandinProcess) -> AsyncIterator[TelegramUser]:
    async with TelegramUser(standin.url) as user:
        await user.reset()
        yield user


@pytest.fixture
async def room(
    database: Database, standin: StandinProcess, owner: TelegramUser
) -> AsyncIterator[TelegramRoom]:
    async with TelegramRoom(database, standin.url) as room:
        yield room


async def _message(room: TelegramRoom, owner: TelegramUser) -> Message:
    await owner.say("write a note")
    return await room.message("write a note")


async def _shown(owner: TelegramUser) -> ChatMessage:
    (one,) = [one for one in (await owner.chat()).messages if one.by == "bot"]
    return one


async def _on_it(room: TelegramRoom) -> Outgoing:
    return await room.sent(await room.say("On it: a note (#12)", key="ack:1", buttons=_STOP))


async def test_every_sign_is_one_that_telegram_takes_and_takes_the_place_of_the_last(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    message = await _message(room, owner)
    seen = []
    for mark in Mark:
        await room.channel.mark(message, mark)
        seen.append((await owner.chat()).messages[0].reactions)
    assert seen == [["👀"], ["👨‍💻"], ["🤔"], ["👍"], ["😢"], ["👌"]]


async def test_a_sign_nobody_can_show_disturbs_nothing(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    message = await _message(room, owner)
    for known in (None, "card:3", "999999"):
        message.external_message_id = known
        await room.channel.mark(message, Mark.done)


async def test_progress_changes_the_message_in_place_and_keeps_its_button(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    row = await _on_it(room)
    text = "⚙ a *note* (#12)\nreading a_b.md · 3 s"
    assert await room.channel.progress(row, text=text)
    shown = await _shown(owner)
    assert (shown.text, shown.labels, shown.entities) == (text, ["Stop"], [])
    await room.say("✅ a note · 1 min", key="end", edits_id=row.id, silent=True)
    ended = await owner.wait_for("✅ a note")
    assert ended.message_id == shown.message_id and not ended.buttons


async def test_progress_leaves_room_for_what_matters(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    row = await _on_it(room)
    took = [await room.channel.progress(row, text=f"⚙ a note\n{number}") for number in range(6)]
    assert took[0] and not all(took)
    assert await room.sent(await room.say("A result.", key="r"), seconds=5)


async def test_a_message_the_owner_deleted_is_left_in_peace(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    row = await _on_it(room)
    gone = row.model_copy(update={"external_id": "4711"})
    assert not await room.channel.progress(gone, text="⚙ a note")
    unsent = row.model_copy(update={"external_id": None})
    assert not await room.channel.progress(unsent, text="⚙ a note")


async def test_a_press_reaches_the_desk_and_is_answered_at_the_button(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    row = await _on_it(room)
    tapped = await owner.tap("Stop")
    view = await owner.wait_until(lambda view: str(tapped.tap_id) in view.answers)
    assert view.answers[str(tapped.tap_id)].text == "Pressed."
    assert room.desk.presses == [(12, "stop", "telegram")]
    shown = int(row.external_id or 0)
    odd = await owner.tap(message_id=shown, data="job:x:stop")
    view = await owner.wait_until(lambda view: str(odd.tap_id) in view.answers)
    assert "don't know this button" in view.answers[str(odd.tap_id)].text


async def test_a_stranger_who_presses_gets_nothing(
    room: TelegramRoom, owner: TelegramUser, standin: StandinProcess
) -> None:
    row = await _on_it(room)
    async with TelegramUser(standin.url, user_id=666, chat_id=7001) as stranger:
        pressed = await stranger.tap(message_id=int(row.external_id or 0), data="job:12:stop")

        async def answered() -> bool:
            return str(pressed.tap_id) in (await stranger.chat()).answers

        await until(answered)
        assert "not for you" in (await stranger.chat()).answers[str(pressed.tap_id)].text
    assert room.desk.presses == []
