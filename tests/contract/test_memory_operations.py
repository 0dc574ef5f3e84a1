"""Memory from outside, while no daemon runs: straight on the rows, with an index of its own."""

import json
from typing import Any

import pytest

from agentos.control import direct
from agentos.control.remembered import NAMES
from agentos.errors import BadRequest, NotFound, WrongState
from agentos.home import Home
from tests.memory_room import holding

pytestmark = pytest.mark.timeout(300)


def run(home: Home, verb: str, **params: Any) -> Any:
    return direct.run(home, f"memory.{verb}", params)


def test_what_is_added_is_found_explained_replaced_and_forgotten(home: Home) -> None:
    old = run(home, "add", text="The office is in Berlin", category="fact")["memory"]
    new = run(home, "add", text="The office is in Hamburg", instead_of=[old["id"]])["memory"]
    found = run(home, "search", query="where is the office?")
    assert [one["id"] for one in found["found"]] == [new["id"]]
    assert set(found["found"][0]["parts"]) >= {"relevance", "recency", "importance", "use"}
    told = run(home, "why", memory=new["id"], query="where is the office?")
    assert told["score"]["place"] == 1
    assert [one["text"] for one in told["replaced"]] == ["The office is in Berlin"]
    assert told["times"] == 1
    assert "score" not in run(home, "why", memory=old["id"], query="where is the office?")
    chain = run(home, "history", memory=old["id"])["memories"]
    assert [one["id"] for one in chain] == [old["id"], new["id"]]
    run(home, "forget", memory=new["id"])
    assert run(home, "search", query="where is the office?")["found"] == []
    run(home, "restore", memory=new["id"])
    assert len(run(home, "search", query="where is the office?")["found"]) == 1


def test_what_is_forgotten_for_good_is_in_no_file(home: Home) -> None:
    made = run(home, "add", text="the word is xylographer")["memory"]
    run(home, "search", query="xylographer")
    told = run(home, "forget", memory=made["id"], now=True)
    assert told["erased"]
    assert holding(home.root, "xylographer") == []
    with pytest.raises(WrongState, match="nothing to restore"):
        run(home, "restore", memory=made["id"])


def test_an_export_can_be_imported_once(home: Home, tmp_path: Any) -> None:
    for number in range(3):
        run(home, "add", text=f"memory {number}", importance=0.7)
    told = json.loads(json.dumps(run(home, "export")))
    assert [one["text"] for one in told["memories"]] == ["memory 0", "memory 1", "memory 2"]
    assert run(home, "import", memories=told["memories"]) == {"added": 0, "known": 3}
    other = Home(tmp_path / "other")
    assert run(other, "import", memories=told["memories"]) == {"added": 3, "known": 0}
    assert run(other, "import", memories=told["memories"]) == {"added": 0, "known": 3}
    assert run(other, "export")["memories"][0]["importance"] == 0.7


def test_core_memory_is_shown_changed_and_undone(home: Home) -> None:
    home.copy_editable()
    before = run(home, "core")
    after = run(home, "core", line="No calls before nine", section="Rules")
    assert after["text"] == before["text"] + "- No calls before nine\n"
    assert home.core_memory_file.read_text() == after["text"]
    assert run(home, "core", undo=True)["text"] == before["text"]
    assert len(run(home, "core", history=True)["versions"]) == 3
    with pytest.raises(BadRequest, match="80 lines"):
        run(home, "core", text=before["text"] + "- x\n" * 80)


def test_words_that_do_not_fit_are_refused_in_one_line(home: Home) -> None:
    with pytest.raises(BadRequest, match="needs query"):
        run(home, "search")
    with pytest.raises(BadRequest, match="does not know colour"):
        run(home, "add", text="x", colour="red")
    with pytest.raises(BadRequest, match="needs a text"):
        run(home, "add", text="   ")
    with pytest.raises(NotFound, match="memory 99"):
        run(home, "why", memory=99)
    with pytest.raises(BadRequest, match="no day"):
        run(home, "episodes", day="2026-13-45")


def test_stats_and_episodes_answer_from_the_beginning(home: Home) -> None:
    told = run(home, "stats")
    assert told["memories"]["current"] == 0
    assert told["index"]["parts"] == 0
    assert run(home, "episodes") == {"episodes": []}
    assert run(home, "episodes", search="anything") == {"episodes": []}
    assert told["capture"]["pieces"] == 0
    assert told["consolidation"] == {"ended": None}
    assert run(home, "consolidate") == {"told": ""}
    assert run(home, "stats")["consolidation"]["ended"] is not None
    assert len(NAMES) == 12
