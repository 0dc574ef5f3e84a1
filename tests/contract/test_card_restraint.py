"""Who asks does not answer: from a worker's shell no card is answered, no decision taken back."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentos.config import Config
from agentos.control.answering import AnsweringOperations
from agentos.control.server import ControlServer
from agentos.domain.states import JobState
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.store import jobs
from agentos.store.database import Database
from tests.desk_room import DeskRoom
from tests.row_room import Rows

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
async def serving(database: Database, home: Home, clock: VirtualClock) -> AsyncIterator[Rows]:
    home.copy_editable()
    room = DeskRoom(database, clock=clock, home=home, url="http://127.0.0.1:9")
    config = Config()
    answering = AnsweringOperations(database, home=home, config=config, clock=clock, desk=room.desk)
    server = ControlServer(
        home, database=database, clock=clock, config=config, extra=answering.operations()
    )
    await server.start()
    yield Rows(database, home)
    await server.close()
    await room.sessions.close()
    await room.model.close()


async def pm(home: Home, *arguments: str, mark: str = "") -> Any:
    environment = {**os.environ, "AGENTOS_HOME": str(home.root)}
    if mark:
        environment["AGENTOS_CHILD"] = mark
    command = [sys.executable, "-m", "pm", *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False
    )


async def test_a_worker_asks_from_its_shell_and_the_owner_alone_answers(
    serving: Rows, home: Home
) -> None:
    task = serving.ask("task.add", title="Ship", kind="code")["task"]
    job = serving.job(task=task["id"])
    mark = f"{home.mark}:3"
    question = ["--question", "How?", "--option", "a:Direct:Ship: now", "--option", "b:Staged"]
    asked = await pm(home, "task", "ask", str(task["id"]), *question, "--json", mark=mark)
    assert asked.returncode == 0, asked.stderr
    card = json.loads(asked.stdout)
    assert (card["job_id"], card["options"][0]["consequence"]) == (job["id"], "Ship: now")
    for words in (["card", "answer", "1", "a"], ["policy", "revoke", "1"]):
        refused = await pm(home, *words, mark=mark)
        assert refused.returncode == 1 and "the owner's alone" in refused.stderr, words
    shown = await pm(home, "card", "list")
    assert "How?" in shown.stdout and "a Direct" in shown.stdout
    answered = await pm(home, "card", "answer", "1", "--words", "on Monday")
    assert answered.stdout == "Answered card 1: on Monday\n"
    with serving.database.read() as connection:
        assert jobs.get(connection, job["id"]).state is JobState.queued
    late = await pm(home, "card", "answer", "1", "a")
    assert late.returncode == 1 and "the answer was on Monday" in late.stderr
    wrong = await pm(home, "task", "ask", "1", "--question", "x", "--option", "nolabel")
    assert wrong.returncode == 2 and "a:Direct:Ship now" in wrong.stderr
