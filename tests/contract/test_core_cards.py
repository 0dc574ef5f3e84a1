"""What is proposed for core memory is put to the owner as a card: a tap, or `pm`, decides."""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.states import CardState
from agentos.domain.talk import Card
from agentos.frontdesk import taps
from agentos.frontdesk.effects import Ways
from agentos.home import Home
from agentos.memory import wishes
from agentos.memory.core import Core, with_line
from agentos.standins.clock import VirtualClock
from agentos.store import cards, core_versions, outbox
from agentos.store.database import Database

LINE = "- No calls before nine"


class Asked:
    """A home with a proposal, and the card about it."""

    def __init__(self, database: Database, home: Home, clock: VirtualClock) -> None:
        self.database, self.home, self.clock = database, home, clock
        self.file: Path = home.core_memory_file
        self.core = Core(home)
        with database.begin() as connection:
            text = with_line(
                self.core.notice(connection, at=clock.now()), section="Rules", line=LINE
            )
            self.wish = self.core.propose(
                connection, text, by="consolidation", reason="", at=clock.now()
            )
            self.card = self.ask(connection)

    def ask(self, connection: Connection) -> Card:
        return wishes.ask(
            connection,
            self.wish,
            conversation="telegram:7001",
            said="Memory was tidied.",
            at=self.clock.now(),
        )

    def tap(self, key: str) -> str:
        with self.database.begin() as connection:
            return taps.tap(
                connection,
                self.card.id or 0,
                key,
                via="telegram",
                home=self.home,
                ways=Ways.of(Config()),
                at=self.clock.now(),
            ).toast

    def shown(self) -> str:
        """How the message with the card looks now."""
        with self.database.read() as connection:
            key = wishes.key_of(self.wish.id)
            ended = outbox.find_by_key(connection, f"{key}:decided")
            found = ended or outbox.find_by_key(connection, key)
        assert found is not None
        return found.text


@pytest.fixture
def asked(database: Database, home: Home, clock: VirtualClock) -> Asked:
    home.copy_editable()
    return Asked(database, home, clock)


def test_a_tap_on_yes_puts_the_line_into_the_file(asked: Asked) -> None:
    assert LINE in asked.shown()
    assert LINE not in asked.file.read_text()
    assert asked.tap("yes") == "✓ Add it"
    assert asked.file.read_text().count(LINE) == 1
    assert asked.shown().endswith("**✓ Add it**")
    assert asked.tap("no").startswith("Answered already")
    assert asked.file.read_text().count(LINE) == 1


def test_a_tap_on_no_changes_nothing(asked: Asked) -> None:
    before = asked.file.read_text()
    asked.tap("no")
    assert asked.file.read_text() == before
    with asked.database.read() as connection:
        assert core_versions.get(connection, asked.wish.id or 0).state.value == "refused"


def test_a_yes_to_what_was_written_against_another_text_says_so(asked: Asked) -> None:
    asked.file.write_text(asked.file.read_text() + "- a line by hand\n")
    said = asked.tap("yes")
    assert "core memory has changed since" in said
    assert LINE not in asked.file.read_text()
    assert "core memory has changed since" in asked.shown()
    assert "✓" not in asked.shown()


def test_an_answer_with_pm_ends_the_card_and_asking_twice_is_one_card(asked: Asked) -> None:
    with asked.database.begin() as connection:
        assert asked.ask(connection).id == asked.card.id
        wish_id = asked.wish.id or 0
        asked.core.answer(connection, wish_id, yes=True, at=asked.clock.now())
        wishes.settle(connection, wish_id, yes=True, via="pm", at=asked.clock.now())
        assert cards.get(connection, asked.card.id or 0).state is CardState.answered
    assert asked.shown().endswith("**✓ Add it** (via pm)")
    assert asked.tap("no").startswith("Answered already")
