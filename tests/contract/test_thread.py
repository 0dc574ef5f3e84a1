"""One thread of truth: replies carry what they are about, and the chat knows what was said."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.states import Actor, JobState, MessageState, PlanState
from agentos.domain.talk import Card, CardKind, Message, OutboxKind
from agentos.domain.work import Job, JobKind, Plan
from agentos.engine import settling
from agentos.frontdesk import effects, plans
from agentos.frontdesk.commands.catalogue import MENU
from agentos.frontdesk.plans import single_step
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.process import StandinProcess
from agentos.store import cards as card_rows
from agentos.store import jobs, outbox, shown, steers
from agentos.store import plans as plan_rows
from agentos.store.database import Database
from tests.desk_room import TALK, DeskRoom

WORK = {"outcome": "quick_work", "title": "Shorter", "kind": "writing", "prompt": "Shorter."}
CHAT = {"blocks": [{"text": "Right."}]}


@pytest.fixture
async def room(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[DeskRoom]:
    async with DeskRoom(database, clock=clock, home=home, url=model.url) as room:
        yield room


async def chats(room: DeskRoom) -> None:
    """Everything is answered by the chat."""
    await room.decides(".", {"outcome": "respond"})
    await room.plays(when={"prompt": "."}, turn=[CHAT])


async def last_prompt(room: DeskRoom) -> str:
    return (await room.model.requests())[-1].prompt


async def reminded(room: DeskRoom, text: str, **more: Any) -> Job:
    """The engine says a reminder, as it does at its time."""
    job = Job(
        kind=JobKind.reminder,
        title=text,
        prompt=text,
        conversation=TALK,
        created_at=room.clock.now(),
        **more,
    )

    def remind(connection: Connection) -> Job:
        queued = jobs.enqueue(connection, job)
        settling.remind(connection, queued, at=room.clock.now())
        return queued

    return await room.database.write(remind)


async def reported(room: DeskRoom, title: str, result: str, **more: Any) -> Job:
    """A job has ended and said its result."""
    at = room.clock.now()
    job = Job(title=title, prompt="p", conversation=TALK, created_at=at, **more)

    def report(connection: Connection) -> Job:
        queued = jobs.enqueue(connection, job)
        for state in (JobState.running, JobState.done):
            jobs.move(
                connection,
                queued.id or 0,
                state,
                by=Actor.engine,
                at=at,
                **({"result": result} if state is JobState.done else {}),
            )
        outbox.say(
            connection,
            key=f"result:{queued.id}",
            conversation=TALK,
            text=f"✅ **{title}**\n\n{result}",
            at=at,
            job_id=queued.id,
        )
        return queued

    return await room.database.write(report)


async def test_the_chat_knows_what_a_scheduled_job_just_said(room: DeskRoom) -> None:
    await chats(room)
    await room.talk("good morning")
    # In the same instant as the answer: by the clock alone it could not be told from before.
    await reported(room, "Night report", "Two pipes burst.", template="night")
    await reminded(room, "Call the plumber")
    await room.talk("what was that?")
    told = await last_prompt(room)
    assert "agentos (result of the scheduled job night)" in told and "Two pipes burst." in told
    assert "agentos (reminder)" in told and "Call the plumber" in told
    assert "Right." not in told  # what it said itself is in its session
    await room.talk("and now?")
    assert "Two pipes burst." not in await last_prompt(room)


async def test_a_reply_to_any_part_of_a_result_carries_its_job(room: DeskRoom) -> None:
    await chats(room)
    job = await reported(room, "Prices", "Rye is 4 euros.")
    row = await room.said_under(f"result:{job.id}")
    # A long answer is shown as several messages.
    await room.database.write(lambda c: shown.note(c, row, ["71", "72", "73"]))
    for part in ("71", "72", "73"):
        await room.talk("how do you know?", reply_to_external_id=part)
        told = await last_prompt(room)
        assert f'It belongs to job #{job.id} "Prices", which is done.' in told
        assert "Its result: Rye is 4 euros." in told


async def under_way(room: DeskRoom, title: str) -> Job:
    """A job runs, and the owner was told of it."""
    at = room.clock.now()
    job = Job(title=title, prompt="Do it.", conversation=TALK, model="sonnet", created_at=at)

    def begin(connection: Connection) -> Job:
        queued = jobs.enqueue(connection, job)
        jobs.move(connection, queued.id or 0, JobState.running, by=Actor.engine, at=at)
        row = outbox.say(
            connection,
            key=f"ack:{title}",
            conversation=TALK,
            text=f"On it: {title}",
            at=at,
            job_id=queued.id,
        )
        shown.note(connection, row, [f"shown-{queued.id}"])
        return queued

    return await room.database.write(begin)


async def test_being_unable_to_stop_is_over_plain_words_in_a_reply_stop_what_they_reply_to(
    room: DeskRoom,
) -> None:
    first, second = await under_way(room, "First"), await under_way(room, "Second")
    (said,) = await room.talk("Cancel that.", reply_to_external_id=f"shown-{first.id}")
    assert said.text == "Stopped: #1 First"
    assert [job.state for job in await room.jobs()] == [JobState.cancelled, JobState.running]
    (said,) = await room.talk("/stop", reply_to_external_id=f"shown-{second.id}")
    assert said.text == "Stopped: #2 Second"
    (said,) = await room.talk("stop", reply_to_external_id=f"shown-{second.id}")
    assert said.text == "#2 is not running: it is cancelled."
    (said,) = await room.talk("why?", reply_to_external_id=f"shown-{second.id}")
    assert said.text.startswith("**#2 Second**: cancelled by you")
    assert await room.model.requests() == []  # no model was asked for any of it


async def test_a_reply_to_work_under_way_is_told_to_it(room: DeskRoom) -> None:
    job = await under_way(room, "Bread")
    (said,) = await room.talk("use rye", reply_to_external_id=f"shown-{job.id}")
    assert (said.text, said.job_id) == ("Told #1.", job.id)
    (steer,) = await room.database.query(lambda c: steers.list_open(c, job.id or 0))
    assert steer.text == "use rye"
    await room.restart()
    assert len(await room.said()) == 2  # said and told once


async def test_triage_can_tell_follow_replace_and_stop_work(room: DeskRoom) -> None:
    job = await under_way(room, "Bread")
    decision = {"outcome": "steer", "job": job.id}
    await room.decides(r"<message>\sthe bread", {**decision, "how": "add", "text": "Use rye."})
    await room.decides(
        r"<message>\sthen cake", {**decision, "how": "after", "text": "Bake a cake."}
    )
    await room.decides(r"<message>\srather", {**decision, "how": "instead", "text": "Bake rolls."})
    await room.decides(r"<message>\sno more", {**decision, "how": "stop", "text": ""})
    await room.decides(r"<message>\sagain", {**WORK, "continues": job.id})
    (said,) = await room.talk("the bread with rye, please")
    assert said.text == "Told #1."
    assert "#1 Bread: running" in await last_prompt(room)
    (said,) = await room.talk("then cake")
    assert said.text == "After #1: Bake a cake. (#2)"
    (said,) = await room.talk("rather rolls")
    assert said.text == "Stopped #1, started #3: Bake rolls."
    (said,) = await room.talk("no more bread")
    assert said.text == "#1 is not running: it is cancelled."
    await room.talk("again, but shorter")
    first, after, instead, shorter = await room.jobs()
    assert first.state is JobState.cancelled
    assert {one.continues_id for one in (after, instead, shorter)} == {first.id}
    assert "Bake rolls." in instead.prompt and "Do it." in instead.prompt
    # They share a session, so each waits for those before it.
    needed = await room.database.query(lambda c: jobs.needs_of(c, shorter.id or 0))
    assert [one.id for one in needed] == [first.id, after.id, instead.id]


async def test_stop_ends_an_answer_that_is_being_written(room: DeskRoom) -> None:
    await room.decides(".", {"outcome": "respond"})
    await room.plays(when={"prompt": "."}, turn=[{**CHAT, "delay_ms": 20_000}])
    asked = await room.say("tell me everything")
    await room.until(lambda: is_answering(room, asked))
    job = await under_way(room, "Bread")
    (said,) = await room.talk("/stop")
    assert said.text == "Stopped answering. Still running: #1 Bread (/stop 1)"
    answers = [row.text for row in await room.said() if row.message_id == asked.id]
    assert answers == ["⏹ Stopped."]
    (said,) = await room.talk("/stop")
    assert said.text == f"Stopped: #{job.id} Bread"


async def is_answering(room: DeskRoom, message: Message) -> bool:
    return (await room.message(message.id)).state is MessageState.answering


@pytest.fixture
async def patient(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[DeskRoom]:
    """A desk that takes quick messages together."""
    config = Config.model_validate({"talk": {"debounce_seconds": 0.4}})
    room = DeskRoom(database, clock=clock, home=home, url=model.url, config=config)
    async with room:
        yield room


async def test_several_quick_messages_are_one_and_an_edit_of_any_counts(
    patient: DeskRoom,
) -> None:
    await chats(patient)
    first = await patient.say("buy milk")
    await patient.say("and rye")
    await patient.desk.edited(
        channel="telegram", external_message_id=first.external_message_id or "", text="buy oats"
    )
    (said,) = await patient.handled(await patient.say("and salt"))
    assert said.text == "Right."
    assert len([row for row in await patient.said() if row.text == "Right."]) == 1
    assert "buy oats\nand rye\nand salt" in await last_prompt(patient)
    assert {one.state for one in await patient.messages()} == {MessageState.handled}
    # What answers another thing is a message of its own, and so is what comes later.
    job = await under_way(patient, "Bread")
    await patient.say("hello")
    await patient.talk("use rye", reply_to_external_id=f"shown-{job.id}")
    assert "Told #1." in [row.text for row in await patient.said()]
    await patient.talk("later")
    assert "hello\n" not in await last_prompt(patient)


async def test_the_commands_answer_from_the_rows(room: DeskRoom) -> None:
    job = await under_way(room, "Bread")

    async def answer(text: str) -> str:
        return (await room.talk(text))[-1].text

    assert "⚙ **#1 Bread**" in await answer("/job 1")
    assert "Running**\n- #1 Bread" in await answer("/briefing")
    assert (await answer("/cost")).startswith("**Today: $0.00**, 0 tokens")
    assert await answer("/projects") == "No projects yet."
    assert (await answer("/plan")).startswith("There is no open plan.")
    paused = await answer("/pause 30")
    assert paused.startswith("⏸ Paused: no new work starts until today at ")
    assert (await answer("/status")).startswith("⏸ Paused")
    picture = (await room.said())[-1]
    assert picture.kind is OutboxKind.photo
    assert Path(picture.file_path or "").read_bytes().startswith(b"\x89PNG")
    assert await answer("/resume") == "▶ Work starts again."
    assert (await answer("/resume")).startswith("There is no pause")
    assert await answer("/new") == "This is a new talk already. Go ahead."
    assert (await answer("/bogus")).startswith("I don't know /bogus.")
    menu = await answer("/help")
    assert all(f"/{one.name} " in menu for one in MENU)
    assert await answer("/stop 1") == f"Stopped: #{job.id} Bread"
    assert await room.model.requests() == []


async def test_a_new_talk_begins_with_a_summary_of_the_old_one(room: DeskRoom) -> None:
    await chats(room)
    await room.talk("I like figs")
    (said,) = await room.talk("/new")
    assert said.text.startswith("🆕 A new talk.")
    await room.talk("hello again")
    told = await last_prompt(room)
    assert "The one before it, in short:\n<talk>\nowner: I like figs\nagentos: Right." in told


async def test_stop_drops_an_open_plan_and_withdraws_what_a_parked_job_asked(
    room: DeskRoom,
) -> None:
    at = room.clock.now()
    job = await under_way(room, "Bread")
    row = Plan(
        conversation=TALK,
        title="A bakery",
        request="Open one.",
        created_at=at,
        updated_at=at,
        **single_step("Open a bakery").model_dump(mode="json"),
    )

    def ask(connection: Connection) -> None:
        jobs.move(connection, job.id or 0, JobState.parked, by=Actor.engine, at=at)
        plan = plan_rows.add(connection, row)
        cards = (
            (CardKind.ask, {"job_id": job.id}, "ask"),
            (CardKind.plan, {"plan_id": plan.id}, plans.key_of(plan)),
        )
        for kind, about, key in cards:
            card = Card(
                kind=kind,
                channel="telegram",
                conversation=TALK,
                question=f"{kind.value}?",
                options=[{"key": "go", "label": "Go", "consequence": ""}],
                created_at=at,
                **about,
            )
            effects.show(connection, card, text=card.question, key=key, at=at)

    await room.database.write(ask)
    shown_again, said = await room.talk("/plan"), await room.talk("/stop all")
    assert shown_again[-1].text == "The open plan:"
    assert said[0].text == "Stopped: #1 Bread\nDropped 1 plan."
    assert (await room.plan()).state is PlanState.dropped
    assert (await room.jobs())[0].state is JobState.cancelled
    assert await room.database.query(lambda c: card_rows.list_open(c)) == []
    changed = [row.text for row in await room.said() if row.edits_id]
    # The plan stands there twice.
    assert [text.rpartition("\n")[2] for text in changed] == ["**✕ No longer needed.**"] * 3
