"""Reminders: they arrive when the time has come, also when nobody was at home then."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.scenarios.lines import decides
from tests.stage import Stage


async def reminders(stage: Stage) -> list[str]:
    return [text for text in await stage.said() if text.startswith("⏰")]


async def test_a_reminder_arrives_when_its_time_has_come(live: Stage) -> None:
    await live.user.say("remind me in 20 minutes to stretch")
    await live.user.wait_for("I'll remind you")
    await live.user.say("/status")
    status = await live.user.wait_for("Reminders: 1")
    assert await reminders(live) == []
    await live.advance(timedelta(minutes=19))
    assert await reminders(live) == []
    await live.advance(timedelta(minutes=1, seconds=5))
    await live.user.wait_for("⏰ Stretch", after=status.message_id)
    await live.advance(timedelta(hours=1))
    await live.user.say("/jobs")
    await live.user.wait_for("✅ .*Stretch")
    assert await reminders(live) == ["⏰ Stretch"]


async def test_a_reminder_that_came_due_while_the_daemon_was_down_arrives_at_its_start(
    live: Stage,
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=15)).isoformat()
    await live.model.add_rules([decides("ring the bell", "defer", reminder="Ring it", at=soon)])
    await live.user.say("ring the bell")
    await live.user.wait_for("I'll remind you")
    await live.stop()
    assert await reminders(live) == []
    await asyncio.sleep((datetime.fromisoformat(soon) - datetime.now(UTC)).total_seconds())
    await live.start()
    await live.user.wait_for("⏰ Ring it")
    assert await reminders(live) == ["⏰ Ring it"]


async def test_a_reminder_survives_a_kill(live: Stage) -> None:
    await live.user.say("remind me in 20 minutes to stretch")
    await live.user.wait_for("I'll remind you")
    await live.kill()
    await live.start()
    await live.advance(timedelta(minutes=21))
    await live.user.wait_for("⏰ Stretch")


async def test_a_time_that_is_past_is_asked_about(live: Stage) -> None:
    past = "2020-01-01T09:00:00+01:00"
    await live.model.add_rules(
        [decides("remind me in 2020", "defer", reminder="Look back", at=past)]
    )
    await live.user.say("remind me in 2020")
    card = await live.user.wait_for_button("Tomorrow at 9:00")
    assert "not ahead of us" in card.text
    await live.user.tap("In an hour")
    await live.user.wait_for("I'll remind you")
