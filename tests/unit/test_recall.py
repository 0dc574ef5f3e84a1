"""Which memories answer: laws of the score, on made-up hits."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.memory import Memory
from agentos.memory.recall import Hit, Use, Wish, choose, frequency, fuse, recency, tokens_of

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
WORDS = ("harbour", "bicycle", "violin", "saffron", "glacier", "lantern", "orchard", "compass")


def a_memory(number: int, text: str | None = None, **more: Any) -> Memory:
    text = text or f"{WORDS[number % 8]} {WORDS[number * 3 % 8]} of sort {chr(97 + number % 26)}"
    return Memory(**{"id": number, "text": text, "valid_from": NOW, "created_at": NOW, **more})


def found(wish: Wish, hits: list[Hit], *rows: Memory, **more: Any) -> list[int]:
    memories = {row.id or 0: row for row in rows}
    uses = more.pop("uses", {})
    chosen = choose(wish, hits, memories=memories, uses=uses, **more)
    return [one.memory.id or 0 for one in chosen]


def wish(query: str = "harbour", **more: Any) -> Wish:
    return Wish(query, NOW, **more)


scores = st.floats(min_value=0, max_value=30)
hits_of = st.lists(
    st.builds(Hit, st.integers(1, 12), scores, scores, st.floats(min_value=0, max_value=1)),
    max_size=40,
)


@given(hits_of)
def test_relevance_is_a_share_of_the_best(hits: list[Hit]) -> None:
    relevances = [relevance for relevance, *_ in fuse(hits).values()]
    assert all(0 <= relevance <= 1 for relevance in relevances)
    if any(hit.text or hit.passage or hit.cosine for hit in hits):
        assert max(relevances) == 1


@given(hits_of, st.integers(1, 10), st.integers(0, 200))
def test_an_answer_keeps_its_limits_and_its_order(hits: list[Hit], limit: int, budget: int) -> None:
    memories = {number: a_memory(number) for number in range(1, 13)}
    chosen = choose(wish(limit=limit, tokens=budget), hits, memories=memories, uses={})
    assert len(chosen) <= limit
    assert sum(tokens_of(one.memory.text) for one in chosen) <= budget
    assert [one.score for one in chosen] == sorted((one.score for one in chosen), reverse=True)
    assert len({one.memory.id for one in chosen}) == len(chosen)


@given(st.floats(min_value=0.1, max_value=30), st.floats(min_value=0.1, max_value=30))
def test_of_two_alike_in_all_else_the_more_relevant_comes_first(left: float, right: float) -> None:
    rows = a_memory(1, "the harbour at night"), a_memory(2, "a harbour with many boats")
    order = found(wish(floor=0), [Hit(1, left, 0, 0), Hit(2, right, 0, 0)], *rows)
    assert order[0] == (1 if left > right else 2)


@given(st.integers(0, 4000), st.integers(0, 4000))
def test_what_is_newer_is_never_less_recent(left: int, right: int) -> None:
    old, new = sorted((left, right), reverse=True)
    half_life = timedelta(days=365)
    at_old = recency(a_memory(1, valid_from=NOW - timedelta(days=old)), at=NOW, half_life=half_life)
    at_new = recency(a_memory(1, valid_from=NOW - timedelta(days=new)), at=NOW, half_life=half_life)
    assert 0 < at_old <= at_new <= 1


def test_a_half_life_halves_and_the_future_counts_as_now() -> None:
    half_life = timedelta(days=30)
    row = a_memory(1, valid_from=NOW - half_life)
    assert recency(row, at=NOW, half_life=half_life) == 0.5
    assert recency(a_memory(1), at=NOW - timedelta(days=9), half_life=half_life) == 1


def test_among_equals_the_newer_the_more_important_and_the_more_used_win() -> None:
    hits = [Hit(1, 5, 5, 0.5), Hit(2, 5, 5, 0.5)]
    old = a_memory(1, "harbour in the south", valid_from=NOW - timedelta(days=700))
    assert found(wish(), hits, old, a_memory(2, "harbour of stone"))[0] == 2
    dull = a_memory(1, "harbour in the south", importance=0.1)
    assert found(wish(), hits, dull, a_memory(2, "harbour of stone", importance=0.9))[0] == 2
    plain = a_memory(1, "harbour in the south"), a_memory(2, "harbour of stone")
    assert found(wish(), hits, *plain, uses={1: Use(30)})[0] == 1


def test_what_is_hardly_relevant_is_not_pushed_up_by_being_new() -> None:
    old = a_memory(1, "harbour in the south", valid_from=NOW - timedelta(days=3000), importance=0)
    new = a_memory(2, "harbour of stone", importance=1)
    assert found(wish(), [Hit(1, 20, 20, 0.8), Hit(2, 3, 3, 0.3)], old, new)[0] == 1


def test_nothing_relevant_is_no_answer() -> None:
    assert found(wish("quantum"), [Hit(1, 0, 0, 0.1)], a_memory(1)) == []
    assert found(wish(), []) == []


def test_what_is_closed_forgotten_or_run_out_is_never_recalled() -> None:
    hits = [Hit(number, 9, 9, 0.9) for number in (1, 2, 3, 4, 5)]
    rows = [
        a_memory(1, superseded_by=5, valid_to=NOW),
        a_memory(2, forgotten_at=NOW),
        a_memory(3, valid_to=NOW - timedelta(seconds=1)),
        a_memory(4, valid_to=NOW + timedelta(days=1)),
    ]
    assert found(wish(), hits, *rows) == [4]


def test_another_project_keeps_to_itself() -> None:
    hits = [Hit(number, 9, 9, 0.9) for number in (1, 2, 3)]
    rows = a_memory(1, project_id=7), a_memory(2, project_id=8), a_memory(3)
    assert sorted(found(wish(project_id=7), hits, *rows)) == [1, 3]


def test_the_same_said_twice_is_one_answer_but_another_number_is_another_fact() -> None:
    same = (
        a_memory(1, "Anna likes the red bicycle best"),
        a_memory(2, "Anna likes the red bicycle best!"),
    )
    hits = [Hit(1, 9, 9, 0.9), Hit(2, 8, 8, 0.8)]
    assert found(wish(), hits, *same) == [1]
    other = (
        a_memory(1, "the flat has number 12 on the 3 floor"),
        a_memory(2, "the flat has number 14 on the 3 floor"),
    )
    assert len(found(wish(), hits, *other)) == 2


def test_what_was_given_within_the_hour_is_halved_only_when_unasked() -> None:
    hits = [Hit(1, 9, 9, 0.9), Hit(2, 8, 8, 0.8)]
    rows = a_memory(1, "harbour in the south"), a_memory(2, "harbour of stone")
    uses = {1: Use(1, NOW - timedelta(minutes=5))}
    assert found(wish(), hits, *rows, uses=uses) == [1, 2]
    assert found(wish(unasked=True), hits, *rows, uses=uses) == [2, 1]
    long_ago = {1: Use(1, NOW - timedelta(minutes=61))}
    assert found(wish(unasked=True), hits, *rows, uses=long_ago) == [1, 2]


def test_what_the_conversation_has_already_is_not_given_again() -> None:
    hits = [Hit(1, 9, 9, 0.9), Hit(2, 8, 8, 0.8)]
    rows = a_memory(1, "harbour in the south"), a_memory(2, "harbour of stone")
    assert found(wish(), hits, *rows, injected={1}) == [2]


def test_a_long_memory_makes_room_for_shorter_ones() -> None:
    hits = [Hit(1, 9, 9, 0.9), Hit(2, 8, 8, 0.8)]
    rows = a_memory(1, "harbour " * 400), a_memory(2, "harbour of stone")
    assert found(wish(tokens=20), hits, *rows) == [2]


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_use_grows_and_is_bounded(left: int, right: int) -> None:
    low, high = sorted((left, right))
    assert 0 <= frequency(Use(low)) <= frequency(Use(high)) <= 1


def test_who_compares_memories_is_given_those_that_say_the_same() -> None:
    rows = [a_memory(1, "the harbour is closed today"), a_memory(2, "the harbour is closed, today")]
    hits = [Hit(1, 9.0, 9.0, 0.9), Hit(2, 8.0, 8.0, 0.8)]
    assert found(wish(), hits, *rows) == [1]
    assert found(wish(diverse=False), hits, *rows) == [1, 2]
