"""Capture: a talk that has gone quiet and a job that has ended are read once, and remembered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentos.domain.ledger import Purpose, Usage
from agentos.domain.memory import CaptureState, Category, Origin, Trust
from agentos.domain.states import JobState, RunState
from agentos.domain.work import Job, Run, Worker
from agentos.home import Home
from agentos.memory.judge import Question, Verdict
from agentos.standins.clock import VirtualClock
from agentos.store import captures, memories, rows
from agentos.store.database import Database
from tests.capture_room import TALK, CaptureRoom, proposal
from tests.memory_room import a_memory


@pytest.fixture
async def room(home: Home, database: Database, clock: VirtualClock) -> CaptureRoom:
    made = CaptureRoom(database, home=home, clock=clock)
    await made.capturing.look()  # here it begins
    return made


def echo(question: Question) -> list[dict[str, Any]]:
    """A judge that takes every line for a fact."""
    return [
        proposal(line.text, lines=[number]) for number, line in enumerate(question.lines, start=1)
    ]


async def test_a_talk_is_read_when_it_has_gone_quiet_and_only_once(room: CaptureRoom) -> None:
    room.judge.script = echo
    said = room.says("Ana is vegetarian")
    room.answers(said, "Noted.")
    assert await room.lull(9) == 0
    assert await room.lull(2) == 1
    assert await room.lull(30) == 0
    (question,) = room.judge.questions
    assert [(line.who, line.text) for line in question.lines] == [
        ("owner", "Ana is vegetarian"),
        ("agentos", "Noted."),
    ]
    row = room.memories()[0]
    assert (row.text, row.trust, row.origin) == ("Ana is vegetarian", Trust.owner, Origin.message)
    assert row.source_ref == f"message:{said.id}"
    assert row.valid_from == said.received_at
    assert room.judge.rested == 1


async def test_what_was_said_before_capture_began_is_left_alone(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    room = CaptureRoom(database, home=home, clock=clock, script=echo)
    room.says("an old story")
    assert await room.capturing.look() == 0
    room.says("a new one")
    assert await room.lull() == 1
    assert room.current() == ["a new one"]


async def test_what_is_said_while_it_is_off_is_never_read(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    on = CaptureRoom(database, home=home, clock=clock, script=echo)
    await on.capturing.look()
    off = CaptureRoom(database, home=home, clock=clock, script=echo, capture=False)
    off.says("between you and me")
    assert await off.lull() == 0
    on.reopened()
    assert await on.lull() == 0
    on.says("for the record")
    assert await on.lull() == 1
    assert on.current() == ["for the record"]
    assert off.judge.questions == []


async def test_a_conversation_that_goes_on_waits_and_the_other_does_not(room: CaptureRoom) -> None:
    room.judge.script = echo
    room.says("tea, not coffee", conversation="terminal:main")
    room.clock.advance(timedelta(minutes=8))
    room.says("and I was saying")
    assert await room.lull(5) == 1
    assert room.current() == ["tea, not coffee"]
    assert await room.lull(6) == 1
    assert room.current() == ["tea, not coffee", "and I was saying"]


async def test_a_long_talk_is_read_in_pieces_without_a_gap(room: CaptureRoom) -> None:
    for number in range(captures.MOST_MESSAGES * 2 + 3):
        room.answers(room.says(f"fact number {number}"), f"answer {number}")
        room.clock.advance(timedelta(seconds=1))
    assert await room.lull() == 3
    told = [line.text for question in room.judge.questions for line in question.lines]
    assert sorted(told) == sorted(
        text for n in range(23) for text in (f"fact number {n}", f"answer {n}")
    )


async def test_a_restart_goes_on_where_it_was(room: CaptureRoom) -> None:
    room.judge.script = echo
    room.says("the first fact")
    await room.lull()
    room.says("the second fact")
    room.reopened()
    assert await room.lull() == 1
    assert room.current() == ["the first fact", "the second fact"]


async def test_a_memory_replaces_the_one_it_says(room: CaptureRoom) -> None:
    room.judge.script = echo
    room.says("The office is in Berlin")
    await room.lull()
    (old,) = room.memories()

    def moved(question: Question) -> list[dict[str, Any]]:
        assert [one.id for one in question.near] == [old.id]
        return [
            proposal("The office is in Hamburg", action="supersede", instead_of=[old.id]),
        ]

    room.judge.script = moved
    room.says("The office moved, it is in Hamburg now")
    await room.lull()
    before, after = room.memories()
    assert before.superseded_by == after.id
    assert before.valid_to == after.valid_from
    assert room.current() == ["The office is in Hamburg"]
    assert room.counts()["superseded"] == 1


async def test_ids_that_were_not_shown_are_refused(room: CaptureRoom) -> None:
    with room.database.begin() as connection:
        hidden = memories.add(connection, a_memory("The cat is called Mimi"))
    room.judge.script = lambda question: [
        proposal("Tea at four", action="supersede", instead_of=[hidden.id or 0, 4711, -1, 0])
    ]
    room.says("Tea at four from now on")
    await room.lull()
    assert room.current() == ["The cat is called Mimi", "Tea at four"]
    assert room.counts()["refused"] == 4
    assert room.counts()["superseded"] == 0


async def test_what_is_known_is_not_kept_twice(room: CaptureRoom) -> None:
    room.judge.script = lambda question: [
        proposal("Ana is a vegetarian"),
        proposal("Ana is a vegetarian."),
        proposal("ana is vegetarian"),
        proposal("Ana is not a vegetarian"),
        proposal("nothing new", action="ignore"),
    ]
    room.says("Ana is a vegetarian")
    await room.lull()
    assert room.current() == ["Ana is a vegetarian", "Ana is not a vegetarian"]
    told = room.counts()
    assert (told["captured"], told["duplicate"], told["ignored"]) == (2, 2, 1)
    room.says("as I said, Ana is a vegetarian")
    await room.lull()
    assert len(room.current()) == 2


async def test_what_was_given_is_not_captured_again_as_new(room: CaptureRoom) -> None:
    with room.database.begin() as connection:
        given = memories.add(
            connection, a_memory("The weekly review with the design team is on Tuesday at ten")
        )
    room.given = [given]
    said = room.says("when do I meet the designers?")
    room.answers(said, "Your weekly design team review is Tuesday at ten.")
    room.judge.script = lambda question: [
        proposal("The weekly design team review takes place on Tuesday at ten", lines=[2]),
        proposal("The weekly design team review takes place on Thursday at ten", lines=[2]),
    ]
    await room.lull()
    assert "given" in room.judge.prompts[0]
    # The echo is none of ours to keep; what differs from it is news.
    assert [row.text for row in room.memories()[1:]] == [
        "The weekly design team review takes place on Thursday at ten"
    ]
    assert room.counts()["duplicate"] == 1


async def test_older_news_is_filed_behind_what_is_newer(room: CaptureRoom) -> None:
    room.judge.script = lambda question: Verdict(nonsense="no answer")
    room.says("I live in Berlin")
    await room.lull()
    with room.database.begin() as connection:
        now = room.clock.now()
        newer = memories.add(
            connection, a_memory("The owner lives in Hamburg", valid_from=now, created_at=now)
        )
    room.judge.script = lambda question: [
        proposal("The owner lives in Berlin", action="supersede", instead_of=[newer.id])
    ]
    room.given = [newer]
    assert await room.lull(90) == 1
    assert room.current() == ["The owner lives in Hamburg"]
    assert [row.text for row in room.memories()] == [
        "The owner lives in Hamburg",
        "The owner lives in Berlin",
    ]


async def test_nonsense_is_counted_and_asked_for_once_more(room: CaptureRoom) -> None:
    room.judge.script = lambda question: Verdict(nonsense="not an answer to the question")
    room.says("something")
    assert await room.lull() == 0
    assert await room.lull(30) == 0
    assert len(room.judge.questions) == 1
    assert await room.lull(40) == 0
    assert await room.lull(300) == 0
    assert len(room.judge.questions) == 2
    told = room.counts()
    assert (told["failed"], told["given_up"], told["waiting"]) == (2, 1, 0)


async def test_an_outage_is_waited_out_each_time_longer(room: CaptureRoom) -> None:
    room.judge.script = lambda question: Verdict(
        outage="rate_limited", retry_after=timedelta(minutes=20)
    )
    room.says("Ana is vegetarian")
    for minutes in (11, 10, 11, 21, 21):
        await room.lull(minutes)
    assert len(room.judge.questions) == 4
    assert room.counts()["waiting"] == 1
    room.judge.script = echo
    assert await room.lull(60) == 1
    assert room.current() == ["Ana is vegetarian"]
    assert room.counts()["failed"] == 0


async def test_a_clock_that_was_ahead_holds_nothing_up(room: CaptureRoom) -> None:
    room.clock.advance(timedelta(days=400))
    room.judge.script = lambda question: Verdict(nonsense="no")
    room.says("Ana is vegetarian")
    await room.lull()
    room.clock.advance(timedelta(days=-400))
    room.judge.script = echo
    room.says("Ben is not")
    assert await room.lull() == 2
    assert sorted(room.current()) == ["Ana is vegetarian", "Ben is not"]


async def test_one_bad_proposal_does_not_spoil_the_others(room: CaptureRoom) -> None:
    room.judge.script = lambda question: [
        {"text": "no action"},
        proposal("x", category="gossip"),
        proposal("y" * 600, importance=7),
        proposal("Tea at four", importance="very"),
        proposal("Ana paints", valid_from="yesterday", lines=[99]),
    ]
    room.says("well")
    await room.lull()
    long, other = room.memories()
    assert (len(long.text), long.importance) == (500, 1.0)
    assert (other.text, other.trust) == ("Ana paints", Trust.self)
    assert room.counts()["refused"] == 3


async def test_what_was_forgotten_is_not_learned_again(room: CaptureRoom) -> None:
    room.judge.script = echo
    room.says("The wifi word is xylographer")
    await room.lull()
    (row,) = room.memories()
    await room.remembering.forget(row.id or 0)
    room.says("The wifi word is xylographer")
    room.says("So the wifi word is xylographer")
    await room.lull()
    assert room.current() == []
    # Not even the judge sees the words again.
    assert all("xylographer" not in prompt for prompt in room.judge.prompts[1:])


async def test_the_cost_is_in_the_ledger_and_stops_at_the_budget(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    room = CaptureRoom(database, home=home, clock=clock, script=echo, capture_tokens=1500)
    await room.capturing.look()
    for number in range(4):
        room.says(f"fact number {number}", conversation=f"telegram:{number}")
    assert await room.lull() == 4  # they were begun together
    room.says("and another one")
    assert await room.lull() == 0
    assert room.counts()["waiting"] == 1
    with database.read() as connection:
        bills = rows.newest(connection, Usage, limit=10)
    assert {(bill.purpose, bill.tokens) for bill in bills} == {(Purpose.capture, 1000)}
    assert await room.lull(24 * 60) == 1


def ended_job(room: CaptureRoom, result: str, *, tools: list[str], **more: Any) -> Job:
    """A job that a worker has done."""
    at = room.clock.now()
    with room.database.begin() as connection:
        plain = {"title": "A poem", "prompt": "Write a poem", "state": JobState.done}
        job = rows.add(
            connection,
            Job(**{**plain, "result": result, "created_at": at, "finished_at": at, **more}),
        )
        worker = rows.add(connection, Worker(name=f"w{job.id}", model="sonnet", created_at=at))
        times = {"started_at": at, "heartbeat_at": at, "lease_until": at, "finished_at": at}
        run = Run(
            job_id=job.id, worker_id=worker.id, number=1, token="t", state=RunState.done, **times
        )
        rows.add(connection, run)
    folder = room.home.job_folder(job.id or 0)
    folder.mkdir(parents=True)
    lines = [f'{{"kind": "tool", "tool": "{tool}"}}\n' for tool in tools]
    (folder / "transcript.jsonl").write_text("".join(lines))
    return job


async def test_a_job_is_read_a_while_after_its_end(room: CaptureRoom) -> None:
    room.judge.script = lambda question: [
        proposal("Poems for Ana rhyme", category="procedure", lines=[2])
    ]
    job = ended_job(room, "It rhymes, as Ana likes it.", tools=["Write"])
    assert await room.capturing.look() == 0
    assert await room.lull(2) == 1
    assert await room.lull(2) == 0
    (row,) = room.memories()
    assert (row.origin, row.source_ref, row.trust) == (Origin.job, f"job:{job.id}", Trust.self)
    assert row.category is Category.procedure
    (question,) = room.judge.questions
    assert [line.who for line in question.lines] == ["what was asked", "how it ended (done)"]


async def test_a_job_that_is_tried_again_is_read_again(room: CaptureRoom) -> None:
    job = ended_job(room, "done", tools=[])
    assert await room.lull(2) == 1
    at = room.clock.now()
    with room.database.begin() as connection:
        times = {"started_at": at, "heartbeat_at": at, "lease_until": at, "finished_at": at}
        run = Run(job_id=job.id, worker_id=1, number=2, token="u", state=RunState.done, **times)
        rows.add(connection, run)
    assert await room.lull(2) == 1
    assert [piece.upto for piece in room.pieces()] == [1, 2]


async def test_what_a_job_read_outside_stays_outside(room: CaptureRoom) -> None:
    found = proposal("Flights are cheap on Monday", category="procedure", importance=1.0)
    room.judge.script = lambda question: [found] if question.outside else []
    for tools in (["Write", "WebFetch"], ["Bash"], ["Read"]):
        ended_job(room, "Flights are cheap on Monday.", tools=tools)
    ended_job(
        room,
        "Flights are cheap on Monday.",
        tools=[],
        message_id=room.says("look", attachments=[{"kind": "document"}]).id,
    )
    await room.lull()
    (row,) = room.memories()
    assert (row.trust, row.category, row.importance) == (Trust.outside, Category.fact, 0.5)
    assert sum(question.outside for question in room.judge.questions) == 4


async def test_commands_are_no_talk(room: CaptureRoom) -> None:
    room.says("/status")
    assert await room.lull() == 1
    assert room.judge.questions == []
    assert room.pieces()[0].state is CaptureState.done
    assert room.pieces()[0].source == TALK


async def test_a_time_that_was_said_counts_and_no_time_to_come(room: CaptureRoom) -> None:
    room.judge.script = lambda question: [
        proposal("Ana lives in Porto", valid_from="2020-05-01T00:00:00+02:00"),
        proposal("Ben lives in Rome", valid_from="2999-01-01T00:00:00+00:00"),
        proposal("Eva is on leave", valid_to="2999-01-01T00:00:00+00:00"),
    ]
    said = room.says("so it is")
    await room.lull()
    ana, ben, eva = room.memories()
    assert ana.valid_from == datetime(2020, 4, 30, 22, tzinfo=UTC)
    assert ben.valid_from == said.received_at
    assert eva.valid_to is not None and eva.valid_to.year == 2999
