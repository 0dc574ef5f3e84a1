"""Whether one memory says what another says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentos.domain.memory import Trust
from agentos.memory.likeness import is_echo, least, may_replace, says_no_more

SAME = [
    ("Ana is a vegetarian", "ana is vegetarian."),
    ("The office is in Hamburg", "The office is in Hamburg"),
    ("The owner drinks tea", "Owner drinks tea"),
]
OTHER = [
    ("Ana lives in Porto", "Ana's sister lives in Porto"),
    ("The owner drinks green tea", "The owner drinks green tea in Porto"),
    ("Ana is vegetarian", "Ana is not vegetarian"),
    ("The office is in Hamburg", "The office is in Berlin"),
    ("The review takes place on Tuesday", "The review takes place on Thursday"),
    ("The rent is 900 euros", "The rent is 950 euros"),
    ("Ana asks Ben for help", "Ben asks Ana for help"),
    ("The owner drinks green tea", "The owner drinks tea"),
    ("Ana works", "Ana works in a bank in Hamburg with Ben"),
    ("The owner can eat nuts", "The owner cannot eat nuts"),
    ("The flight is at 7", "The flight is at 17"),
]


@pytest.mark.parametrize(("text", "known"), SAME)
def test_the_same_in_nearly_the_same_words_says_no_more(text: str, known: str) -> None:
    assert says_no_more(text, known)
    assert is_echo(text, known)


@pytest.mark.parametrize(("text", "known"), OTHER)
def test_a_value_a_number_or_a_negation_makes_another_memory(text: str, known: str) -> None:
    # However near the vectors are.
    assert not says_no_more(text, known, cosine=0.96)


def test_fewer_words_of_the_same_meaning_say_no_more() -> None:
    known = "The owner drinks green tea daily"
    assert says_no_more("The owner drinks green tea", known, cosine=0.98)
    assert not says_no_more("The owner drinks green tea", known, cosine=0.9)


def test_an_echo_may_use_other_words_but_no_other_names() -> None:
    given_ = "The weekly review with the design team is on Tuesday at ten"
    assert is_echo("The weekly design team review takes place on Tuesday at ten", given_)
    assert is_echo("Designers meet each Tuesday", given_, cosine=0.93)
    assert not is_echo("The weekly design team review is on Friday at ten", given_, cosine=0.95)
    assert not is_echo("The weekly review with the design team is not at ten", given_, cosine=0.95)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60))
def test_every_text_says_no_more_than_itself(text: str) -> None:
    assert says_no_more(text, text)


def test_nobodys_word_replaces_the_word_of_somebody_trusted_more() -> None:
    order = [Trust.outside, Trust.self, Trust.owner]
    for place, new in enumerate(order):
        assert [may_replace(new, old) for old in order] == [n <= place for n in range(3)]
    assert least([Trust.owner, Trust.outside, Trust.self]) is Trust.outside
    assert least([]) is Trust.self
