"""The terminal channel: what is said waits for somebody, is said once, and is never lost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agentos.channels.delivery import Deliverer
from agentos.channels.terminal import TerminalChannel
from agentos.config import Config
from agentos.control.link import Link
from agentos.control.server import ControlServer
from agentos.domain.clock import SystemClock
from agentos.domain.states import OutboxState
from agentos.domain.talk import Message, Outgoing
from agentos.errors import BadRequest, NotFound
from agentos.home import Home
from agentos.store import outbox, rows
from agentos.store.database import Database
from tests.control_room import PlainDesk

Event = dict[str, Any]


class Room:
    """A desk, a terminal channel, its deliverer and a socket, all real."""

    def __init__(self, home: Home, database: Database) -> None:
        self.home, self.database, self.clock = home, database, SystemClock()
        self.desk = PlainDesk(database, home=home)
        self.terminal = TerminalChannel(database, clock=self.clock, reception=self.desk)
        self.desk.channel = self.terminal
        self.server = ControlServer(
            home,
            database=database,
            clock=self.clock,
            config=Config(),
            extra=self.terminal.operations(),
        )
        self.links: list[Link] = []

    async def link(self, **attach: Any) -> Link:
        """A terminal that has come to listen."""
        link = await Link.open(self.home.socket)
        self.links.append(link)
        await link.call("chat.attach", **attach)
        return link

    async def say(self, text: str, *, key: str) -> Outgoing:
        at = self.clock.now()
        return await self.database.write(
            lambda c: outbox.say(c, key=key, conversation="terminal:main", text=text, at=at)
        )

    async def state_of(self, key: str) -> OutboxState:
        row = await self.database.query(lambda c: outbox.find_by_key(c, key))
        assert row is not None
        return row.state


@pytest.fixture
async def room(home: Home, database: Database) -> AsyncIterator[Room]:
    room = Room(home, database)
    await room.server.start()
    deliverer = asyncio.create_task(
        Deliverer(database, clock=room.clock, channel=room.terminal).run()
    )
    yield room
    for link in room.links:
        await link.close()
    for task in (deliverer, *room.desk.errands):
        task.cancel()
    await asyncio.gather(deliverer, *room.desk.errands, return_exceptions=True)
    await room.server.close()


async def next_event(link: Link, kind: str, *, within: float = 5) -> Event:
    """The next event of a kind."""
    async with asyncio.timeout(within):
        while True:
            event = await link.events.get()
            assert event is not None, "the daemon has gone"
            if event["event"] == kind:
                return event


async def hear(link: Link, *, within: float = 5) -> Event:
    """The next thing said, confirmed."""
    event = await next_event(link, "said", within=within)
    await link.call("chat.got", outbox_id=event["outbox_id"])
    return event


async def until(condition: Any, *, within: float = 5) -> None:
    deadline = asyncio.get_running_loop().time() + within
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)


async def test_a_message_is_acknowledged_previewed_and_answered(room: Room) -> None:
    link = await room.link()
    told = await link.call("chat.say", text="hi", key="k1")
    kinds = [(await link.events.get() or {})["event"] for _ in range(2)]
    assert kinds == ["ack", "preview"]
    said = await hear(link)
    assert (said["text"], said["message_id"]) == ("You said: **hi**", told["message_id"])


async def test_the_same_key_is_the_same_message(room: Room) -> None:
    link = await room.link()
    first = await link.call("chat.say", text="hi", key="k1")
    again = await link.call("chat.say", text="hi", key="k1")
    assert first == again
    await hear(link)
    with pytest.raises(TimeoutError):
        await hear(link, within=0.3)


async def test_what_is_said_waits_until_somebody_comes(room: Room) -> None:
    for number in range(3):
        await room.say(f"news {number}", key=f"n{number}")
    await asyncio.sleep(0.2)
    assert await room.state_of("n0") is not OutboxState.sent
    link = await room.link()
    assert [(await hear(link))["text"] for _ in range(3)] == ["news 0", "news 1", "news 2"]
    await until(lambda: _is_sent(room, "n2"))


async def _is_sent(room: Room, key: str) -> bool:
    return await room.state_of(key) is OutboxState.sent


async def test_a_terminal_that_closes_before_it_has_shown_a_row_leaves_it_unsent(
    room: Room,
) -> None:
    hasty = await room.link()
    await room.say("news", key="n")
    await next_event(hasty, "said")
    await hasty.close()
    calm = await room.link()
    said = await hear(calm, within=15)
    assert said["text"] == "news"
    assert said["uncertain"]
    await until(lambda: _is_sent(room, "n"))


async def test_every_terminal_hears_it_and_one_confirmation_is_enough(room: Room) -> None:
    first, second = await room.link(), await room.link()
    await room.say("news", key="n")
    assert (await hear(first))["text"] == "news"
    await until(lambda: _is_sent(room, "n"))
    assert (await next_event(second, "said"))["text"] == "news"
    await second.call("chat.got", outbox_id=1)  # late, and no harm


async def test_a_terminal_that_comes_back_can_ask_for_what_it_missed(room: Room) -> None:
    link = await room.link()
    ids = []
    for number in range(3):
        await room.say(f"news {number}", key=f"n{number}")
        ids.append((await hear(link))["outbox_id"])
    await until(lambda: _is_sent(room, "n2"))
    back = await room.link(since_outbox_id=ids[0])
    texts = [(await next_event(back, "said"))["text"] for _ in range(2)]
    assert texts == ["news 1", "news 2"]


async def test_a_card_is_tapped_once(room: Room) -> None:
    link = await room.link()
    await link.call("chat.say", text="card", key="k")
    said = await hear(link)
    assert said["buttons"][0][0] == {"label": "Go", "data": f"card:{said['card_id']}:go"}
    tap = {"card_id": said["card_id"], "key": "go"}
    assert (await link.call("chat.tap", **tap))["toast"] == "✓ go"
    assert (await link.call("chat.tap", **tap))["toast"] == "That was answered before."
    with pytest.raises(BadRequest, match="has the options go, drop"):
        await link.call("chat.tap", card_id=said["card_id"], key="dance")
    with pytest.raises(NotFound):
        await link.call("chat.tap", card_id=99, key="go")


async def test_the_state_of_a_message_follows_its_work(room: Room) -> None:
    link = await room.link()
    message = await link.call("chat.say", text="work hard", key="k")
    assert (await hear(link))["text"] == "On it."
    state = await link.call("chat.state", **message)
    assert not state["done"]
    assert state["jobs"][0]["title"] == "work hard"
    said = await hear(link)
    assert Path(said["file"]).read_text() == "# The report\n"

    async def done() -> bool:
        return bool((await link.call("chat.state", **message))["done"])

    await until(done)
    assert (await link.call("chat.state", **message))["jobs"][0]["ended"]


async def test_an_open_card_is_told_and_not_waited_for(room: Room) -> None:
    link = await room.link()
    message = await link.call("chat.say", text="card", key="k")
    await hear(link)

    async def done() -> bool:
        return bool((await link.call("chat.state", **message))["done"])

    await until(done)
    state = await link.call("chat.state", **message)
    assert [option["key"] for option in state["cards"][0]["options"]] == ["go", "drop"]


async def test_the_answer_to_a_question_belongs_to_the_message_that_was_asked_about(
    room: Room,
) -> None:
    link = await room.link()
    message = await link.call("chat.say", text="card", key="k")
    card_id = (await hear(link))["card_id"]
    again = await link.call("chat.say", text="work", key=f"card:{card_id}")
    state = await link.call("chat.state", **message)
    assert state["messages"] == [message["message_id"], again["message_id"]]
    assert not state["done"]


async def test_a_file_comes_along(room: Room, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("tea")
    link = await room.link()
    await link.call("chat.say", text="read", key="k", files=[str(file)])
    assert (await hear(link))["text"] == "You said: **read** with notes.txt"
    stored = await room.database.query(lambda c: rows.newest(c, Message, limit=1))
    folder = room.home.inbox / "1"
    folder.mkdir()
    fetched = await room.terminal.fetch(stored[0].attachments[0], folder=folder)
    assert (fetched, fetched.read_text()) == (folder / "notes.txt", "tea")
    file.unlink()
    with pytest.raises(BadRequest, match=r"notes\.txt cannot be read"):
        await room.terminal.fetch(stored[0].attachments[0], folder=folder)


@pytest.mark.parametrize(
    ("op", "params", "words"),
    [
        ("chat.say", {"text": "hi"}, "needs key"),
        ("chat.say", {"text": 7, "key": "k"}, "text is wrong"),
        ("chat.say", {"text": "", "key": "k", "files": ["relative.txt"]}, "there is no file"),
        ("chat.say", {"text": "", "key": "k", "files": ["/nowhere/at/all"]}, "there is no file"),
        ("chat.got", {"outbox_id": "x"}, "outbox_id is wrong"),
        ("chat.attach", {"loudly": True}, "does not know loudly"),
        ("chat.tap", {"card_id": 1}, "needs key"),
        ("chat.state", {}, "needs message_id"),
    ],
)
async def test_wrong_words_are_refused(room: Room, op: str, params: Event, words: str) -> None:
    link = await room.link()
    with pytest.raises(BadRequest, match=words):
        await link.call(op, **params)


async def test_a_hundred_kilobytes_arrive_whole(room: Room) -> None:
    link = await room.link()
    text = "long " * 20_000
    await link.call("chat.say", text=text, key="k")
    assert (await hear(link))["text"] == f"You said: **{text}**"


async def test_progress_is_a_line_now_and_then_for_whoever_is_there(room: Room) -> None:
    row = await room.say("On it.", key="ack:1")
    assert not await room.terminal.progress(row, text="⚙ a note")
    link = await room.link()
    assert not await room.terminal.progress(row, text="⚙ a note")
    row.created_at -= timedelta(seconds=20)
    shown = [await room.terminal.progress(row, text=f"⚙ a note\n{n}") for n in range(3)]
    assert shown == [True, False, False]
    told = await link.events.get()
    while told is not None and told["event"] != "progress":
        told = await link.events.get()
    assert told is not None and told["text"] == "⚙ a note\n0"
