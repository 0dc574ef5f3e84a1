"""Big work: a plan first, and nothing of it before Go."""

import asyncio

import pytest

from agentos.standins.telegram_user import TelegramUser
from tests.stage import Stage, by_bot

BIG = "plan a weekend in Lisbon"


def counted(said: list[str], words: str) -> int:
    return sum(words in text for text in said)


@pytest.fixture
async def shown(live: Stage) -> Stage:
    """A plan is on the screen."""
    await live.user.say(BIG)
    card = await live.user.wait_for_button("Go")
    assert card.labels == ["Go", "Change", "Drop"]
    assert "Nothing starts before you say Go." in card.text
    return live


async def test_nothing_starts_before_go_and_go_brings_everything(shown: Stage) -> None:
    assert shown.listed("job") == []
    await shown.user.tap("Go")
    ending = await shown.user.wait_for("🏁 All done")
    checked = await shown.user.wait_for(r"^✅ .* · \d+ \w+\n✅ 1\. .*\n✅ 2\. ")
    view = await shown.user.chat()
    assert counted(by_bot(view), "✅ 1. ") == counted(by_bot(view), "🏁") == 1
    assert not checked.buttons and not ending.silent
    files = [one for one in view.messages if one.document is not None]
    assert len(files) == 2 and all(one.silent for one in files)
    first, second = sorted(shown.listed("job"), key=lambda job: int(job["id"]))
    assert {first["state"], second["state"]} == {"done"}
    (plan,) = [one for one in view.messages if "min in all" in one.text]
    assert "▶ Started" in plan.text and not plan.buttons


async def test_a_double_tap_on_go_starts_it_once(shown: Stage) -> None:
    first, second = await asyncio.gather(shown.user.tap("Go"), shown.user.tap("Go"))
    ids = {str(first.tap_id), str(second.tap_id)}
    view = await shown.user.wait_until(lambda view: ids <= set(view.answers))
    assert sorted(view.answers[tap].text for tap in ids) == ["Answered already: Go", "▶ Started"]
    await shown.user.wait_for("🏁 All done")
    assert len(shown.listed("job")) == 2


async def test_change_asks_what_and_shows_a_new_version(shown: Stage) -> None:
    await shown.user.tap("Change")
    await shown.user.wait_for("What should change")
    await shown.user.say("add a list of museums")
    second = await shown.user.wait_for(r"\(version 2\)")
    assert "museums" in second.text and second.labels == ["Go", "Change", "Drop"]
    assert shown.listed("job") == []
    await shown.user.tap("Go", message_id=second.message_id)
    await shown.user.wait_for("🏁 All done")
    assert len(shown.listed("job")) == 3


async def test_drop_ends_it(shown: Stage) -> None:
    await shown.user.tap("Drop")
    await shown.user.wait_for("✕ Dropped")
    await shown.user.say("hello")
    await shown.user.wait_for("Hello")
    assert shown.listed("job") == []


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_buttons_that_die_on_a_restart_do_not_a_tap_after_it_works(
    shown: Stage, end: str
) -> None:
    await (shown.stop() if end == "stop" else shown.kill())
    await shown.user.tap("Go")
    await shown.start()
    await shown.user.wait_for("🏁 All done")
    assert counted(await shown.said(), "🏁") == 1


async def test_a_strangers_tap_does_nothing(shown: Stage) -> None:
    card = await shown.user.wait_for_button("Go")
    async with TelegramUser(shown.far.bot.url, user_id=666, chat_id=7001) as stranger:
        tapped = await stranger.tap(message_id=card.message_id, data=card.buttons[0].data)
        tap_id = str(tapped.tap_id)
        view = await stranger.wait_until(lambda view: tap_id in view.answers)
    assert "not for you" in view.answers[tap_id].text
    assert shown.listed("job") == []
