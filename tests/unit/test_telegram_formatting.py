"""Markdown on Telegram: what it looks like, and that nothing is lost on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos.channels.telegram.formatting import clean, pieces, shifted, styled, tail


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("# Title\n\n- a\n- b", "Title\n\n• a\n• b"),
        ("buy <milk> & <b>bread</b>", "buy <milk> & <b>bread</b>"),
        ("<script>x</script>", "<script>x</script>"),
        ("`<tag>` and 1 < 2", "<tag> and 1 < 2"),
        ("<https://example.org>", "https://example.org"),
        ("[](x)", "x"),
        ("snake_case_name", "snake_case_name"),
        ("שלום **עולם**", "שלום עולם"),
        ("half \ud83d a pair\x00", "half \ufffd a pair"),
    ],
)
def test_markdown_becomes_text(markdown: str, shown: str) -> None:
    assert styled(markdown).text == shown


def test_offsets_count_utf16_units() -> None:
    (bold,) = styled("🙂🙂 **bold** <i>").entities
    assert (bold.type, bold.offset, bold.length) == ("bold", 5, 4)


def test_a_link_keeps_its_address() -> None:
    (link,) = styled("[here](https://example.org/a?b=<c>)").entities
    assert link.url == "https://example.org/a?b=<c>"


def test_text_is_cut_where_a_reader_would() -> None:
    text = "one two three.\n\nfour five six seven"
    assert [one.text for one in pieces(text, first=24, then=12)] == [
        "one two three.",
        "four five",
        "six seven",
    ]


def test_code_stays_code_in_each_part() -> None:
    parts = pieces("```python\n" + "print(1)\n" * 50 + "```", first=200, then=200)
    assert len(parts) > 2
    for part in parts:
        (code,) = part.entities
        assert (code.type, code.language, code.offset) == ("pre", "python", 0)
        assert code.length <= _units(part.text)


def test_a_long_draft_shows_its_end() -> None:
    shown = tail(styled("x" * 50 + " **end** 🙂"), limit=10)
    assert shown.text == "… xxx end 🙂"
    (bold,) = shown.entities
    assert shown.text[bold.offset : bold.offset + bold.length] == "end"


def test_a_note_moves_the_entities() -> None:
    noted = shifted(styled("**a**"), note="🙂 ")
    (bold,) = noted.entities
    assert (noted.text, bold.offset) == ("🙂 a", 3)


@given(st.text(st.characters(), max_size=300), st.integers(2, 60), st.integers(2, 60))
def test_any_text_fits_and_its_entities_lie_within(text: str, first: int, then: int) -> None:
    for index, part in enumerate(pieces(text, first=first, then=then)):
        assert part.text.strip()
        assert _units(part.text) <= (then if index else first)
        for entity in part.entities:
            assert entity.length > 0
            assert 0 <= entity.offset <= entity.offset + entity.length <= _units(part.text)


@given(st.text(st.sampled_from("ab *_`#<>[]()|~!-\n🙂"), max_size=200))
def test_any_markup_is_split_the_same_way_again(text: str) -> None:
    assert pieces(text, first=20, then=20) == pieces(text, first=20, then=20)


@given(st.text(st.sampled_from("abc \n🙂é"), min_size=1, max_size=400))
def test_plain_words_are_all_there(text: str) -> None:
    said = " ".join(one.text for one in pieces(text, first=30, then=30))
    assert "".join(said.split()) == "".join(text.split())


@given(st.text(st.characters()))
def test_clean_text_can_be_stored(text: str) -> None:
    cleaned = clean(text)
    assert "\x00" not in cleaned
    assert not any(0xD800 <= ord(sign) <= 0xDFFF for sign in cleaned)
