"""Words: what carries meaning, how texts are split, how lines are ranked without an index."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from agentos.memory.words import PART_WORDS, bm25, coverage, date_words, meaningful, split, stems_of


def test_a_question_loses_its_empty_words_unless_it_has_no_others() -> None:
    assert meaningful("What does Anna's sister like?") == ["anna", "sister"]
    assert meaningful("what is it") == ["what", "is", "it"]


@given(st.text(max_size=3000))
def test_a_split_loses_no_word(text: str) -> None:
    parts = split(text)
    assert all(len(part.split()) <= PART_WORDS + 30 for part in parts)
    assert set(text.split()) <= {word for part in parts for word in part.split()}


def test_a_long_text_is_split_with_an_overlap() -> None:
    words = [f"word{number}" for number in range(1000)]
    parts = split(" ".join(words))
    assert len(parts) > 5
    for before, after in pairwise(parts):
        assert set(before.split()) & set(after.split())


def test_the_line_with_the_rare_word_comes_first() -> None:
    lines = ["we went home", "the violin was broken", "home is where we went", "nothing"]
    scores = bm25("who broke the violin at home?", lines)
    assert scores.index(max(scores)) == 1
    assert scores[3] == 0


def test_endings_do_not_hide_a_word() -> None:
    assert coverage(stems_of("paints"), "she was painting") == 1
    assert coverage(stems_of("paints and cooks"), "she was painting") == 0.5


def test_a_day_is_that_of_the_owner() -> None:
    late = datetime(2023, 5, 8, 23, 30, tzinfo=UTC)
    assert date_words(late, zone=ZoneInfo("Europe/Berlin")) == "9 May 2023"
