"""Recall through the real index process, and with the real embedder."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from agentos.domain.memory import Category, Trust
from agentos.errors import Misconfigured
from agentos.home import Home
from agentos.memory.embedder_place import BUNDLED, WEIGHTS, bundled_folder, find_place
from agentos.memory.remembering import Answer
from agentos.standins.clock import VirtualClock
from agentos.store import memories
from agentos.store.database import Database
from tests.memory_room import NOW, holding, memory_room, until

pytestmark = pytest.mark.timeout(300)
FACTS = (
    "Anna is vegetarian and allergic to nuts",
    "The office moved to Hamburg in spring",
    "Robin prefers trains to planes",
    "The backup runs at two in the morning",
    "Deploys on Fridays went wrong twice",
)


async def test_a_memory_is_found_by_the_very_next_recall(
    home: Home, any_database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, any_database, clock) as room:
        for fact in FACTS:
            await room.remember(fact)
            assert (await room.texts(fact))[0] == fact
        assert await room.texts("when does the backup run?") == [FACTS[3]]
        assert await room.texts("quantum chromodynamics") == []
        assert (await room.ask("backup")).note == ""


async def test_what_another_program_wrote_is_found_too(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        await room.remember(FACTS[0])
        assert await room.texts("Anna") == [FACTS[0]]
        async with memory_room(home, database, clock) as other:
            await other.remember(FACTS[1])
        assert await room.texts("office in Hamburg") == [FACTS[1]]


async def test_only_the_current_of_a_changing_fact_is_recalled(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        old = await room.remember("The office is in Berlin")
        row = await room.remember("Robin's bike is red")
        new = await room.remembering.remember(
            (await room.remember("The office is in Hamburg")), instead_of=[old.id or 0]
        )
        assert await room.texts("where is the office") == ["The office is in Hamburg"]
        assert new.id != row.id


async def test_forgetting_works_at_once_and_can_be_taken_back(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        row = await room.remember(FACTS[0])
        assert await room.texts("Anna vegetarian") == [FACTS[0]]
        await room.remembering.forget(row.id or 0)
        assert await room.texts("Anna vegetarian") == []
        await room.remembering.restore(row.id or 0)
        assert await room.texts("Anna vegetarian") == [FACTS[0]]
        await room.remembering.forget(row.id or 0)
        assert await room.remembering.erase_due() == []
        clock.advance(timedelta(days=31))
        assert await room.remembering.erase_due() == [row.id]
        assert await room.remembering.erase_due() == []


async def test_what_is_erased_is_found_nowhere_under_home(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        for number in range(30):
            await room.remember(f"a line about lanterns {number}", thread="talk")
        secret = await room.remember("the word is xylographer", thread="talk")
        for number in range(30):
            await room.remember(f"a line about orchards {number}", thread="talk")
        await room.remembering.settled()
        assert (await room.texts("xylographer"))[0] == "the word is xylographer"
        await room.remembering.forget(secret.id or 0, now=True)
        assert holding(home.root, "xylographer") == []
        assert await room.texts("xylographer") == []
        assert len(await room.texts("lanterns", limit=50)) > 5


async def test_the_words_before_an_answer_find_it(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        for place, line in enumerate(
            (
                "Robin: which instrument did you play as a child?",
                "Sam: the oboe, for six years.",
                "Robin: I never learned one.",
            )
        ):
            await room.remember(line, thread="talk", valid_from=NOW + timedelta(minutes=place))
        assert "Sam: the oboe, for six years." in await room.texts("instrument played as a child")


async def test_questions_of_any_kind_break_nothing(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        await room.remember("plain")
        for odd in (
            "",
            " ",
            "?",
            '"',
            "a AND (b",
            "%' OR 1=1 --",
            "🙂",
            "ü" * 5000,
            "\u0000x",
            "*",
        ):
            assert (await room.ask(odd)).note == ""
        assert room.index.pid is not None


def delete(folder: Path) -> None:
    """As `rm -rf` does until it is gone: the index process may be writing into it."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


async def test_a_deleted_index_is_made_again(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        for fact in FACTS:
            await room.remember(fact)
        assert len(await room.texts("backup")) == 1
        delete(home.memory_index)
        assert await room.until_answered("when does the backup run?") == [FACTS[3]]
    delete(home.memory_index)
    async with memory_room(home, database, clock) as room:
        assert await room.until_answered("when does the backup run?") == [FACTS[3]]


async def test_damaged_files_are_made_again(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        for fact in FACTS:
            await room.remember(fact)
        await room.remembering.settled()
    for file in sorted(home.memory_index.rglob("*")):
        if file.is_file() and file.suffix != ".txn":
            content = file.read_bytes()
            file.write_bytes(content[: len(content) // 2])
    async with memory_room(home, database, clock) as room:
        for fact in FACTS:
            assert (await room.until_answered(fact))[0] == fact
    assert len(await _rows(database)) == len(FACTS)


async def test_many_single_writes_make_few_files(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock) as room:
        for number in range(300):
            await room.remember(f"a memory about harbour {number}")
            if number % 10 == 0:
                await room.ask("harbour")
        await room.remembering.settled()
        told = (await room.remembering.status())["index"]
        assert (told["parts"], told["waiting"]) == (300, 0)
        assert told["files"] <= 60


async def test_the_rows_answer_while_the_index_cannot(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    home.memory_index.write_text("a file where the folder should be")
    async with memory_room(home, database, clock) as room:
        await room.remember(FACTS[3])
        answer = await room.ask("when does the backup run?")
        assert [one.memory.text for one in answer.found] == [FACTS[3]]
        assert "not ready" in answer.note


async def test_by_meaning_what_shares_no_word_is_found(
    home: Home, database: Database, clock: VirtualClock
) -> None:
    async with memory_room(home, database, clock, embedder=BUNDLED) as room:
        for fact in FACTS:
            await room.remember(fact, category=Category.fact, trust=Trust.owner)
        await room.embedded()
        question = "what food should I not cook for her"
        assert await room.texts(question, lexical=True) == []
        assert (await room.texts(question, floor=0.1))[0] == FACTS[0]
        late = "My sister moved into a flat with a garden"
        await room.remember(late)
        assert (await room.texts("apartment of a sibling"))[0] == late
        assert (await room.ask("backup")).note == ""


async def test_another_embedder_embeds_anew_while_words_still_answer(
    home: Home, database: Database, clock: VirtualClock, tmp_path: Path
) -> None:
    bundled = bundled_folder()
    assert bundled is not None
    other = tmp_path / "model"
    shutil.copytree(bundled, other)
    async with memory_room(home, database, clock, embedder=BUNDLED) as room:
        for fact in FACTS:
            await room.remember(fact)
        await room.embedded()
        before = set(home.memory_index.iterdir())
    async with memory_room(home, database, clock, embedder=str(other)) as room:

        async def from_the_index() -> Answer | None:
            found = await room.ask("the backup")
            return None if "not ready" in found.note else found

        # A model of the owner's choice takes seconds to load.
        early = await until(from_the_index, seconds=60)
        assert [one.memory.text for one in early.found] == [FACTS[3]]
        assert early.note == "The embedder is loading: found by words alone."
        await room.embedded()
        assert (await room.remembering.status())["index"]["embedded"] == len(FACTS)
        assert set(home.memory_index.iterdir()) != before
        assert len(list(home.memory_index.glob("vectors_*"))) == 1


def test_an_embedder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no folder"):
        find_place(str(tmp_path / "nothing"))


async def test_weights_that_were_changed_are_refused_and_words_go_on(
    home: Home, database: Database, clock: VirtualClock, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(b"not a model")
    async with memory_room(home, database, clock, embedder=str(folder)) as room:
        await room.remember(FACTS[3])
        await room.remembering.settled()
        answer = await room.ask("when does the backup run?")
        assert [one.memory.text for one in answer.found] == [FACTS[3]]
        assert "cannot be loaded" in answer.note


async def _rows(database: Database) -> list[str]:
    with database.read() as connection:
        return [row.text for row in memories.list_all(connection, limit=100)]
