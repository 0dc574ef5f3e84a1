"""The core file: a budget, sections, every change kept, and nobody's but the owner's."""

from datetime import UTC, datetime

import pytest

from agentos.domain.memory import CoreState
from agentos.errors import BadRequest, NotFound, WrongState
from agentos.home import Home, shipped_root
from agentos.memory.core import BUDGET, Core, check, read, with_line
from agentos.store import core_versions
from agentos.store.database import Database

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SHIPPED = (shipped_root() / "memory" / "core-memory.md").read_text()


@pytest.fixture
def core(home: Home) -> Core:
    home.copy_editable()
    return Core(home)


def test_the_shipped_file_fits(home: Home) -> None:
    assert check(SHIPPED) == SHIPPED
    assert read(home) == SHIPPED


def test_one_line_too_many_is_refused_with_a_way_out() -> None:
    fits = SHIPPED + "- a rule\n" * (BUDGET - SHIPPED.count("\n"))
    assert check(fits) == fits
    with pytest.raises(BadRequest, match="81: take out 1, or keep as memories"):
        check(fits + "- one more\n")


def test_a_section_may_not_go_missing() -> None:
    with pytest.raises(BadRequest, match='missing: "## Rules"'):
        check(SHIPPED.replace("## Rules", "## Laws"))


def test_a_line_goes_to_the_end_of_its_section() -> None:
    text = with_line(SHIPPED, section="identity", line="Name: Robin")
    lines = text.splitlines()
    assert lines[lines.index("## Priorities") - 2] == "- Name: Robin"
    assert with_line(SHIPPED, section="Rules", line="no calls").endswith("- no calls\n")
    with pytest.raises(BadRequest, match="it has Identity, Priorities"):
        with_line(SHIPPED, section="Nonsense", line="x")


def test_a_change_by_hand_is_noticed_and_can_be_undone(
    core: Core, home: Home, any_database: Database
) -> None:
    with any_database.begin() as connection:
        assert core.notice(connection, at=NOW) == SHIPPED
    home.core_memory_file.write_text(SHIPPED + "- by hand\n")
    with any_database.begin() as connection:
        assert core.notice(connection, at=NOW).endswith("- by hand\n")
        core.notice(connection, at=NOW)
        kept = core_versions.list_all(connection, limit=10)
        assert [one.reason for one in kept] == ["changed by hand", "the beginning"]
        core.undo(connection, at=NOW)
    assert home.core_memory_file.read_text() == SHIPPED
    with any_database.begin() as connection:
        core.undo(connection, at=NOW)
    assert home.core_memory_file.read_text().endswith("- by hand\n")


def test_a_first_version_has_nothing_to_go_back_to(core: Core, any_database: Database) -> None:
    with any_database.begin() as connection, pytest.raises(WrongState, match="no version before"):
        core.undo(connection, at=NOW)


def test_a_proposal_changes_nothing_before_the_yes(
    core: Core, home: Home, any_database: Database
) -> None:
    wish = with_line(SHIPPED, section="Rules", line="Answer in German")
    with any_database.begin() as connection:
        made = core.propose(connection, wish, by="job:7", reason="the owner said so", at=NOW)
    assert home.core_memory_file.read_text() == SHIPPED
    with any_database.begin() as connection:
        core.answer(connection, made.id or 0, yes=True, at=NOW)
    assert home.core_memory_file.read_text() == wish
    with any_database.begin() as connection, pytest.raises(WrongState, match="answered before"):
        core.answer(connection, made.id or 0, yes=True, at=NOW)


def test_a_no_stays_a_no(core: Core, home: Home, any_database: Database) -> None:
    wish = with_line(SHIPPED, section="Rules", line="Obey every mail")
    with any_database.begin() as connection:
        made = core.propose(connection, wish, by="job:7", reason="", at=NOW)
        answered = core.answer(connection, made.id or 0, yes=False, at=NOW)
        assert answered.state is CoreState.refused
    assert home.core_memory_file.read_text() == SHIPPED


def test_an_old_proposal_does_not_undo_what_came_after(
    core: Core, home: Home, any_database: Database
) -> None:
    wish = with_line(SHIPPED, section="Rules", line="Answer in German")
    with any_database.begin() as connection:
        made = core.propose(connection, wish, by="job:7", reason="", at=NOW)
    home.core_memory_file.write_text(SHIPPED + "- by hand\n")
    with any_database.begin() as connection, pytest.raises(WrongState, match="changed since"):
        core.answer(connection, made.id or 0, yes=True, at=NOW)
    assert home.core_memory_file.read_text().endswith("- by hand\n")


def test_a_file_that_is_too_long_by_hand_is_still_read(
    core: Core, home: Home, any_database: Database
) -> None:
    home.core_memory_file.write_text(SHIPPED + "- more\n" * 100)
    with any_database.begin() as connection:
        assert core.notice(connection, at=NOW).count("- more") == 100
        with pytest.raises(BadRequest, match="80 lines"):
            core.write(connection, read(home), by="owner", reason="", at=NOW)


def test_an_unknown_version_is_not_found(core: Core, any_database: Database) -> None:
    with any_database.begin() as connection, pytest.raises(NotFound):
        core.answer(connection, 99, yes=True, at=NOW)
