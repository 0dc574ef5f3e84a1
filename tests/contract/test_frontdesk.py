"""The front desk with real sessions: the five outcomes, and what a restart makes of them."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from agentos.domain.states import JobState, MessageState
from agentos.domain.work import JobKind
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.process import StandinProcess
from agentos.store.database import Database
from tests.desk_room import DeskRoom

WORK = {
    "outcome": "quick_work",
    "title": "Summary of the report",
    "kind": "writing",
    "prompt": "Summarise the report on one page.",
}


@pytest.fixture
async def room(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[DeskRoom]:
    async with DeskRoom(database, clock=clock, home=home, url=model.url) as made:
        yield made


async def test_a_greeting_is_answered_by_the_chat(room: DeskRoom) -> None:
    message = await room.say("hello there")
    (answer,) = await room.handled(message)
    assert answer.key == f"answer:{message.id}"
    assert answer.text.startswith("Hello!")
    assert room.channel.acknowledged == [message.id]
    stored = await room.message(message.id)
    assert stored.triage is not None
    assert stored.triage["decision"]["outcome"] == "respond"
    assert stored.triaged_by != "local rules"


async def test_a_request_becomes_a_task_and_an_urgent_job(room: DeskRoom) -> None:
    await room.decides("report", WORK)
    message = await room.say("please summarise the report")
    (ack,) = await room.handled(message)
    (job,) = await room.jobs()
    assert ack.text == f"On it: Summary of the report (#{job.id})"
    assert (job.key, job.priority, job.lane) == (f"message:{message.id}", 1, 0)
    assert job.conversation == "telegram:42"
    assert job.task_id is not None
    assert "Summarise the report on one page." in job.prompt
    assert "please summarise the report" in job.prompt


async def test_a_reminder_is_a_job_with_a_time(room: DeskRoom) -> None:
    (ack,) = await room.talk("remind me in 20 minutes to stretch")
    (job,) = await room.jobs()
    assert job.kind is JobKind.reminder
    assert job.prompt == "Stretch"
    assert job.run_at is not None
    wait = job.run_at - room.clock.now()
    assert timedelta(minutes=19) < wait < timedelta(minutes=20)
    assert ack.text.startswith("I'll remind you ")
    assert ack.text.endswith(": Stretch")


async def test_a_vague_request_is_asked_about_and_the_tap_goes_on(room: DeskRoom) -> None:
    (question,) = await room.talk("fix it")
    assert question.text == "What exactly should I work on?"
    assert [row[0]["label"] for row in question.buttons][2:] == ["Other…"]
    card = await room.card()
    assert question.buttons[0][0]["data"] == f"card:{card.id}:a"
    await room.decides("Answer: The last thing", WORK)
    toast = await room.tap("a")
    assert toast == "✓ The last thing we spoke of"
    _, answer = await room.messages()
    assert answer.text.startswith("fix it\n(Asked: What exactly should I work on?")
    (ack,) = await room.handled(answer)
    assert ack.text.startswith("On it: ")
    edit = await room.said_under(f"{question.key}:decided")
    assert edit.edits_id == question.id
    assert edit.buttons == []
    assert await room.tap("b", card=card, via="terminal") == (
        "Answered already: The last thing we spoke of"
    )
    assert len(await room.messages()) == 2


async def test_a_big_request_waits_for_go(room: DeskRoom) -> None:
    (shown,) = await room.talk("plan a weekend in Lisbon")
    assert shown.key == "plan:1:1"
    assert "Nothing starts before you say Go." in shown.text
    assert [button["label"] for button in shown.buttons[0]] == ["Go", "Change", "Drop"]
    assert await room.jobs() == []
    assert await room.tap("go") == "▶ Started"
    first, second = await room.jobs()
    assert (first.key, second.key) == ("plan:1:0", "plan:1:1")
    assert (await room.said_under("plan-go:1:1")).text.startswith("Started: 2 steps")
    assert (await room.said_under("plan:1:1:decided")).edits_id == shown.id
    await room.end_jobs()
    done = await room.said_under("plan-done:1")
    assert "All done" in done.text
    assert "2 of 2 steps done" in done.text


async def test_a_plan_can_be_changed_and_then_dropped(room: DeskRoom) -> None:
    await room.talk("plan a weekend in Lisbon")
    first_card = await room.card()
    await room.tap("change")
    assert (await room.said_under("plan-change:1:1")).text.startswith("What should change?")
    (shown,) = await room.talk("add a day trip to Sintra")
    assert shown.key == "plan:1:2"
    assert "(version 2)" in shown.text
    assert "Sintra" in shown.text
    assert await room.tap("go", card=first_card) == "Answered already: Change"
    assert await room.tap("drop") == "✕ Dropped"
    assert (await room.plan()).state == "dropped"
    assert await room.jobs() == []


async def test_of_two_taps_at_once_one_counts(room: DeskRoom) -> None:
    await room.talk("plan a weekend in Lisbon")
    card = await room.card()
    toasts = {await room.tap("go", card=card, via=via) for via in ("telegram", "terminal")}
    assert toasts == {"▶ Started", "Answered already: Go"}
    assert len(await room.jobs()) == 2


async def test_a_plan_with_trouble_names_it_at_the_end(room: DeskRoom) -> None:
    await room.talk("plan a weekend in Lisbon")
    await room.tap("go")
    await room.end_jobs(JobState.failed, error="the site was down\nTraceback")
    done = await room.said_under("plan-done:1")
    assert "not all of it worked out" in done.text
    assert "failed: the site was down" in done.text


async def test_a_card_that_is_gone_says_so(room: DeskRoom) -> None:
    assert await room.desk.tapped(card_id=99, key="go", via="telegram") == (
        "That card is not here any more."
    )
    await room.talk("plan a weekend in Lisbon")
    assert await room.tap("burn") == "That is not one of the options."


async def test_the_same_update_again_changes_nothing(room: DeskRoom) -> None:
    message = await room.say("hello there", external_id="7")
    again = message.model_copy(update={"id": None})
    assert await room.desk.receive(again) is None
    await room.handled(message)
    assert len(await room.messages()) == 1


async def test_messages_of_a_conversation_are_answered_in_order(room: DeskRoom) -> None:
    asked = [await room.say(f"what is {number} + 1") for number in range(3)]
    for message in asked:
        await room.handled(message)
    answers = [row for row in await room.said() if row.key.startswith("answer:")]
    assert [row.message_id for row in answers] == [message.id for message in asked]
    assert [row.text for row in answers] == [f"That makes {number + 1}." for number in range(3)]


async def test_a_restart_goes_on_with_what_was_open(room: DeskRoom) -> None:
    await room.plays(
        when={"prompt": "report", "schema_property": "decision"},
        times=1,
        turn=[{"blocks": [{"text": "late"}], "fault": {"kind": "stall", "seconds": 60}}],
    )
    await room.decides("report", WORK)
    message = await room.say("please summarise the report")
    await room.model.wait_for_request("report")
    await room.restart()
    (ack,) = await room.handled(message)
    assert ack.text.startswith("On it: ")
    assert len(await room.jobs()) == 1


async def test_a_restart_does_not_ask_triage_again(room: DeskRoom) -> None:
    await room.decides("weather", {"outcome": "respond"}, times=1)
    await room.plays(
        when={"prompt": "weather"},
        times=1,
        turn=[{"blocks": [{"text": "late"}], "fault": {"kind": "stall", "seconds": 60}}],
    )
    message = await room.say("how is the weather?")

    async def answering() -> bool:
        return (await room.message(message.id)).state is MessageState.answering

    await room.until(answering)
    await room.model.wait_for_request("weather", since=1)
    await room.restart()
    (answer,) = await room.handled(message)
    assert answer.key == f"answer:{message.id}"
    asked = [one for one in await room.model.requests() if "decision" in one.schema_properties]
    assert len(asked) == 1
