"""Saying things on Telegram: formatted, in order, once, and when it goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agentos.domain.clock import SystemClock
from agentos.domain.states import OutboxState
from agentos.domain.talk import OutboxKind
from agentos.domain.work import Job
from agentos.errors import BadRequest, ChannelDown
from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import ChatMessage, TelegramUser
from agentos.store import jobs, messages, outbox
from agentos.store.database import Database
from tests.telegram_room import TelegramRoom, until

_NOTE = "↻ (sent again after a hiccup; you may have seen this)"


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    started = StandinProcess.start_blocking("bot")
    yield started
    started.stop_blocking()


@pytest.fixture
async def bot(standin: StandinProcess) -> StandinProcess:
    async with TelegramUser(standin.url) as user:
        await user.reset()
    return standin


@pytest.fixture
async def owner(bot: StandinProcess) -> AsyncIterator[TelegramUser]:
    async with TelegramUser(bot.url) as user:
        yield user


@pytest.fixture
async def room(database: Database, bot: StandinProcess) -> AsyncIterator[TelegramRoom]:
    async with TelegramRoom(database, bot.url) as room:
        yield room


async def _ours(owner: TelegramUser) -> list[ChatMessage]:
    return [one for one in (await owner.chat()).messages if one.by == "bot"]


async def test_markdown_arrives_formatted(room: TelegramRoom, owner: TelegramUser) -> None:
    await room.say("# Plan\n\n**bold** and `code`, buy <milk> 🙂\n\n- one", key="a", silent=True)
    said = await owner.wait_for("Plan")
    assert said.text == "Plan\n\nbold and code, buy <milk> 🙂\n\n• one"
    assert {one["type"] for one in said.entities} == {"bold", "underline", "code"}
    assert said.silent


async def test_a_long_text_arrives_in_parts_with_the_buttons_last(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    lines = "\n".join(f"line {number} **bold** 🙂" for number in range(600))
    buttons = [[{"label": "Go", "data": "card:1:go"}, {"label": "Drop", "data": "card:1:drop"}]]
    row_id = await room.say(lines, key="long", buttons=buttons)
    row = await room.sent(row_id)
    said = await _ours(owner)
    assert len(said) == 3
    assert "\n".join(one.text for one in said) == lines.replace("*", "")
    assert [one.labels for one in said] == [[], [], ["Go", "Drop"]]
    assert row.external_id == str(said[-1].message_id)


async def test_a_crash_between_parts_says_none_of_them_twice(
    database: Database, bot: StandinProcess, owner: TelegramUser
) -> None:
    text = "\n".join(f"paragraph {number} " + "x" * 80 for number in range(120))
    async with TelegramRoom(database, bot.url) as room:
        row_id = await room.say(text, key="long")

        async def one_is_noted() -> bool:
            return ((await room.row(row_id)).external_id or "").startswith("1/")

        await until(one_is_noted)
        await owner.plan_fault("hang", method="sendMessage", seconds=3600)
        await _until_it_hangs(owner)
        before = len(await _ours(owner))
    async with TelegramRoom(database, bot.url) as room:
        await database.write(outbox.recover)
        await room.sent(row_id)
        said = [one.text for one in await _ours(owner)]
    assert [number for number, one in enumerate(said) if one.startswith(_NOTE)] == [before]
    assert "\n".join(said).replace(_NOTE + "\n\n", "") == text


async def _until_it_hangs(owner: TelegramUser) -> None:
    async def hangs() -> object:
        calls = await owner.calls(method="sendMessage")
        return [one for one in calls if one.fault == "hang"]

    await until(hangs)


async def test_an_edit_replaces_what_was_shown(room: TelegramRoom, owner: TelegramUser) -> None:
    first = await room.say("Go?", key="ask", buttons=[[{"label": "Go", "data": "card:1:go"}]])
    await room.say("▶ **Started**", key="started", edits_id=first)
    await owner.wait_for("^▶ Started")
    (only,) = await _ours(owner)
    assert (only.edits, only.labels) == (1, [])
    same = await room.say("▶ **Started**", key="again", edits_id=first)
    row = await room.sent(same)
    assert row.external_id == str(only.message_id)


async def test_an_edit_of_a_message_that_is_gone_is_said_anew(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    first = await room.say("Go?", key="ask")
    await room.sent(first)
    await owner.reset()
    await room.say("▶ Started", key="started", edits_id=first)
    await owner.wait_for("^▶ Started")


async def test_the_order_in_a_chat_survives_a_failing_head(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    await owner.plan_fault("500", method="sendMessage", times=2)
    ids = [await room.say(f"number {number}", key=str(number)) for number in range(3)]
    for one in ids:
        await room.sent(one)
    assert [one.text for one in await _ours(owner)] == ["number 0", "number 1", "number 2"]
    assert (await room.row(ids[0])).attempts == 3


async def test_other_chats_do_not_wait_for_a_stuck_one(
    room: TelegramRoom, owner: TelegramUser, bot: StandinProcess
) -> None:
    await owner.plan_fault("hang", method="sendMessage", seconds=3600)
    await room.say("stuck", key="stuck")
    await _until_it_hangs(owner)
    async with TelegramUser(bot.url, user_id=666) as stranger:
        await stranger.say("hi")
        await stranger.wait_for("can't help you", timeout=timedelta(seconds=5))


async def test_what_never_will_work_does_not_hold_the_rest(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    lost = await room.say("nobody is there", key="lost", conversation="telegram:12345")
    empty = await room.say("  \n ", key="empty")
    assert "Chat not found" in ((await room.becomes(lost, OutboxState.failed)).error or "")
    assert "nothing to say" in ((await room.becomes(empty, OutboxState.failed)).error or "")
    await owner.plan_fault("403", method="sendMessage")
    blocked = await room.say("blocked", key="blocked")
    await room.say("after", key="after")
    await owner.wait_for("after")
    assert "blocked by the user" in ((await room.row(blocked)).error or "")


async def test_a_flood_refusal_waits_as_long_as_it_says(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    await owner.plan_fault("429", method="sendMessage", retry_after=2)
    row = await room.sent(await room.say("patience", key="patience"))
    first, second = await owner.calls(method="sendMessage")
    assert 2.0 <= second.monotonic - first.monotonic < 4.0
    assert not row.uncertain


async def test_a_send_whose_reply_is_lost_is_repeated_with_a_note(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    await owner.plan_fault("drop_after", method="sendMessage")
    row = await room.sent(await room.say("the **result**", key="result"))
    assert row.uncertain
    first, second = await _ours(owner)
    assert first.text == "the result"
    assert second.text == f"{_NOTE}\n\nthe result"
    bold = [one for one in second.entities if one["type"] == "bold"]
    assert [(one["offset"], one["length"]) for one in bold] == [(len(_NOTE) + 6, 6)]


async def test_a_refusal_in_the_servers_own_words_needs_no_note(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    await owner.plan_fault("500", method="sendMessage")
    row = await room.sent(await room.say("clean", key="clean"))
    assert not row.uncertain
    assert [one.text for one in await _ours(owner)] == ["clean"]


async def test_an_edit_whose_reply_is_lost_leaves_no_trace(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    first = await room.say("Go?", key="ask")
    await owner.plan_fault("drop_after", method="editMessageText")
    await room.sent(await room.say("Started", key="started", edits_id=first))
    assert [one.text for one in await _ours(owner)] == ["Started"]


async def test_a_burst_stays_within_telegrams_limits(database: Database) -> None:
    async with (
        await StandinProcess.start("bot", args=["--limits"]) as bot,
        TelegramUser(bot.url) as owner,
        TelegramRoom(database, bot.url) as room,
    ):
        ids = [await room.say(f"number {number}", key=str(number)) for number in range(6)]
        for one in ids:
            assert (await room.sent(one)).attempts == 1
        assert len(await _ours(owner)) == 6


async def test_results_quote_their_question_and_answers_do_not(
    room: TelegramRoom, owner: TelegramUser
) -> None:
    asked = await owner.say("write a note")
    message = await room.message("write a note")
    job_id = await _job(room)
    await room.say("Here it is", key="result", message_id=message.id, job_id=job_id)
    await room.say("On it", key="answer", message_id=message.id)
    assert (await owner.wait_for("Here it is")).reply_to == asked.message_id
    assert (await owner.wait_for("On it")).reply_to is None


async def test_the_answer_follows_its_drafts(room: TelegramRoom, owner: TelegramUser) -> None:
    await owner.say("tell me")
    message = await room.message("tell me")
    await room.channel.preview(message, text="Once **upon**")
    view = await owner.chat()
    assert [one.text for one in view.drafts] == ["Once upon"]
    await room.channel.preview(message, text="Once **upon** a")  # too soon: dropped
    assert (await owner.chat()).draft_changes == 1
    await asyncio.sleep(0.6)
    await room.channel.preview(message, text="Once **upon** a time" + "." * 9000)
    assert (await owner.chat()).draft_changes == 2
    await room.sent(await room.say("Once **upon** a time.", key="answer", message_id=message.id))
    await asyncio.sleep(0.6)
    await room.channel.preview(message, text="too late")
    view = await owner.chat()
    assert (view.drafts, view.draft_changes) == ([], 2)
    assert view.messages[-1].text == "Once upon a time."
    assert view.action is None


async def test_files_go_both_ways(room: TelegramRoom, owner: TelegramUser, tmp_path: Path) -> None:
    note = tmp_path / "note.md"
    note.write_text("# Tea\n")
    await room.send_file(note, caption="Your **note**")
    said = await owner.wait_for_document("note.md")
    assert said.document is not None and said.document.kind == "document"
    assert said.text == "Your note"
    assert await owner.open(said.document) == b"# Tea\n"

    await owner.send_file("passwd.txt", content=b"hi", caption="look")
    message = await room.message("look")
    (attachment,) = message.attachments
    assert (attachment["kind"], attachment["size"]) == ("document", 2)
    attachment["name"] = "../../etc/pass\u202ewd.txt"
    folder = tmp_path / "inbox" / "1"
    path = await room.channel.fetch(attachment, folder=folder)
    again = await room.channel.fetch(attachment, folder=folder)
    assert (path, again) == (folder / "passwd.txt", folder / "passwd-2.txt")
    assert path.read_bytes() == b"hi"
    assert sorted(one.name for one in folder.iterdir()) == ["passwd-2.txt", "passwd.txt"]


async def test_a_picture_arrives_as_a_picture(
    room: TelegramRoom, owner: TelegramUser, tmp_path: Path
) -> None:
    picture = tmp_path / "plot.png"
    picture.write_bytes(b"\x89PNG fake")
    await room.send_file(picture, photo=True)
    said = await owner.wait_for_document("plot.png")
    assert said.document is not None and said.document.kind == "photo"


async def test_the_files_of_a_job_arrive_as_albums(
    room: TelegramRoom, owner: TelegramUser, tmp_path: Path
) -> None:
    """Pictures together, documents together, at the message that asked; what is alone is alone."""
    asked = await owner.say("plot it")
    job_id = await _job(room, message_id=(await room.message("plot it")).id)
    names = ["a.png", "b.csv", "c.png", "d.csv", "e.txt"]
    async with room.deliverer_stopped():
        ids = await _files(room, tmp_path, names, job_id=job_id)
    other = await room.send_file(tmp_path / "a.png", caption="of nothing", photo=True)
    behind = await room.say("that is all", key="behind")
    for one in [*ids, other, behind]:
        assert (await room.sent(one)).external_id
    said = await _ours(owner)
    albums = [one.album for one in said]
    assert [one.document.name for one in said if one.document] == [
        *("a.png", "c.png", "b.csv", "d.csv", "e.txt", "a.png")
    ]
    assert albums[0] == albums[1] != albums[2] == albums[3] == albums[4] != albums[5] is None
    assert [one.text for one in said] == ["a.png\nc.png", *[""] * 4, "of nothing", "that is all"]
    assert said[0].reply_to == said[2].reply_to == asked.message_id
    assert len(await owner.calls(method="sendMediaGroup")) == 2


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
async def test_an_album_whose_reply_is_lost_comes_once_more_as_one(
    room: TelegramRoom, owner: TelegramUser, tmp_path: Path, fault: str
) -> None:
    await owner.plan_fault(fault, method="sendMediaGroup")
    job_id = await _job(room)
    async with room.deliverer_stopped():
        ids = await _files(room, tmp_path, ["a.csv", "b.csv", "c.csv"], job_id=job_id)
    rows = [await room.settled(one) for one in ids]
    said = await _ours(owner)
    albums = [one.album for one in said]
    assert [row.state for row in rows] == [OutboxState.sent] * 3
    assert len(said) == (3 if fault == "drop_before" else 6)
    assert len(set(albums)) == len(said) / 3
    assert said[-3].text.startswith(_NOTE)


async def test_a_crash_behind_an_album_sends_none_of_it_again(
    database: Database, bot: StandinProcess, owner: TelegramUser, tmp_path: Path
) -> None:
    """The process ends when the album is written down, and before its first row is marked sent."""
    async with TelegramRoom(database, bot.url) as room:
        async with room.deliverer_stopped():
            job_id = await _job(room)
            ids = await _files(room, tmp_path, ["a.csv", "b.csv"], job_id=job_id)
            first = await room.row(ids[0])
            await database.write(lambda c: outbox.mark_sending(c, ids[0]))
            await room.channel.deliver(first)
        await database.write(outbox.recover)
        await room.sent(ids[0])
        await room.sent(ids[1])
    assert [one.text for one in await _ours(owner)] == ["", ""]


async def test_a_long_caption_goes_on_as_text(
    room: TelegramRoom, owner: TelegramUser, tmp_path: Path
) -> None:
    note = tmp_path / "note.md"
    note.write_text("x")
    caption = "\n".join(f"fact {number}" for number in range(300))
    await room.send_file(note, caption=caption)
    await owner.wait_for("fact 299")
    first, second = await _ours(owner)
    assert first.document is not None and second.document is None
    assert f"{first.text}\n{second.text}" == caption


@pytest.mark.parametrize(
    ("size", "words"),
    [(None, "not there any more"), (0, "is empty"), (51_000_000 * 2, "is 102 MB")],
)
async def test_a_file_that_cannot_be_sent_is_told_of(
    room: TelegramRoom, owner: TelegramUser, tmp_path: Path, size: int | None, words: str
) -> None:
    file = tmp_path / "my_great_file.bin"
    if size is not None:
        with file.open("wb") as sparse:
            sparse.truncate(size)
    await room.send_file(file, caption="Done.")
    said = await owner.wait_for(words)
    assert said.text.startswith("Done.")
    assert "my_great_file.bin" in said.text


async def test_a_file_that_is_too_big_is_stored_and_refused_kindly(
    room: TelegramRoom, owner: TelegramUser, tmp_path: Path
) -> None:
    await owner.send_file("film.mp4", size=30_000_000, kind="video", caption="watch")
    message = await room.message("watch")
    (attachment,) = message.attachments
    assert attachment["too_big"]
    with pytest.raises(BadRequest, match=r"film.mp4 is 30 MB.*20 MB.*smaller one"):
        await room.channel.fetch(attachment, folder=tmp_path)
    with pytest.raises(BadRequest, match="20 MB"):  # a server that told no size
        unsized = {**attachment, "size": None, "too_big": False}
        await room.channel.fetch(unsized, folder=tmp_path)


async def test_a_fetch_that_fails_may_be_tried_again(
    room: TelegramRoom, owner: TelegramUser, tmp_path: Path
) -> None:
    await owner.send_file("a.txt", content=b"hi", caption="file", kind="voice")
    (attachment,) = (await room.message("file")).attachments
    await owner.plan_fault("502", method="getFile")
    with pytest.raises(ChannelDown):
        await room.channel.fetch(attachment, folder=tmp_path)
    path = await room.channel.fetch(attachment, folder=tmp_path)
    assert path.name == "voice.ogg"


async def test_preview_ids_of_before_a_restart_are_finished(
    database: Database, bot: StandinProcess, owner: TelegramUser
) -> None:
    """The half-written answer of a process that died becomes the answer."""
    async with TelegramRoom(database, bot.url) as room:
        await owner.say("tell me")
        message = await room.message("tell me")
        half = await room.sent(await room.say("Once upon", key="stands in for a preview"))
        await room.database.write(lambda c: messages.set_preview(c, message.id or 0, "999"))
        row = await room.sent(await room.say("The end", key="answer", message_id=message.id))
        assert row.external_id != half.external_id  # 999 is gone: said anew
        assert [one.text for one in await _ours(owner)] == ["Once upon", "The end"]


async def _job(room: TelegramRoom, *, message_id: int | None = None) -> int | None:
    job = Job(title="note", prompt="note", message_id=message_id, created_at=SystemClock().now())
    return (await room.database.write(lambda c: jobs.enqueue(c, job))).id


async def _files(
    room: TelegramRoom, folder: Path, names: list[str], *, job_id: int | None
) -> list[int]:
    made = []
    for name in names:
        (folder / name).write_bytes(b"x")
        kind = OutboxKind.photo if name.endswith("png") else OutboxKind.document
        path = str(folder / name)
        made.append(await room.say(name, key=name, kind=kind, file_path=path, job_id=job_id))
    return made
