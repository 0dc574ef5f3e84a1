"""Who is served on Telegram: guests, groups, topics, and what belongs to one message."""

from collections.abc import AsyncIterator, Iterator

import pytest

from agentos.domain.clock import SystemClock
from agentos.domain.people import Audience, Role
from agentos.domain.states import OutboxState
from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import TelegramUser
from agentos.store import knocks, people
from agentos.store.database import Database
from tests.telegram_room import CODE, TelegramRoom, until

GROUP = -100500
ME = "@agentos_standin_bot"


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    started = StandinProcess.start_blocking("bot")
    yield started
    started.stop_blocking()


@pytest.fixture
async def owner(standin: StandinProcess) -> AsyncIterator[TelegramUser]:
    async with TelegramUser(standin.url, name="Ada") as user:
        await user.reset()
        yield user


@pytest.fixture
async def room(
    database: Database, standin: StandinProcess, owner: TelegramUser
) -> AsyncIterator[TelegramRoom]:
    async with TelegramRoom(database, standin.url) as made:
        yield made


def test_a_name_cannot_write_markdown() -> None:
    mallory = people.Person(
        channel="telegram",
        external_id="1",
        name="`*x*`\n[tap](http://evil)",
        username="m`m",
        role=Role.stranger,
    )
    assert knocks.named(mallory) == "`*x* [tap](http://evil) (@mm)`"


async def test_the_owner_is_asked_once_about_a_stranger_and_lets_them_in(
    room: TelegramRoom, owner: TelegramUser, standin: StandinProcess
) -> None:
    async with TelegramUser(standin.url, user_id=55, name="Bea", username="bea") as bea:
        await bea.say("hello?")
        await bea.wait_for("can't help you")
        await bea.say("please")
        asked = await owner.wait_for(r"Somebody knocked: Bea \(@bea\)")
        assert asked.labels == ["Let in as guest", "Ignore"]
        card_id = int(asked.buttons[0].data.split(":")[1])  # type: ignore[union-attr]
        # What the tap means is the front desk's.
        card = await room.database.query(lambda c: knocks.cards.get(c, card_id))
        key = card.options[0]["key"]
        at = SystemClock().now()
        said = await room.database.write(lambda c: knocks.decide(c, card, key, at=at))
        assert "is your guest now" in said
        await bea.wait_for("You may talk with me now")
        await bea.say("thanks")
        message = await room.message("thanks")
        assert message.audience is Audience.guest
        assert message.conversation == "telegram:55"
    knocked = [one for one in await room.all_said() if one.key.startswith("knock:")]
    assert [one.key.partition(":")[2].partition(":")[2] for one in knocked] == ["", "decided"]


async def test_a_crowd_of_strangers_does_not_fill_the_owners_chat(
    room: TelegramRoom, owner: TelegramUser, standin: StandinProcess
) -> None:
    for number in range(8):
        async with TelegramUser(standin.url, user_id=600 + number, name=f"S{number}") as one:
            await one.say("hi")
            await one.wait_for("can't help you")
    listed = [one for one in await room.people() if one.role is Role.stranger]
    assert len(listed) == 8
    asked = [one for one in await room.all_said() if one.key.startswith("knock:")]
    assert len(asked) == 5


async def test_who_guesses_too_often_is_not_heard_for_a_while(
    database: Database, standin: StandinProcess, owner: TelegramUser
) -> None:
    async with (
        TelegramRoom(database, standin.url, owner_id=None) as room,
        TelegramUser(standin.url, user_id=666) as thief,
    ):
        for number in range(5):
            await thief.say(f"/start 00000{number}")
        await thief.say(CODE)
        await owner.say("marker 1")  # takes the place of a wait: updates come in order
        await owner.wait_for("pairing code")
        assert room.channel.owner is None
        await owner.say(f"/start {CODE}")
        await owner.wait_for("We're paired")


async def test_in_a_group_only_those_who_may_are_heard_and_only_when_they_call(
    room: TelegramRoom, standin: StandinProcess
) -> None:
    async with (
        TelegramUser(standin.url, user_id=7001, chat_id=GROUP, name="Ada") as ada,
        TelegramUser(standin.url, user_id=77, chat_id=GROUP, name="Eve") as eve,
    ):
        await ada.say("not for you")
        await eve.say(f"{ME} what does Ada do?")
        await ada.say(f"{ME} hello there")
        called = await room.message("hello there")
        assert (called.audience, called.conversation) == (Audience.shared, f"telegram:{GROUP}")
        row_id = await room.say("Hi all", key="1", conversation=called.conversation)
        shown = int((await room.sent(row_id)).external_id or 0)
        await ada.say("and you?", reply_to=shown)
        await room.message("and you?")
        await ada.say(f"/status{ME}")
        await room.message(f"/status{ME}")
        await ada.say("/status")
        await ada.say(f"and {ME}")
        await room.message("and")
        assert [one.text for one in await room.received()] == [
            "hello there",
            "and you?",
            f"/status{ME}",
            "and",
        ]
        # A stranger in a group is listed, and nobody is bothered.
        eves = [one for one in await room.people() if one.external_id == "77"]
        assert [one.role for one in eves] == [Role.stranger]
        assert {one.conversation for one in await room.all_said()} == {f"telegram:{GROUP}"}


async def test_a_group_of_owner_and_bot_is_as_private_as_their_chat(
    room: TelegramRoom, standin: StandinProcess
) -> None:
    async with TelegramUser(standin.url, user_id=7001, chat_id=GROUP, forum=True, members=2) as ada:
        await ada.say("no need to call", thread_id=9)
        heard = await room.message("no need to call")
    assert (heard.audience, heard.conversation) == (Audience.owner, f"telegram:{GROUP}/9")


async def test_what_is_said_in_a_topic_is_answered_in_it(
    room: TelegramRoom, standin: StandinProcess
) -> None:
    async with TelegramUser(standin.url, user_id=7001, chat_id=GROUP, forum=True, members=2) as ada:
        await ada.say("in the bikes", thread_id=9)
        await ada.say("in general")
        first = await room.message("in the bikes")
        assert (await room.message("in general")).conversation == f"telegram:{GROUP}"

        async def typing() -> object:
            calls = await ada.calls(method="sendChatAction")
            return [one for one in calls if one.params.get("message_thread_id") in (9, "9")]

        await until(typing)
        await room.channel.preview(first, text="half an ans")
        await room.sent(await room.say("there", key="1", conversation=first.conversation))
        shown = [one for one in (await ada.chat()).messages if one.by == "bot"]
        assert {one.thread_id for one in shown} == {9}
        await ada.delete_topic(9)
        lost = await room.say("late", key="2", conversation=first.conversation)
        assert (await room.sent(lost)).state is OutboxState.sent
        fallen = await ada.wait_for("late")
        assert fallen.thread_id is None
        assert fallen.text.startswith("(from a topic that is not there any more)")


async def test_a_topic_of_the_private_chat_is_a_conversation_of_its_own(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    await owner.say("in a topic", thread_id=31)
    assert (await room.message("in a topic")).conversation == "telegram:7001/31"


async def test_an_album_is_one_message_even_when_a_restart_cuts_it(
    database: Database, standin: StandinProcess, owner: TelegramUser
) -> None:
    async with TelegramRoom(database, standin.url) as room:
        await owner.send_file("a.jpg", content=b"a", kind="photo", album="77", caption="our trip")
        await room.message("our trip")
    await owner.duplicate()
    await owner.send_file("b.jpg", content=b"b", kind="photo", album="77")
    await owner.duplicate()
    await owner.send_file("c.pdf", content=b"c", album="77", caption="the bill")
    async with TelegramRoom(database, standin.url) as room:
        album = await room.message("our trip\nthe bill")
        assert [one["name"] for one in album.attachments] == ["photo.jpg", "photo.jpg", "c.pdf"]
        assert len(await room.received()) == 1


async def test_what_others_said_and_what_is_chosen_come_along(
    room: TelegramRoom, owner: TelegramUser, standin: StandinProcess
) -> None:
    async with (
        TelegramUser(standin.url, user_id=7001, chat_id=GROUP) as ada,
        TelegramUser(standin.url, user_id=77, chat_id=GROUP, name="Eve") as eve,
    ):
        sent = await eve.say("the meeting is on Friday")
        await ada.say(f"{ME} when is it?", reply_to=sent.message_id)
        asked = await room.message("when is it?")
        assert asked.attachments == [
            {"kind": "quote", "from": "Eve", "text": "the meeting is on Friday"}
        ]
    row = await room.sent(await room.say("One. Two. Three.", key="1"))
    await owner.say("why?", reply_to=int(row.external_id or 0), quote="Two.")
    (quote,) = (await room.message("why?")).attachments
    assert quote["text"] == "Two."


async def test_the_edit_of_a_guest_does_not_reach_the_owners_message_of_that_number(
    room: TelegramRoom, owner: TelegramUser, standin: StandinProcess
) -> None:
    sent = await owner.say("pay Ana")
    await room.message("pay Ana")
    async with TelegramUser(standin.url, user_id=55, name="Bea") as bea:
        await bea.say("hi")
        await bea.wait_for("can't help")
        (met,) = [one for one in await room.people() if one.external_id == "55"]
        at = met.seen_at
        await room.database.write(lambda c: people.admit(c, met.id or 0, Role.guest, at=at))
        await room.desk.edited(
            channel="telegram",
            external_message_id=str(sent.message_id),
            text="pay Mallory",
            conversation="telegram:55",
        )
    assert [one.text for one in await room.received()] == ["pay Ana"]
