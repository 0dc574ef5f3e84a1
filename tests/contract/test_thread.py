"""One thread of truth: replies carry what they are about, and the chat knows what was said."""

from collections.abc import AsyncIterator

import pytest

from agentos.domain.states import Actor, JobState
from agentos.domain.work import Job, JobKind
from agentos.engine import settling
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.process import StandinProcess
from agentos.store import jobs, outbox, shown
from agentos.store.database import Database
from tests.desk_room import TALK, DeskRoom

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


async def reminded(room: DeskRoom, text: str, **more: object) -> Job:
    """The engine says a reminder, as it does at its time."""
    job = Job(
        kind=JobKind.reminder,
        title=text,
        prompt=text,
        conversation=TALK,
        created_at=room.clock.now(),
        **more,
    )

    def remind(connection: object) -> Job:
        queued = jobs.enqueue(connection, job)  # type: ignore[arg-type]
        settling.remind(connection, queued, at=room.clock.now())  # type: ignore[arg-type]
        return queued

    return await room.database.write(remind)


async def reported(room: DeskRoom, title: str, result: str, **more: object) -> Job:
    """A job has ended and said its result."""
    at = room.clock.now()
    job = Job(title=title, prompt="p", conversation=TALK, created_at=at, **more)

    def report(connection: object) -> Job:
        queued = jobs.enqueue(connection, job)  # type: ignore[arg-type]
        for state in (JobState.running, JobState.done):
            jobs.move(
                connection,  # type: ignore[arg-type]
                queued.id or 0,
                state,
                by=Actor.engine,
                at=at,
                **({"result": result} if state is JobState.done else {}),
            )
        outbox.say(
            connection,  # type: ignore[arg-type]
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
