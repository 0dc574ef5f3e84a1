"""What is printed must not move a cursor, whatever somebody put into a title."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos.control.plain import clean, one_line


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]never ends\nthe next line stays", "\nthe next line stays"),
        ("a\rb\r\nc", "a\nb\nc"),
        ("bell\x07 back\x08space \x9b31m", "bell backspace 31m"),
        ("turned \u202egnp.exe", "turned gnp.exe"),
        ("Grüße, 你好, مرحبا, 👋🏽", "Grüße, 你好, مرحبا, 👋🏽"),
        ("half \ud83d a pair", "half ? a pair"),
    ],
)
def test_escape_sequences_and_controls_are_taken_out(dirty: str, expected: str) -> None:
    assert clean(dirty) == expected


@given(st.text(st.characters(codec=None), max_size=200))
def test_no_text_keeps_a_control_character(text: str) -> None:
    kept = set(clean(text)) - {"\n", "\t"}
    assert not [letter for letter in kept if unicodedata.category(letter) in ("Cc", "Cs")]


@given(st.text(max_size=200), st.integers(1, 40))
def test_one_line_is_one_line_and_fits(text: str, width: int) -> None:
    line = one_line(text, width=width)
    assert len(line) <= width
    assert "\n" not in line
