"""Bot API servers that know less, or refuse more, than Telegram does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from agentos.domain.clock import SystemClock
from agentos.domain.talk import Message, OutboxKind
from agentos.domain.work import Job
from agentos.store import jobs, messages
from agentos.store.database import Database
from tests.telegram_room import CHAT, TelegramRoom, free_port

_CHAT = {"id": 7001, "type": "private", "first_name": "Owner"}


class SmallServer:
    """Knows getUpdates, sendMessage, editMessageText and sendDocument, and nothing else."""

    def __init__(self) -> None:
        self.shown: dict[int, str] = {}
        self.calls: list[str] = []
        self.refuse_entities = False
        self.refuse_files: int | None = None
        self.tells_numbers = True
        self._next = 1

    async def answer(self, request: Request) -> Response:
        """Any method."""
        method = request.path_params["method"]
        async with request.form() as form:
            given: dict[str, Any] = dict(form)
        self.calls.append(method)
        if method == "getUpdates":
            await asyncio.sleep(0.2)
            return JSONResponse({"ok": True, "result": []})
        if self.refuse_entities and ("entities" in given or "caption_entities" in given):
            return _no(400, "Bad Request: can't parse entities: unsupported")
        if method in ("sendDocument", "sendPhoto") and self.refuse_files:
            return PlainTextResponse("<html>no</html>", status_code=self.refuse_files)
        if method == "sendPhoto":
            return _no(400, "Bad Request: PHOTO_INVALID_DIMENSIONS")
        if method in ("sendMessage", "sendDocument"):
            self._next += 1
            self.shown[self._next] = given.get("text", given.get("caption", ""))
            if not self.tells_numbers:
                return JSONResponse({"ok": True, "result": {}})
            return _message(self._next)
        if method == "editMessageText":
            number = int(given["message_id"])
            if number not in self.shown:
                return _no(400, "Bad Request: message to edit not found")
            if self.shown[number] == given["text"]:
                return _no(400, "Bad Request: message is not modified")
            self.shown[number] = given["text"]
            return _message(number)
        return _no(404, "Not Found")


def _no(code: int, words: str) -> Response:
    return JSONResponse({"ok": False, "error_code": code, "description": words}, status_code=code)


def _message(number: int) -> Response:
    return JSONResponse({"ok": True, "result": {"message_id": number, "date": 1, "chat": _CHAT}})


@asynccontextmanager
async def _serving(server: SmallServer) -> AsyncIterator[str]:
    routes = [Route("/bot{token}/{method}", server.answer, methods=["GET", "POST"])]
    port = free_port()
    config = uvicorn.Config(
        Starlette(routes=routes), port=port, log_level="error", lifespan="off", ws="none"
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.should_exit = True
        await task


@pytest.fixture
def server() -> SmallServer:
    return SmallServer()


@pytest.fixture
async def room(database: Database, server: SmallServer) -> AsyncIterator[TelegramRoom]:
    async with _serving(server) as url, TelegramRoom(database, url) as room:
        yield room


async def _asked(room: TelegramRoom, *, number: int = 1) -> Message:
    message = Message(
        channel="telegram",
        conversation=CHAT,
        external_id=f"u{number}",
        external_message_id=str(number),
        text="?",
        received_at=SystemClock().now(),
    )
    stored = await room.database.write(lambda c: messages.receive(c, message))
    assert stored is not None
    return stored


async def test_without_drafts_the_answer_grows_by_edits(
    room: TelegramRoom, server: SmallServer
) -> None:
    message = await _asked(room)
    await room.channel.preview(message, text="Once")  # finds out that there are no drafts
    for text in ("Once **upon**", "Once upon a"):
        await asyncio.sleep(1.1)
        await room.channel.preview(message, text=text)
    assert list(server.shown.values()) == ["Once upon a"]
    row = await room.sent(await room.say("Once upon a *time*.", key="a", message_id=message.id))
    assert server.shown == {int(row.external_id or 0): "Once upon a time."}
    assert server.calls.count("sendMessageDraft") == 1

    await room.sent(await room.say("PS", key="b", message_id=message.id))
    assert list(server.shown.values()) == ["Once upon a time.", "PS"]


async def test_a_preview_of_before_a_crash_becomes_the_answer(
    room: TelegramRoom, server: SmallServer
) -> None:
    message = await _asked(room)
    server.shown[77] = "Once up"
    await room.database.write(lambda c: messages.set_preview(c, message.id or 0, "77"))
    text = "\n".join(f"line {number} " + "x" * 80 for number in range(60))
    await room.sent(await room.say(text, key="a", message_id=message.id))
    assert "\n".join(server.shown.values()) == text
    assert len(server.shown) == 2
    await room.sent(await room.say("PS", key="b", message_id=message.id))
    assert server.shown[77].startswith("line 0")


async def test_no_reactions_and_no_typing_are_asked_for_twice(
    room: TelegramRoom, server: SmallServer
) -> None:
    for number in (1, 2, 3):
        await room.channel.acknowledge(await _asked(room, number=number))
        await asyncio.sleep(0.5)  # for both refusals to arrive
    assert server.calls.count("setMessageReaction") == 1
    assert server.calls.count("sendChatAction") == 1


async def test_refused_formatting_arrives_plain(room: TelegramRoom, server: SmallServer) -> None:
    server.refuse_entities = True
    first = await room.say("a **bold** word", key="a")
    await room.say("a *changed* word", key="b", edits_id=first)
    await room.sent(await room.say("end", key="c"))
    assert list(server.shown.values()) == ["a changed word", "end"]


async def test_a_refused_picture_arrives_as_a_document(
    room: TelegramRoom, server: SmallServer, tmp_path: Path
) -> None:
    picture = tmp_path / "wide.png"
    picture.write_bytes(b"\x89PNG")
    await room.sent(await room.send_file(picture, caption="*see*", photo=True))
    assert list(server.shown.values()) == ["see"]
    assert "sendDocument" in server.calls


async def test_a_file_that_no_server_takes_is_told_of(
    room: TelegramRoom, server: SmallServer, tmp_path: Path
) -> None:
    server.refuse_files = 413
    file = tmp_path / "big.bin"
    file.write_bytes(b"x")
    await room.sent(await room.send_file(file, caption="Done."))
    (said,) = server.shown.values()
    assert said.startswith("Done.") and "did not take big.bin" in said


@pytest.mark.parametrize("status", [404, 500])
async def test_a_server_that_cannot_do_files_does_not_hold_up_the_chat(
    room: TelegramRoom, server: SmallServer, tmp_path: Path, status: int
) -> None:
    server.refuse_files = status
    file = tmp_path / "notes.md"
    file.write_bytes(b"x")
    row = await room.send_file(file, caption="notes.md")
    behind = await room.say("what comes next", key="next")
    await room.sent(row)
    await room.sent(behind)
    first, second = server.shown.values()
    assert "did not take notes.md" in first
    assert second == "what comes next"


async def test_a_server_that_tells_no_numbers_is_told_things_once(
    room: TelegramRoom, server: SmallServer
) -> None:
    server.tells_numbers = False
    message = await _asked(room)
    for text in ("One", "One moment"):  # the first finds out that there are no drafts
        await room.channel.preview(message, text=text)
        await asyncio.sleep(1.1)
    await room.channel.preview(message, text="One moment please")
    row = await room.sent(await room.say("An answer", key="a", message_id=message.id))
    assert row.external_id is None
    await room.sent(await room.say("An edit", key="b", edits_id=row.id))
    assert list(server.shown.values()) == ["One moment", "An answer", "An edit"]


async def test_files_go_one_by_one_to_a_server_without_albums(
    room: TelegramRoom, server: SmallServer, tmp_path: Path
) -> None:
    at, ids = SystemClock().now(), []
    job = Job(title="note", prompt="note", created_at=at)
    job_id = (await room.database.write(lambda c: jobs.enqueue(c, job))).id
    async with room.deliverer_stopped():
        for name in ("a.csv", "b.csv", "c.csv"):
            (tmp_path / name).write_bytes(b"x")
            path = str(tmp_path / name)
            more = {"kind": OutboxKind.document, "file_path": path, "job_id": job_id}
            ids.append(await room.say(name, key=name, **more))
    for one in ids:
        await room.sent(one)
    assert list(server.shown.values()) == ["a.csv", "b.csv", "c.csv"]
    assert server.calls.count("sendMediaGroup") == 1


async def test_a_long_answer_is_all_text_where_files_are_refused(
    room: TelegramRoom, server: SmallServer
) -> None:
    server.refuse_files = 413
    text = "\n".join(f"line {number} " + "x" * 80 for number in range(200))
    await room.sent(await room.say(text, key="long"))
    first, *rest = server.shown.values()
    beginning, _, note = first.rpartition("\n\n")
    assert "\n".join([beginning, *rest]) == text
    assert "in the file" in note
