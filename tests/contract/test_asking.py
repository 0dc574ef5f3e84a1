"""A job asks its owner, is parked without a process, and goes on in its session with the answer."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from agentos.backends.claude_access import standin_access
from agentos.config import Config
from agentos.domain.states import Actor, CardState, JobState, RunState, TaskState
from agentos.domain.talk import Card, Outgoing
from agentos.domain.work import Job, Task, TaskKind
from agentos.frontdesk import taps
from agentos.frontdesk.effects import Ways
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.messages_control import MessagesControl
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule
from agentos.store import cards, grants, jobs, projects, rows, tasks
from agentos.store.database import Database
from tests.engine_room import EngineRoom, running

pytestmark = pytest.mark.timeout(200)
ENDED = "what you asked the owner has ended"
OPTIONS = [{"label": "Direct", "consequence": "Ship now"}, {"label": "Staged"}]
ASK = {"tool": "mcp__agentos__ask_owner", "input": {"question": "How?", "options": OPTIONS}}


@pytest.fixture
async def room(
    database: Database, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[EngineRoom]:
    access = standin_access(model.url, config_folder=home.claude_config)
    config = Config.model_validate({"engine": {"slots": 1, "tick_seconds": 1}})
    made = EngineRoom(database, clock=clock, home=home, access=access, config=config)
    async with running(made):
        yield made


@pytest.fixture
async def script(model: StandinProcess) -> AsyncIterator[MessagesControl]:
    async with MessagesControl(model.url) as control:
        yield control


async def plays(control: MessagesControl, prompt: str, *turn: dict[str, Any]) -> None:
    rule = {"when": {"prompt": prompt}, "turn": list(turn)}
    await control.add_rules([Rule.model_validate(rule)])


def says(text: str, **more: Any) -> dict[str, Any]:
    return {"blocks": [{"text": text}], **more}


def uses(block: dict[str, Any]) -> dict[str, Any]:
    return {"blocks": [block]}


async def answer(room: EngineRoom, card: Card, key: str, **more: Any) -> str:
    ways = Ways.of(room.config)
    at, home = room.clock.now(), room.home
    tapped = await room.database.write(
        lambda c: taps.tap(
            c, card.id or 0, key, via="telegram", home=home, ways=ways, at=at, **more
        )
    )
    return tapped.toast


async def its_cards(room: EngineRoom, job: Job) -> list[Card]:
    return await room.database.query(lambda c: cards.list_for_job(c, job.id or 0))


async def until_state(room: EngineRoom, job: Job, state: JobState) -> Job:
    async def is_there() -> Job | None:
        now = await room.job(job.id)
        return now if now.state is state else None

    found: Job = await room.until(is_there, seconds=60)
    return found


async def a_task(room: EngineRoom, kind: TaskKind = TaskKind.code) -> Task:
    at = room.clock.now()
    row = Task(title="The page", kind=kind, created_at=at, updated_at=at)
    return await room.database.write(lambda c: tasks.add(c, row))


async def test_a_question_parks_the_job_and_the_answer_resumes_its_session(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, ENDED, says("Shipped it."))
    await plays(script, "ship the page", uses(ASK), uses(ASK), says("I wait for your answer."))
    await plays(script, "meanwhile", says("Done meanwhile."))
    task = await a_task(room)
    job = await room.add("ship the page", task_id=task.id)
    parked = await until_state(room, job, JobState.parked)
    assert parked.result is None
    # Asked twice is one card; the task waits, no process is left, and the only slot is free.
    (card,) = await its_cards(room, job)
    assert (card.state, card.other, [one["key"] for one in card.options]) == (
        CardState.open,
        True,
        ["a", "b"],
    )
    assert (await room.database.query(lambda c: tasks.get(c, task.id or 0))).state is (
        TaskState.waiting
    )
    other = await room.ended(await room.add("meanwhile"))
    assert other.state is JobState.done
    (said,) = await room.said(job.id)
    assert said.startswith("❓ **ship the page** asks:\n\nHow?\n\n- **Direct**: Ship now")
    assert "without an answer nothing happens" in said

    assert await answer(room, card, "b") == "✓ Staged"
    assert await answer(room, card, "a") == "Answered already: Staged"
    done = await room.ended(job)
    assert (done.state, done.result) == (JobState.done, "Shipped it.")
    before, after = await room.runs(job.id)
    assert before.session_id == after.session_id and before.state is RunState.done
    last = (await script.requests())[-1]
    assert last.session_id == before.session_id
    assert "You asked:\n<asked>\nHow?\n</asked>\nThe owner answers:\n<answer>\nStaged" in (
        last.prompt
    )
    # The new turn is the answer alone: its session knows the task.
    assert "<task>" not in last.prompt
    assert said_of(room).endswith("**✓ Staged** (via telegram)")


def said_of(room: EngineRoom) -> str:
    """The newest text that edits another."""
    with room.database.read() as connection:
        found = rows.newest(connection, Outgoing, limit=20)
    return next(row.text for row in found if row.edits_id is not None)


async def test_an_answer_while_the_run_still_ends_is_told_all_the_same(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, ENDED, says("Now with the answer."))
    await plays(script, "hurry", uses(ASK), says("Went on without.", delay_ms=1500))
    job = await room.add("hurry")

    async def asked() -> Card | None:
        return next(iter(await its_cards(room, job)), None)

    card = await room.until(asked, seconds=60)
    assert (await room.job(job.id)).state is JobState.running
    await answer(room, card, "other", own_words="Neither: wait for Monday")
    done = await room.ended(job, seconds=60)
    assert done.result == "Now with the answer."
    assert "Neither: wait for Monday" in (await script.requests())[-1].prompt


async def test_a_parked_job_that_is_cancelled_takes_its_card_along(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, "ship", uses(ASK), says("I wait."))
    job = await room.add("ship")
    await until_state(room, job, JobState.parked)
    at = room.clock.now()
    await room.database.write(
        lambda c: jobs.move(c, job.id or 0, JobState.cancelled, by=Actor.owner, at=at)
    )
    (card,) = await its_cards(room, job)
    assert card.state is CardState.cancelled
    assert said_of(room).endswith("**✕ No longer needed.**")
    assert await answer(room, card, "a") == "That is no longer needed."
    assert (await room.job(job.id)).state is JobState.cancelled


async def test_silence_is_no_yes_also_after_days(room: EngineRoom, script: MessagesControl) -> None:
    await plays(script, ENDED, says("Left it."))
    await plays(script, "ship", uses(ASK), says("I wait."))
    job = await room.add("ship")
    await until_state(room, job, JobState.parked)
    assert isinstance(room.clock, VirtualClock)
    room.clock.advance(timedelta(days=8))
    (card,) = await its_cards(room, job)
    # Too late by the clock, whoever looks first: the tap or the loop.
    assert await answer(room, card, "a") == "That has expired; nothing was done."
    assert (await room.ended(job)).result == "Left it."
    assert "No answer came: do not do what you asked about" in (
        (await script.requests())[-1].prompt
    )
    assert said_of(room).endswith("**⌛ Expired: nothing was done.**")


# Something that asks, and that shows how often it was done.
PUSH = 'eval "$NOTHING"; echo ran >> ran.txt'


def runs_it(command: str = PUSH) -> dict[str, Any]:
    return uses({"tool": "Bash", "input": {"command": command}})


def times_run(room: EngineRoom, job: Job) -> int:
    file = room.home.job_folder(job.id or 0) / "work" / "ran.txt"
    return file.read_text().count("ran") if file.exists() else 0


async def decisions(room: EngineRoom) -> list[tuple[str, bool, bool]]:
    found = await room.database.query(lambda c: grants.list_all(c, limit=20))
    return [(each.scope.value, each.allowed, each.used_at is not None) for each in found[::-1]]


async def test_what_is_allowed_once_is_done_once_and_then_asked_for_again(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, ENDED, runs_it(), runs_it(), says("I wait again."))
    await plays(script, "push it", runs_it(), says("I wait for your yes."))
    job = await room.add("push it")
    await until_state(room, job, JobState.parked)
    (card,) = await its_cards(room, job)
    assert times_run(room, job) == 0 and card.detail == PUSH and not card.other
    assert [one["label"] for one in card.options] == ["Once", "For this job", "No"]
    (said,) = await room.said(job.id)
    assert said.startswith(f"🔐 **push it** wants to run a command:\n\n```\n{PUSH}\n```\n\nIt asks")
    assert "Unanswered is no" in said
    transcript = room.home.job_folder(job.id or 0) / "transcript.jsonl"
    assert "End your turn now" in transcript.read_text()

    await answer(room, card, "once")

    async def second() -> Card | None:
        found = await its_cards(room, job)
        return found[1] if len(found) > 1 else None

    again = await room.until(second, seconds=60)
    await until_state(room, job, JobState.parked)
    assert times_run(room, job) == 1
    assert await decisions(room) == [("once", True, True)]

    # No is no: the same call is refused without another card.
    await script.reset()
    await plays(script, ENDED, runs_it(), says("Left it."))
    await answer(room, again, "no")
    done = await room.ended(job, seconds=60)
    assert (done.result, times_run(room, job)) == ("Left it.", 1)
    assert len(await its_cards(room, job)) == 2
    assert await decisions(room) == [("once", True, True), ("job", False, False)]


async def test_always_for_a_project_holds_in_its_next_job_until_it_is_revoked(
    room: EngineRoom, script: MessagesControl
) -> None:
    await plays(script, ENDED, runs_it(), says("Pushed."))
    await plays(script, "push it", runs_it(), says("So far."))
    at = room.clock.now()
    project = await room.database.write(
        lambda c: projects.add(c, name="site", description="", at=at)
    )
    first = await room.add("push it", project_id=project.id)
    await until_state(room, first, JobState.parked)
    (card,) = await its_cards(room, first)
    assert "project" in [one["key"] for one in card.options]
    await answer(room, card, "project")
    assert (await room.ended(first, seconds=60)).result == "Pushed."
    second = await room.ended(await room.add("push it", project_id=project.id), seconds=60)
    assert (second.result, times_run(room, second)) == ("So far.", 1)
    # Another project's job is asked about, and after the revoking this one's, too.
    elsewhere = await room.add("push it")
    await until_state(room, elsewhere, JobState.parked)
    await room.database.write(lambda c: grants.revoke(c, 1, at=at))
    third = await room.add("push it", project_id=project.id)
    await until_state(room, third, JobState.parked)
    assert times_run(room, elsewhere) == times_run(room, third) == 0
