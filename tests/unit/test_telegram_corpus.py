# ruff: noqa: E501
"""Every text arrives: in a form that Telegram takes, with every word, and no fence broken."""

import html
import re
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentos.channels.telegram.formatting import Document, Piece, answer, clean
from agentos.standins.bot.entities import is_blank, problem_of
from agentos.standins.bot.text import utf16_length
from tests.markdown_texts import BY_HAND, corpus, grown

_MARKUP = "ab1 *_`#<>[]()|~!-:.+=&;\\\n\t🙂\u0301\u200d🇩é"
_SNIPPETS = (
    "**", "*", "`", "```", "```py\n", "\n", "\n\n", "    ", "- ", "1. ", "> ", "# ", "| a | b |\n|-|-|\n",
    "|", "[a](", "https://e.org", ")", "[r]: ", "<b>", "</b>", "<br>", "word ", "שלום ", "👩‍👩‍👧", "🇩🇪",
    "e\u0301", "~~", "\\", "&amp;", "[^1]", "[x] ", "![", "](x)", "\t", "\x00", "\ud83d", "***", "---\n",
)  # fmt: skip


def _letters(text: str) -> list[str]:
    return [sign for sign in text if sign.isalpha()]


def _told(pieces: Iterable[Piece]) -> str:
    """What the messages show and what their entities hold, in order."""
    told = []
    for piece in pieces:
        encoded, at = piece.text.encode("utf-16-le"), 0
        for one in sorted(piece.found, key=lambda one: one.end if one.url else one.offset):
            place = one.end if one.url else one.offset
            told += [encoded[at * 2 : place * 2].decode("utf-16-le"), one.url or one.language or ""]
            at = place
        told.append(encoded[at * 2 :].decode("utf-16-le"))
    return "".join(told)


def _check_form(pieces: Iterable[Piece], *, limit: int = 4096) -> None:
    for piece in pieces:
        sent = [entity.to_dict() for entity in piece.entities]
        assert problem_of(piece.text, sent) is None
        assert not is_blank(piece.text)
        assert utf16_length(piece.text) <= limit


def _check(markdown: str) -> None:
    messages, document = answer(markdown)
    _check_form(messages)
    said = messages
    if document is not None:
        _check_form(document.instead)
        said = [*messages[:1], *document.instead] if _is_whole(document) else messages
    source = clean(markdown)
    if not messages:
        assert is_blank(source) or not _letters(source)
        return
    if _is_whole(document):
        assert document is not None and document.content.decode() == source
        _check_letters(source, _told(_without_note(said)))
    elif document is None:
        _check_letters(source, _told(said))
    else:  # one big table, in the file
        _check_letters(source, _told(said) + _told(document.instead), in_order=False)


def _is_whole(document: Document | None) -> bool:
    return document is not None and document.name.endswith(".md")


def _without_note(pieces: list[Piece]) -> list[Piece]:
    first = pieces[0]
    return [Piece(first.text.rpartition("\n\n📄")[0], first.found), *pieces[1:]]


# What is no word: how HTML writes a sign, the rest of what stands behind a fence, the name and the
# title of a link, the picture that is a link, a box that is ticked, a line break.
_UNSEEN = re.compile(
    r"(?<=```)[^`\n]*$|(?<=~~~)[^\n]*$|&#?\w+;?|(?<=\s)(['\"]).*?\1(?=\)|$)|<br\s*/?>"
    r"|!\[[^\]\n]*\]\([^)\n]*\)(?=\])|\[[xX]\]|\[\^?[^\[\]\n]*\](?=:)|\]\[[^\]]*\]|mailto:",
    re.MULTILINE | re.IGNORECASE,
)
_TABLE = re.compile(r"-[ \t]*:?[ \t]*\||\|[ \t]*:?[ \t]*-")


def _check_letters(source: str, told: str, *, in_order: bool = True) -> None:
    """Row by row, a table has its heads before each field: its words are there, and more often."""
    wanted = _letters(_UNSEEN.sub(" ", source))
    known = html.unescape(told) + told if "&" in source else told
    if not in_order or _TABLE.search(source):
        assert set(wanted) <= set(known) if not in_order else not Counter(wanted) - Counter(known)
        return
    signs = iter(known)
    at = next((number for number, sign in enumerate(wanted) if sign not in signs), None)
    assert at is None, f"lost after {''.join(wanted[:at])[-40:]!r}: {wanted[at or 0 :][:20]}"


def test_there_are_enough_texts() -> None:
    assert len(set(BY_HAND)) + 200 >= 300
    assert grown(3) == grown(3)


@pytest.mark.parametrize("part", range(4))
def test_broken_formatting_and_splits_every_text_of_the_corpus_arrives(part: int) -> None:
    for number, text in enumerate(corpus()):
        if number % 4 == part:
            _check(text)


@given(st.text(st.sampled_from(_MARKUP), max_size=300))
def test_any_markup_arrives(text: str) -> None:
    _check(text)


@given(st.lists(st.sampled_from(_SNIPPETS), max_size=40), st.sampled_from([1, 1, 1, 200]))
@example(["> ", "```py\n", "word "], 200)
def test_any_mixture_arrives(snippets: list[str], times: int) -> None:
    _check("".join(snippets * times)[:20_000])


@given(st.text(max_size=200))
def test_any_text_at_all_arrives(text: str) -> None:
    _check(text)


@given(st.integers(0, 2**32))
@example(35_000)  # a big table with a row of more fields than its head has
def test_any_grown_text_arrives(seed: int) -> None:
    _check(grown(seed))


@given(
    st.lists(
        st.text(st.sampled_from("ab  =\n🙂"), min_size=1, max_size=60), min_size=1, max_size=60
    ),
    st.integers(20, 200),
)
def test_a_fence_that_is_cut_is_closed_and_opened_again(lines: list[str], limit: int) -> None:
    code = "\n".join(["first", *lines, "last"])
    messages, document = answer(f"before\n```py\n{code}\n```\nafter", first=limit, then=limit)
    if document is not None:
        messages = [*document.instead]
        assert document.content.decode().count("```") == 2
    _check_form(messages, limit=4096 if document else limit)
    shown = [_inside(piece) for piece in messages]
    wanted = code.split()
    assert " ".join(shown).split() == wanted or document is not None


def _inside(piece: Piece) -> str:
    """What of a message is code, all of it with its language."""
    encoded, told = piece.text.encode("utf-16-le"), []
    for one in piece.found:
        assert (one.type, one.language) == ("pre", "py")
        told.append(encoded[one.offset * 2 : one.end * 2].decode("utf-16-le"))
    return " ".join(told)
