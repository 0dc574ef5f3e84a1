"""The question that a text asks of memory."""

from hypothesis import given
from hypothesis import strategies as st

from agentos.memory.questions import question_of

BRIEF = """Book the usual table for the six of us on Friday evening.

What the owner wrote, word for word:
<message>
Can you get us a table at Osteria Lucca for Friday? Anna and Jörg are coming, and the Millers from
number 14. Last time we sat by the window. Please call +49 40 123456 or write to ciao@lucca.example.
It should not be too late, because the children have school, and it should not be too dear. Somebody
has to tell them about the allergies as well. That is all there is to say about it, I believe, and
thank you very much for doing all of this for me again.
</message>
"""


def test_a_short_text_is_its_own_question() -> None:
    assert question_of("what does Anna\n eat? ") == "what does Anna eat?"
    assert question_of("Sort the mail.", title="Mail") == "Mail Sort the mail."
    assert question_of("Mail is to be sorted", title="Mail") == "Mail is to be sorted"
    assert question_of(" \n ") == ""


def test_of_a_long_one_it_is_the_title_the_first_line_and_the_names() -> None:
    question = question_of(BRIEF, title="A table for Friday")
    assert question.startswith("A table for Friday Book the usual table for the six of us")
    names = question.partition("evening.")[2].split()
    assert names[:2] == ["Osteria", "Lucca"]
    assert {"Jörg", "Millers", "14", "ciao@lucca.example"} <= set(names)
    assert not {"What", "Last", "Please", "It", "Somebody", "That"} & set(names)
    assert len(question.split()) < 60


@given(st.text(), st.text(max_size=80))
def test_no_text_makes_a_question_that_is_long(text: str, title: str) -> None:
    question = question_of(text, title=title)
    assert len(question.split()) <= 80 + 60 + 40 + 25
    assert question == question.strip()
