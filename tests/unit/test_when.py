from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos.domain.when import find_time

BERLIN = ZoneInfo("Europe/Berlin")
FRIDAY = datetime(2026, 11, 20, 10, 0, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("in 20 minutes", FRIDAY + timedelta(minutes=20)),
        ("in an hour", FRIDAY + timedelta(hours=1)),
        ("in half an hour", FRIDAY + timedelta(minutes=30)),
        ("in 2 weeks", FRIDAY + timedelta(weeks=2)),
        ("tomorrow at 9", datetime(2026, 11, 21, 9, tzinfo=BERLIN)),
        ("tomorrow", datetime(2026, 11, 21, 9, tzinfo=BERLIN)),
        ("tonight", datetime(2026, 11, 20, 20, tzinfo=BERLIN)),
        ("this evening at 18:00", datetime(2026, 11, 20, 18, tzinfo=BERLIN)),
        ("at 8pm", datetime(2026, 11, 20, 20, tzinfo=BERLIN)),
        ("at 9", datetime(2026, 11, 21, 9, tzinfo=BERLIN)),
        ("on monday at 3:30 pm", datetime(2026, 11, 23, 15, 30, tzinfo=BERLIN)),
        ("friday at 12am", datetime(2026, 11, 27, 0, tzinfo=BERLIN)),
    ],
)
def test_plain_words_name_a_moment_in_the_owners_zone(words: str, expected: datetime) -> None:
    found = find_time(f"remind me {words} to call", now=FRIDAY)
    assert found is not None
    assert found.at == expected


@pytest.mark.parametrize("words", ["hello", "at 25", "tomorrow at 13pm", "in a moment", ""])
def test_words_that_name_no_moment_give_none(words: str) -> None:
    assert find_time(words, now=FRIDAY) is None


@given(st.text())
def test_any_text_gives_a_moment_in_the_future_or_none(text: str) -> None:
    found = find_time(text, now=FRIDAY)
    assert found is None or found.at >= FRIDAY
