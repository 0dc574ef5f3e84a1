"""A row that was read is as good as one that was made."""

from datetime import UTC, datetime

from agentos.domain.memory import Category, Memory

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_row_that_was_read_is_the_one_that_was_made() -> None:
    read = Memory.read({"text": "a fact", "valid_from": NOW, "created_at": NOW, "id": 3})
    assert (read.id, read.text, read.category, read.current) == (3, "a fact", Category.fact, True)
    made = Memory(text="a fact", valid_from=NOW, created_at=NOW, id=3)
    assert read == made
    assert read.model_dump() == made.model_dump()
    read.text = "another"
    assert read.model_copy().text == "another"
    assert read != made
