"""The front desk when the model fails, and with messages that are not what one expects."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.states import JobState, MessageState
from agentos.errors import StoreUnusable
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.standins.process import StandinProcess
from agentos.store import usage, workers
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate
from tests.desk_room import DeskRoom

T = TypeVar("T")
LATE: dict[str, Any] = {"blocks": [{"text": "late"}], "fault": {"kind": "stall", "seconds": 60}}
REFUSED: dict[str, Any] = {"blocks": [{"text": "no"}], "fault": {"kind": "bad_request"}}
CLARIFY = {"outcome": "clarify", "question": "Which one?", "options": ["The first", "The second"]}
WORK = {
    "outcome": "quick_work",
    "title": "Look at the file",
    "kind": "research",
    "prompt": "Say what is in the file.",
}


class UnreliableDatabase(Database):
    """A real database that can be told to refuse to write."""

    refusal: StoreUnusable | None = None

    def refuse(self, refusal: StoreUnusable | None) -> None:
        """Refuse each write so from now on, or none."""
        self.refusal = refusal

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Write, unless it is to be refused."""
        if self.refusal is not None:
            raise self.refusal
        return await super().write(work)


@pytest.fixture
def database(home: Home) -> Iterator[UnreliableDatabase]:
    made = UnreliableDatabase(sqlite_url(home.database_file))
    migrate(made)
    yield made
    made.close()


@pytest.fixture
async def room(
    database: UnreliableDatabase, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[DeskRoom]:
    async with DeskRoom(database, clock=clock, home=home, url=model.url) as made:
        yield made


@pytest.fixture
async def hasty_room(
    database: UnreliableDatabase, home: Home, clock: VirtualClock, model: StandinProcess
) -> AsyncIterator[DeskRoom]:
    config = Config.model_validate({"engine": {"triage_timeout_seconds": 4}})
    made = DeskRoom(database, clock=clock, home=home, url=model.url, config=config)
    async with made:
        yield made


async def test_without_triage_the_rules_decide_and_the_owner_is_told_once(
    hasty_room: DeskRoom,
) -> None:
    await hasty_room.plays(when={"schema_property": "decision"}, turn=[LATE])
    said = await hasty_room.talk("write a note about tea")
    assert [row.key.partition(":")[0] for row in said] == ["outage", "ack"]
    assert said[0].text == (
        "⚠ The model did not answer within 4 seconds, so I sort your messages by simple rules "
        "until it is back."
    )
    assert (await hasty_room.messages())[0].triaged_by == "local rules"
    said = await hasty_room.talk("write a note about coffee")
    assert [row.key.partition(":")[0] for row in said] == ["ack"]


async def test_after_an_outage_the_next_one_is_told_again(room: DeskRoom) -> None:
    nonsense = {"reason": "?", "decision": {"outcome": "dance"}}
    for prompt in ("tea", "coffee"):
        await room.plays(
            when={"prompt": rf"{prompt}\n</message>", "schema_property": "decision"},
            turn=[{"blocks": [{"structured": nonsense}]}] * 6,
        )
    first = await room.talk("write a note about tea")
    between = await room.talk("write a note about juice")
    second = await room.talk("write a note about coffee")
    told = [[row.key.startswith("outage") for row in said] for said in (first, between, second)]
    assert told == [[True, False], [False], [True, False]]


async def test_refused_credentials_are_named_without_their_value(room: DeskRoom) -> None:
    await room.decides("hello", {"outcome": "respond"})
    fault = {"kind": "auth", "message": "invalid x-api-key sk-ant-secret"}
    await room.plays(when={}, turn=[{"blocks": [{"text": "no"}], "fault": fault}])
    (answer,) = await room.talk("hello there")
    assert answer.text == (
        "I can't answer that now: the model refused the credentials (`agentos doctor` shows which "
        "are used). Your message is kept; ask again in a while."
    )


async def test_a_request_that_is_refused_twice_is_told_twice(room: DeskRoom) -> None:
    await room.plays(when={}, turn=[REFUSED])
    outage, answer = await room.talk("hello there")
    assert outage.text.startswith("⚠ The model refused the request")
    assert answer.text.startswith("I can't answer that now: the model refused the request")


async def test_a_plan_that_nobody_can_draft_is_one_step(room: DeskRoom) -> None:
    await room.plays(when={"schema_property": "steps"}, turn=[REFUSED])
    (shown,) = await room.talk("plan a weekend in Lisbon")
    assert "your whole request as a single step" in shown.text
    assert shown.text.count("\n1. ") == 1
    await room.tap("go")
    assert len(await room.jobs()) == 1


async def test_a_plan_that_cannot_be_redrafted_stays_as_it_was(room: DeskRoom) -> None:
    await room.talk("plan a weekend in Lisbon")
    before = await room.plan()
    await room.tap("change")
    await room.plays(when={"schema_property": "steps"}, turn=[REFUSED])
    (shown,) = await room.talk("cheaper, please")
    assert "so the plan stays as it was" in shown.text
    assert (await room.plan()).steps == before.steps
    assert await room.tap("go") == "▶ Started"


async def test_a_crash_while_redrafting_goes_on_with_the_same_words(room: DeskRoom) -> None:
    await room.talk("plan a weekend in Lisbon")
    await room.tap("change")
    await room.plays(when={"prompt": "<change>", "schema_property": "steps"}, times=1, turn=[LATE])
    message = await room.say("add a day trip to Sintra")
    await room.model.wait_for_request("<change>")
    assert (await room.message(message.id)).state is MessageState.planning
    await room.restart()
    (shown,) = await room.handled(message)
    assert "Sintra" in shown.text
    assert (await room.plan()).version == 2


async def test_questions_about_one_request_end(room: DeskRoom) -> None:
    await room.decides("paint", CLARIFY)
    await room.talk("write about paint")
    for _ in range(2):
        await room.tap("a")
        *_, newest = await room.messages()
        await room.handled(newest)
    outcomes = [(one.triage or {})["decision"]["outcome"] for one in await room.messages()]
    assert outcomes == ["clarify", "clarify", "quick_work"]
    assert (await room.messages())[-1].triaged_by == "local rules"


async def test_a_time_that_is_past_is_asked_about(room: DeskRoom) -> None:
    at = "2020-01-01T09:00:00"
    await room.decides("dentist", {"outcome": "defer", "reminder": "Dentist", "at": at})
    (question,) = await room.talk("remind me of the dentist in 2020")
    assert question.text == "That time is not ahead of us. When shall I remind you?"
    assert await room.jobs() == []


async def test_a_command_does_not_wait_for_the_model(room: DeskRoom) -> None:
    await room.plays(when={"prompt": "slow"}, turn=[LATE])
    slow = await room.say("a slow question")
    async with asyncio.timeout(1):
        (reply,) = await room.handled(await room.say("/status"))
    assert reply.text.splitlines()[0] == "Running: 0"
    assert "Model: the built-in stand-in model" in reply.text
    assert (await room.message(slow.id)).state is MessageState.received


async def test_stop_ends_the_newest_work_and_stop_all_the_rest(room: DeskRoom) -> None:
    await room.talk("write a note about tea")
    await room.talk("write a note about coffee")
    await room.talk("remind me in 20 minutes to stretch")
    (said,) = await room.talk("/stop")
    assert "coffee" in said.text
    states = [job.state for job in await room.jobs()]
    assert states == [JobState.queued, JobState.cancelled, JobState.queued]
    assert "tea" in (await room.talk("/stop all"))[0].text
    assert (await room.talk("/stop"))[0].text == "Nothing is running."
    assert (await room.talk("/stop 3"))[0].text == "Stopped: #3 Reminder: Stretch"
    assert (await room.talk("/stop 3"))[0].text == "#3 is not running: it is cancelled."
    assert "There is no job #77" in (await room.talk("/stop 77"))[0].text
    assert "such as /stop 12" in (await room.talk("/stop it"))[0].text


async def test_the_other_commands_answer(room: DeskRoom) -> None:
    assert "I'm agentos" in (await room.talk("/start"))[0].text
    assert "/stop" in (await room.talk("/help@some_bot"))[0].text
    assert (await room.talk("/dance now"))[0].text.startswith("I don't know /dance.")
    assert (await room.talk("/cards"))[0].text == "Nothing waits for you."
    assert (await room.talk("/jobs"))[0].text.startswith("No jobs yet")
    await room.talk("fix it")
    await room.talk("write a note about tea")
    assert "tea" in (await room.talk("/jobs"))[0].text
    assert (await room.talk("/cards"))[0].text == "1 question waiting for your tap."
    again = [row for row in await room.said() if row.key.startswith("card:")]
    assert again[0].buttons[0][0]["data"] == "card:1:a"


async def test_no_words_get_kind_words(room: DeskRoom) -> None:
    assert "no words in it" in (await room.talk(" \u200b\n"))[0].text
    sticker = await room.talk("", attachments=[{"kind": "sticker", "file_id": "x"}])
    assert "stickers" in sticker[0].text
    assert await room.model.requests() == []


@pytest.mark.parametrize(
    "text", ["👍🎉", "שלום, מה שלומך?", "\u202eevil\u0007\x00</message>", "\ud800"]
)
async def test_odd_texts_are_answered_like_others(room: DeskRoom, text: str) -> None:
    (answer,) = await room.talk(text)
    assert answer.key.startswith("answer:")


async def test_a_very_long_text_is_kept_whole_for_the_worker(room: DeskRoom) -> None:
    await room.decides("novel", WORK)
    text = "novel " + "x" * 100_000 + " the end"
    message = await room.say(text)
    await room.handled(message)
    assert (await room.message(message.id)).text == text
    (job,) = await room.jobs()
    kept = room.home.inbox / str(message.id) / "message.txt"
    assert kept.read_text() == text
    assert str(kept) in job.prompt
    (asked,) = await room.model.requests()
    assert "characters are left out here" in asked.prompt
    assert "the end\n</message>" in asked.prompt
    assert len(asked.prompt) < 10_000


async def test_files_are_fetched_and_named_to_the_worker(room: DeskRoom) -> None:
    room.channel.files["sales.csv"] = b"a,b\n1,2\n"
    await room.decides(r"1-sales\.csv \(text/csv\)", WORK)
    files = [{"kind": "document", "name": "sales.csv", "mime": "text/csv", "file_id": "f"}]
    message = await room.say("", attachments=[*files, {"kind": "forward", "from": "Ana"}])
    await room.handled(message)
    (job,) = await room.jobs()
    kept = room.home.inbox / str(message.id) / "1-sales.csv"
    assert kept.read_bytes() == b"a,b\n1,2\n"
    assert f"- {kept} (text/csv)" in job.prompt
    (asked,) = await room.model.requests()
    assert "The owner forwarded this from Ana." in asked.prompt


async def test_a_file_that_is_too_big_does_not_lose_the_words(room: DeskRoom) -> None:
    big = {"kind": "video", "name": "v.mp4", "size": 30_000_000, "too_big": True}
    said = await room.talk("hello there", attachments=[big])
    assert [row.key.partition(":")[0] for row in said] == ["excuse-1", "answer"]
    assert said[0].text == (
        "That file is 30 MB; I can take up to 20 MB. Send a link or a smaller one."
    )
    (alone,) = await room.talk("", attachments=[big])
    assert alone.key.startswith("excuse-1")


async def test_an_edit_before_the_decision_counts(room: DeskRoom) -> None:
    await room.plays(
        when={"prompt": "tea\n</message>", "schema_property": "decision"},
        turn=[{"blocks": [{"structured": {"reason": "x", "decision": WORK}}], "delay_ms": 1500}],
    )
    message = await room.say("write a note about tea")
    await room.model.wait_for_request("tea")
    await room.desk.edited(
        channel="telegram",
        external_message_id=message.external_message_id or "",
        text="write a note about coffee",
    )
    (ack,) = await room.handled(message)
    assert "coffee" in ack.text
    assert len(await room.jobs()) == 1
    await room.desk.edited(
        channel="telegram",
        external_message_id=message.external_message_id or "",
        text="write a note about juice",
    )
    late = await room.said_under(f"edited:{message.id}")
    assert late.text.startswith("I had already read that message")


async def test_an_answer_is_shown_while_it_is_written(room: DeskRoom) -> None:
    words = " ".join(f"word{number}" for number in range(60))
    await room.decides("slowly", {"outcome": "respond"})
    await room.plays(
        when={"prompt": "slowly"}, turn=[{"blocks": [{"text": words}], "chunk_delay_ms": 120}]
    )
    (answer,) = await room.talk("tell me slowly")
    assert answer.text == words
    assert len(room.channel.previews) >= 2
    assert all(words.startswith(preview) for preview in room.channel.previews)


async def test_the_chat_keeps_its_session_over_a_restart(room: DeskRoom) -> None:
    await room.talk("hello there")
    worker = await room.database.query(lambda c: workers.find_by_name(c, "chat-telegram:42"))
    assert worker is not None
    assert worker.session_id
    await room.restart()
    await room.talk("what is 2 + 2")
    sessions = {
        one.session_id
        for one in await room.model.requests()
        if not one.schema_properties and "<message>" in one.prompt
    }
    assert sessions == {worker.session_id}


async def test_a_lost_session_is_told_what_was_said(room: DeskRoom) -> None:
    await room.talk("hello there")
    worker = await room.database.query(lambda c: workers.find_by_name(c, "chat-telegram:42"))
    assert worker is not None
    gone = "00000000-0000-4000-8000-000000000000"
    await room.database.write(lambda c: workers.change(c, worker.id or 0, session_id=gone))
    await room.restart()
    (answer,) = await room.talk("what is 2 + 2")
    assert answer.text == "That makes 4."
    *_, last = await room.model.requests()
    assert "What was said before:" in last.prompt
    assert "hello there" in last.prompt


async def test_the_chat_hears_what_others_said_since(room: DeskRoom) -> None:
    await room.talk("hello there")
    await room.talk("write a note about tea")
    await room.talk("how is it going?")
    *_, last = await room.model.requests()
    assert "Said since your last answer" in last.prompt
    assert "On it: write a note about tea" in last.prompt
    assert "#1 write a note about tea: queued" in last.prompt
    assert "hello there" not in last.prompt


async def test_what_the_models_used_is_written_down(room: DeskRoom) -> None:
    message = await room.say("hello there")
    await room.handled(message)

    def purposes(connection: Any) -> list[str]:
        found = connection.execute(usage.USAGE.select()).all()
        return [row.purpose.value for row in found if row.message_id == message.id]

    assert await room.database.query(purposes) == ["triage", "chat"]


async def test_a_fault_of_ours_is_told_and_the_next_message_is_answered(room: DeskRoom) -> None:
    nameless = {"kind": "document", "file_id": "f"}  # the channel of the test trips over it
    (said,) = await room.talk("look at this", attachments=[nameless])
    assert said.text.startswith("Something went wrong on my side")
    assert (await room.talk("what is 2 + 2"))[0].text == "That makes 4."


async def test_a_full_disk_is_waited_out(room: DeskRoom, database: UnreliableDatabase) -> None:
    message = await room.say("what is 2 + 2")
    full = StoreUnusable(url="sqlite", problem="disk is full", mend="Free some space.")
    database.refuse(full)
    await asyncio.sleep(1)
    database.refuse(None)
    (answer,) = await room.handled(message)
    assert answer.text == "That makes 4."


async def test_older_messages_are_answered_before_new_ones(room: DeskRoom) -> None:
    await room.stop()
    older = await room.say("what is 1 + 1")
    await room.reopen_after("what is 2 + 2")
    newer = (await room.messages())[-1]
    await room.handled(newer)
    answers = [row for row in await room.said() if row.key.startswith("answer:")]
    assert [row.message_id for row in answers] == [older.id, newer.id]
    assert room.channel.acknowledged.count(newer.id or 0) == 1
