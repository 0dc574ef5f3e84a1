"""Memories as rows: what is closed stays closed, what is forgotten is gone, nothing is doubled."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy.exc import DBAPIError

from agentos.domain.memory import Memory, Trust
from agentos.errors import NotFound, WrongState
from agentos.home import Home
from agentos.store import memories, scrubbing
from agentos.store.database import Database
from tests.memory_room import NOW, a_memory, holding

DAY = timedelta(days=1)


def added(database: Database, words: str, **more: object) -> Memory:
    with database.begin() as connection:
        return memories.add(connection, a_memory(words, **more))


def current(database: Database) -> list[str]:
    with database.read() as connection:
        return [row.text for row in memories.list_all(connection, limit=1000)]


def test_the_same_key_is_remembered_once(any_database: Database) -> None:
    first = added(any_database, "one", key="job:1:0")
    again = added(any_database, "two", key="job:1:0")
    assert (again.id, again.text) == (first.id, "one")


def test_a_memory_is_closed_by_what_replaces_it_and_not_rewritten(any_database: Database) -> None:
    old = added(any_database, "the office is in Berlin")
    new = added(any_database, "the office is in Hamburg", valid_from=NOW + DAY)
    with any_database.begin() as connection:
        closed = memories.supersede(connection, old.id or 0, by=new.id or 0, at=NOW)
        again = memories.supersede(connection, old.id or 0, by=new.id or 0, at=NOW)
    assert (closed.text, closed.valid_to, closed.superseded_by) == (old.text, NOW + DAY, new.id)
    assert again.revision == closed.revision
    assert current(any_database) == ["the office is in Hamburg"]


def test_a_memory_is_replaced_once_and_never_by_itself(any_database: Database) -> None:
    one, two, three = (added(any_database, name).id or 0 for name in ("one", "two", "three"))
    with any_database.begin() as connection:
        memories.supersede(connection, one, by=two, at=NOW)
        with pytest.raises(WrongState, match="closed before"):
            memories.supersede(connection, one, by=three, at=NOW)
        with pytest.raises(WrongState, match="itself"):
            memories.supersede(connection, two, by=two, at=NOW)
        with pytest.raises(WrongState, match="itself"):
            memories.supersede(connection, two, by=one, at=NOW)
        with pytest.raises(NotFound):
            memories.supersede(connection, two, by=99, at=NOW)


def test_a_history_tells_the_whole_chain_from_any_link(any_database: Database) -> None:
    ids = [added(any_database, f"v{n}", valid_from=NOW + n * DAY).id or 0 for n in range(4)]
    with any_database.begin() as connection:
        for old, new in pairwise(ids):
            memories.supersede(connection, old, by=new, at=NOW)
        for memory_id in ids:
            told = memories.history(connection, memory_id)
            assert [row.text for row in told] == ["v0", "v1", "v2", "v3"]


def test_forgetting_can_be_taken_back_until_it_is_erased(any_database: Database) -> None:
    row = added(any_database, "my pin is 4711")
    key = row.id or 0
    with any_database.begin() as connection:
        memories.forget(connection, key, at=NOW, erase_at=NOW + DAY)
    assert current(any_database) == []
    with any_database.begin() as connection:
        memories.restore(connection, key, at=NOW)
        with pytest.raises(WrongState, match="remembered"):
            memories.restore(connection, key, at=NOW)
    assert current(any_database) == ["my pin is 4711"]
    with any_database.begin() as connection:
        memories.forget(connection, key, at=NOW, erase_at=NOW + DAY)
        assert memories.list_due(connection, at=NOW) == []
        assert [one.id for one in memories.list_due(connection, at=NOW + DAY)] == [key]
        memories.note_use(connection, [key], at=NOW)
        memories.erase(connection, [key], at=NOW + DAY)
        assert memories.list_due(connection, at=NOW + DAY) == []
        assert memories.get(connection, key).text == ""
        assert memories.uses(connection, [key]) == {}
        with pytest.raises(WrongState, match="erased"):
            memories.restore(connection, key, at=NOW)
        assert memories.forget(connection, key, at=NOW, erase_at=NOW).erase_at is None


def test_what_was_replaced_by_something_erased_stays_closed(any_database: Database) -> None:
    old, new = added(any_database, "old").id or 0, added(any_database, "new").id or 0
    with any_database.begin() as connection:
        memories.supersede(connection, old, by=new, at=NOW)
        memories.forget(connection, new, at=NOW, erase_at=NOW)
        memories.erase(connection, [new], at=NOW)
    assert current(any_database) == []


def test_every_change_has_a_revision_of_its_own(any_database: Database) -> None:
    def one(number: int) -> int:
        return added(any_database, f"memory {number}").revision

    with ThreadPoolExecutor(4) as threads:
        revisions = list(threads.map(one, range(40)))
    assert sorted(revisions) == list(range(1, 41))
    with any_database.read() as connection:
        told = memories.changed_since(connection, 35, limit=100)
        assert [row.revision for row in told] == [36, 37, 38, 39, 40]
        tally = memories.tally(connection)
    assert (tally.count, tally.newest, tally.total) == (40, 40, 820)


def test_neighbours_are_those_of_the_thread_in_its_order(any_database: Database) -> None:
    rows = [
        added(
            any_database, f"line {n}", thread="talk", valid_from=NOW + n * timedelta(seconds=n % 3)
        )
        for n in range(6)
    ]
    added(any_database, "elsewhere", thread="other")
    alone = added(any_database, "alone")
    order = sorted(rows, key=lambda row: (row.valid_from, row.id or 0))
    with any_database.read() as connection:
        for place, row in enumerate(order):
            before, after = memories.around(connection, row, reach=2)
            assert [one.id for one in before] == [
                one.id for one in order[max(place - 2, 0) : place]
            ]
            assert [one.id for one in after] == [one.id for one in order[place + 1 : place + 3]]
        assert memories.around(connection, alone, reach=2) == ([], [])


def test_the_rows_alone_find_words_and_take_no_pattern_for_one(any_database: Database) -> None:
    added(any_database, "The violin is Broken")
    added(any_database, "100% of the violin money_box")
    added(any_database, "nothing here")
    with any_database.read() as connection:
        found = memories.with_words(connection, ["violin", "broken"], limit=5)
        assert found[0].text == "The violin is Broken"
        assert len(found) == 2
        assert len(memories.with_words(connection, ["0% of"], limit=5)) == 1
        assert memories.with_words(connection, ["%"], limit=5)[0].text.startswith("100%")
        assert memories.with_words(connection, [], limit=5) == []


def test_counts_tell_what_there_is(any_database: Database) -> None:
    added(any_database, "a")
    added(any_database, "b", trust=Trust.outside)
    gone = added(any_database, "c").id or 0
    with any_database.begin() as connection:
        memories.forget(connection, gone, at=NOW, erase_at=NOW + DAY)
        told = memories.counts(connection)
    assert (told["current"], told["forgotten"], told["outside"], told["fact"]) == (2, 1, 1, 2)


def test_an_importance_has_its_limits(any_database: Database) -> None:
    with pytest.raises(DBAPIError):
        added(any_database, "too much", importance=1.5)


def test_what_is_erased_is_in_no_file_of_the_database(home: Home, database: Database) -> None:
    secret = "xylograph" + "ic" * 40
    ids = [added(database, f"{secret} {n} " + "filler " * (n * 40)).id or 0 for n in range(12)]
    for n in range(200):
        added(database, f"other {n} " + "words " * 50)
    with database.begin() as connection:
        for memory_id in ids:
            memories.forget(connection, memory_id, at=NOW, erase_at=NOW)
        texts = [row.text for row in memories.list_due(connection, at=NOW)]
        memories.erase(connection, ids, at=NOW)
    assert scrubbing.scrub(database, texts)
    assert holding(home.root, secret) == []
    assert len(current(database)) == 200
