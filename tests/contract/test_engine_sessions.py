"""Sessions of workers: kept, handed over, lost, and gone on with after a crash."""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Connection

from agentos.backends.claude_access import ModelAccess, standin_access
from agentos.config import Config
from agentos.domain.ledger import Event, Purpose, Usage
from agentos.domain.states import JobState, RunState
from agentos.domain.work import Worker
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.messages_control import MessagesControl, SeenRequest
from agentos.standins.process import StandinProcess
from agentos.standins.script import Rule
from agentos.store import events, rows, workers
from agentos.store.database import Database
from tests.engine_room import EngineRoom, running

LONG = "python3 -c 'import time; time.sleep(60)'"
DONE: dict[str, Any] = {"blocks": [{"text": "All done."}]}
HANDOVER = "This session has grown long"
BIG = 50_000


@pytest.fixture
def access(model: StandinProcess, home: Home) -> ModelAccess:
    return standin_access(model.url, config_folder=home.claude_config)


@pytest.fixture
async def room(
    database: Database, home: Home, clock: VirtualClock, access: ModelAccess
) -> AsyncIterator[EngineRoom]:
    config = Config.model_validate(
        {"engine": {"slots": 2, "tick_seconds": 1, "session_tokens": BIG}}
    )
    made = EngineRoom(database, clock=clock, home=home, access=access, config=config)
    async with running(made):
        yield made


@pytest.fixture
async def script(model: StandinProcess) -> AsyncIterator[MessagesControl]:
    async with MessagesControl(model.url) as control:
        yield control


async def plays(control: MessagesControl, prompt: str, *turn: dict[str, Any], **more: Any) -> None:
    rule = {"when": {"prompt": prompt}, "turn": list(turn), **more}
    await control.add_rules([Rule.model_validate(rule)])


def bash(command: str, **more: Any) -> dict[str, Any]:
    return {"blocks": [{"tool": "Bash", "input": {"command": command}}], **more}


def says(text: str, **more: Any) -> dict[str, Any]:
    return {"blocks": [{"text": text}], **more}


async def worker_now(room: EngineRoom, worker: Worker) -> Worker:
    return await room.database.query(lambda c: workers.get(c, worker.id or 0))


async def happened(room: EngineRoom, key: str) -> list[Event]:
    every = await room.database.query(lambda c: events.list_since(c, 0, limit=5000))
    return [event for event in every if event.key == key]


async def bills(room: EngineRoom, purpose: Purpose) -> list[Usage]:
    def find(connection: Connection) -> list[Usage]:
        return rows.newest(connection, Usage, limit=1000, purpose=purpose)

    return await room.database.query(find)


def forget(home: Home) -> None:
    """Lose the files of all sessions."""
    for file in home.claude_config.rglob("*.jsonl"):
        file.unlink()


def prompts(requests: list[SeenRequest], holding: str) -> list[str]:
    return [request.prompt for request in requests if holding in request.prompt]


async def test_a_worker_knows_how_full_its_session_is_and_how_many_jobs_it_did(
    room: EngineRoom, script: MessagesControl
) -> None:
    numbers = {"input_tokens": 700, "cache_read_input_tokens": 90, "output_tokens": 3}
    await plays(script, "note", says("Noted.", usage=numbers))
    worker = await room.add_worker("email")
    for number in range(2):
        await room.ended(await room.add(f"note {number}", wants_worker_id=worker.id))
    now = await worker_now(room, worker)
    assert now.session_job_count == 2
    assert 790 <= now.session_tokens <= 800


async def test_a_session_that_grew_too_big_is_handed_over_with_its_summary(
    room: EngineRoom, script: MessagesControl
) -> None:
    worker = await room.add_worker("email")
    await plays(script, HANDOVER, says("Mail is sorted by project.", usage={"input_tokens": 77}))
    await plays(script, "big one", says("Read it all.", usage={"input_tokens": BIG}))
    await plays(script, "next one", says("Went on.", usage={"input_tokens": 10}))
    first = await room.ended(await room.add("big one", wants_worker_id=worker.id))
    job = await room.ended(await room.add("next one", wants_worker_id=worker.id))
    assert (job.state, job.result) == (JobState.done, "Went on.")

    seen = await script.requests()
    assert [request.prompt.splitlines()[0][:40] for request in seen][1:] == [
        "This session has grown long, so it ends ",
        "You take over from a session that had gr",
    ]
    assert "Mail is sorted by project." in seen[-1].prompt
    (old,), (new,) = await room.runs(first.id), await room.runs(job.id)
    assert seen[1].session_id == old.session_id
    assert seen[2].session_id == new.session_id != old.session_id
    (bill,) = await bills(room, Purpose.handover)
    assert (bill.input_tokens, bill.job_id) == (77, job.id) and bill.cost_usd > 0
    (event,) = await happened(room, "session_handed_over")
    assert event.data["session"] == old.session_id
    now = await worker_now(room, worker)
    assert (now.summary, now.session_job_count) == ("Mail is sorted by project.", 1)
    assert now.session_id == new.session_id and now.session_tokens < 100


async def test_a_hand_over_that_fails_leaves_what_the_rows_know(
    room: EngineRoom, script: MessagesControl
) -> None:
    worker = await room.add_worker("email")
    await plays(script, HANDOVER, {**DONE, "fault": {"kind": "bad_request"}})
    await plays(script, "big one", says("Forty mails sorted.", usage={"input_tokens": BIG}))
    await plays(script, "next one", says("Went on."))
    await room.ended(await room.add("big one", wants_worker_id=worker.id))
    job = await room.ended(await room.add("next one", wants_worker_id=worker.id))
    assert job.state is JobState.done and len(await room.runs(job.id)) == 1
    assert "- big one: Forty mails sorted." in (await script.requests())[-1].prompt
    assert "Forty mails" in (await worker_now(room, worker)).summary


async def test_a_crash_in_the_middle_of_a_hand_over_loses_nothing(
    room: EngineRoom, script: MessagesControl
) -> None:
    worker = await room.add_worker("email")
    await plays(script, HANDOVER, says("too late", delay_ms=60_000), times=1)
    await plays(script, HANDOVER, says("Sorted by project."))
    await plays(script, "big one", says("Read it.", usage={"input_tokens": BIG}))
    await plays(script, "next one", says("Went on."))
    first = await room.ended(await room.add("big one", wants_worker_id=worker.id))
    job = await room.add("next one", wants_worker_id=worker.id)
    await script.wait_for_request(HANDOVER)
    room.dispatcher.poke(job.id or 0)
    ended = await room.ended(job)
    assert ended.state is JobState.done
    (old,) = await room.runs(first.id)
    cut, done = await room.runs(job.id)
    assert (cut.state, done.state) == (RunState.interrupted, RunState.done)
    assert cut.session_id == old.session_id != done.session_id
    asked = [each for each in await script.requests() if each.prompt.startswith(HANDOVER)]
    assert [each.session_id for each in asked] == [old.session_id] * 2
    assert "Sorted by project." in (await script.requests())[-1].prompt


async def test_a_lost_session_begins_anew_with_its_notes_and_says_so(
    room: EngineRoom, script: MessagesControl
) -> None:
    worker = await room.add_worker("email")
    await room.database.write(lambda c: workers.change(c, worker.id or 0, summary="Short answers."))
    await plays(script, "<task>\nsay one", says("One said."))
    await plays(script, "<task>\nsay two", says("Two said."))
    await room.ended(await room.add("say one", wants_worker_id=worker.id))
    room.warm.evict(everything=True)
    forget(room.home)
    job = await room.ended(await room.add("say two", wants_worker_id=worker.id))
    (said,) = await room.said(job.id)
    assert said.startswith("✅ **say two**\n\nTwo said.") and "session was lost" in said
    (prompt,) = prompts(await script.requests(), "say two")
    assert "so you begin anew" in prompt
    assert "Short answers." in prompt and "- say one: One said." in prompt
    assert len(await happened(room, "session_lost")) == 1
    now = await worker_now(room, worker)
    assert now.session_job_count == 1 and now.session_id == (await room.runs(job.id))[-1].session_id


async def test_a_second_attempt_sees_what_the_first_one_did(
    room: EngineRoom, script: MessagesControl, home: Home
) -> None:
    pay = bash("echo paid >> receipts; cat receipts")
    await plays(script, "pay the bill", pay, bash(LONG), DONE, times=1)
    await plays(script, "pay the bill", says("It was paid."))
    job = await room.add("pay the bill")
    run = await room.live_run(job)

    async def second_tool() -> bool:
        file = home.job_folder(job.id or 0) / "transcript.jsonl"
        return file.exists() and "time.sleep(60)" in file.read_text()

    await room.until(second_tool)
    psutil.Process(run.pid or 0).kill()
    ended = await room.ended(job)
    assert (ended.state, ended.result) == (JobState.done, "It was paid.")
    prompt = (await script.requests())[-1].prompt
    assert "- done: Bash echo paid >> receipts; cat receipts → paid" in prompt
    assert f"MAY OR MAY NOT have taken effect, look before doing it again: Bash {LONG}" in prompt
    assert (home.job_folder(job.id or 0) / "work" / "receipts").read_text() == "paid\n"


async def test_a_second_attempt_whose_session_is_lost_knows_it_all_the_same(
    room: EngineRoom, script: MessagesControl, home: Home
) -> None:
    await plays(script, "pay the bill", bash("echo paid > receipt"), bash(LONG), DONE, times=1)
    await plays(script, "pay the bill", says("It was paid."))
    job = await room.add("pay the bill")
    run = await room.live_run(job)
    await room.until(lambda: _holds(home.job_folder(job.id or 0) / "transcript.jsonl", "sleep(60)"))
    forget(home)
    psutil.Process(run.pid or 0).kill()
    ended = await room.ended(job)
    assert ended.state is JobState.done
    prompt = (await script.requests())[-1].prompt
    assert prompt.startswith("The session that this work was begun in is gone")
    assert "- done: Bash echo paid > receipt" in prompt
    assert "session was lost" in (await room.said(job.id))[-1]


async def _holds(file: Path, words: str) -> bool:
    return file.exists() and words in file.read_text()


@pytest.mark.timeout(300)
async def test_fifty_jobs_survive_three_kills_a_hand_over_and_a_lost_session(
    room: EngineRoom, script: MessagesControl, home: Home
) -> None:
    chance = random.Random(20261121)
    worker = await room.add_worker("email")
    await plays(script, HANDOVER, says("THE SUMMARY: append to the book."))
    await plays(script, "<task>\nentry 20 ", says("Grown.", usage={"input_tokens": BIG}))
    step = bash("echo {{match.number}} >> book", usage={"input_tokens": 500})
    rule = {"when": {"prompt": r"<task>\nentry (?P<number>\d+) "}, "turn": [step, says("Written.")]}
    await script.add_rules([Rule.model_validate(rule)])
    added = [
        await room.add(f"entry {number} of the book", wants_worker_id=worker.id)
        for number in range(50)
    ]
    victims = {7: "child", 17: "cli", 33: "fork server"}
    for number, job in enumerate(added):
        if number == 41:
            room.warm.evict(everything=True)
            forget(home)
        if number in victims:
            pid = await room.until(partial(_begun, room, job.id))
            await asyncio.sleep(chance.uniform(0, 0.1))
            _kill(room, victims[number], pid)
        ended = await room.ended(job, seconds=60)
        assert ended.state is JobState.done, ended.error
    for job in added:
        states = [run.state for run in await room.runs(job.id)]
        assert states.count(RunState.done) == 1
        assert len(await room.said(job.id)) == 1
    written = (home.root / "workers" / "email" / "book").read_text().split()
    assert set(written) == {str(number) for number in range(50) if number != 20}
    assert len(await happened(room, "session_handed_over")) == 1
    took_over = prompts(await script.requests(), "THE SUMMARY: append to the book.")
    assert len(took_over) >= 1 and "entry 21 of the book" in took_over[0]
    (lost,) = await happened(room, "session_lost")
    assert lost.job_id is not None and lost.job_id > (added[40].id or 0)
    now = await worker_now(room, worker)
    assert 1 <= now.session_job_count <= 50 - 41


async def _begun(room: EngineRoom, job_id: int | None) -> int | None:
    """The process of a job's run, once it has one, be it over by now."""
    found = await room.runs(job_id)
    return found[-1].pid if found else None


def _kill(room: EngineRoom, victim: str, child: int) -> None:
    """kill -9 at whatever it does just now; a process that is gone already needs none."""
    with suppress(psutil.Error):
        if victim == "fork server":
            psutil.Process(room.forks.pid or 0).send_signal(signal.SIGKILL)
        else:
            process = psutil.Process(child)
            targets = process.children() if victim == "cli" else [process]
            for each in targets[:1]:
                each.send_signal(signal.SIGKILL)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"skills": ["nothing-like-it"]}, "there is no skill 'nothing-like-it'"),
        ({"model": "claude-none"}, "model"),
        ({"backend": "crystal-ball"}, "crystal-ball"),
    ],
    ids=["skill", "model", "backend"],
)
async def test_what_there_is_not_ends_the_job_at_once_in_one_line(
    room: EngineRoom, script: MessagesControl, wanted: dict[str, Any], words: str
) -> None:
    fault = {"kind": "not_found", "message": "model: claude-none"}
    rule = {"when": {"model": "claude-none"}, "turn": [{**DONE, "fault": fault}]}
    await script.add_rules([Rule.model_validate(rule)])
    job = await room.ended(await room.add("try it", **wanted))
    assert job.state is JobState.failed
    assert words in (job.error or "") and "\n" not in (job.error or "")
    assert len(await room.runs(job.id)) <= 1
    assert len(await room.said(job.id)) == 1


async def test_a_backend_that_cannot_start_ends_the_job_at_once(
    database: Database, home: Home, clock: VirtualClock, access: ModelAccess
) -> None:
    variables = {**access.variables, "AGENTOS_CLAUDE_PROGRAM": "/nowhere/claude"}
    broken = ModelAccess(
        source=access.source, variables=variables, config_folder=access.config_folder
    )
    room = EngineRoom(database, clock=clock, home=home, access=broken, config=Config())
    async with running(room):
        job = await room.ended(await room.add("try it"))
        assert job.state is JobState.failed and len(await room.runs(job.id)) == 1
        assert "the Claude CLI is missing: there is no /nowhere/claude" in (job.error or "")


async def test_a_prompt_of_two_megabytes_is_done(room: EngineRoom, script: MessagesControl) -> None:
    await plays(script, "the last word", says("Read."))
    text = "A long story. " * 150_000 + "the last word"
    job = await room.ended(await room.add(text, title="Read it"), seconds=60)
    assert (job.state, job.result) == (JobState.done, "Read.")
    seen = (await script.requests())[-1]
    assert len(seen.prompt) > 2_000_000
    first = json.loads(
        (room.home.job_folder(job.id or 0) / "transcript.jsonl").read_text().splitlines()[0]
    )
    assert len(first["text"]) < 30_000
