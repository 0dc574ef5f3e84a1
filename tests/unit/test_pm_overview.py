"""The status of the engine fits every screen, and so does each frame of the live one."""

from typing import Any

import pytest

from agentos.home import Home
from pm import zone
from pm.graph import dot, mermaid, tree
from pm.output import cells_of
from pm.overview import lines_of, percent
from pm.stream import words_of
from pm.watch import frame

NOW = "2026-11-21T13:00:00+00:00"


@pytest.fixture(autouse=True)
def fresh_zone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOS_HOME", str(home.root))
    zone.owner_zone.cache_clear()


def a_job(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "title": f"Sort \x1b[2Jthe {'very ' * 8}long inbox",
        "state": "queued",
        "lane": "normal",
        "priority": 2,
        "why": "needs #12 Write it, which failed: `pm job retry 12` tries it again",
        "worker": "email",
        "backend": "claude",
        "model": "sonnet",
        "since": "2026-11-21T12:50:00+00:00",
        "doing": "Bash: pytest -q\n" * 5,
        **more,
    }


def a_worker(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "name": name,
        "backend": "claude",
        "model": "sonnet",
        "state": "working",
        "persistent": True,
        "session_job_count": 47,
        "session_share": 0.62,
        "last_used_at": NOW,
        "working_on": {"id": 3, "title": "你好" * 20},
        "warm": True,
        **more,
    }


def a_pool(backend: str, share: float | None) -> dict[str, Any]:
    return {
        "backend": backend,
        "words": "5-hour",
        "tokens": 123_456,
        "turns": 7,
        "share": share,
        "pause_at": 0.8,
        "resets_at": NOW,
        "rests_until": NOW,
    }


def a_status(**more: Any) -> dict[str, Any]:
    return {
        "daemon": {"pid": 1},
        "now": NOW,
        "slots": {"all": 3, "running": 2, "free": 1, "urgent_free": True},
        "draining": False,
        "paused": "",
        "machine": "the machine has 12 MB of memory left",
        "lanes": [
            {"lane": "urgent", "running": 0, "waiting": 0, "later": 0},
            {"lane": "normal", "running": 2, "waiting": 30, "later": 1},
            {"lane": "background", "running": 0, "waiting": 14, "later": 0},
        ],
        "reminders": {"count": 2, "next": NOW},
        "parked": 1,
        "running": [a_job(1), a_job(2)],
        "waiting": [a_job(number) for number in range(3, 23)],
        "waiting_beyond": 24,
        "window": {"limit": 2_000_000, "used": 700_000, "reserved": 60_000, "share": 0.38,
                   "pause_at": 0.8},
        "pools": [a_pool("claude", 0.85), a_pool("opencode", None), a_pool("gemini", 1.2)],
        "in_use": ["claude", "codex"],
        "missing": {"codex": "its CLI is missing", "gemini": "not in use"},
        "workers": [a_worker("email"), a_worker("briefing", state="idle", working_on=None)],
        **more,
    }  # fmt: skip


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("height", [None, 10, 19, 23, 50])
def test_no_line_is_wider_than_the_screen_and_no_frame_higher(
    width: int, height: int | None
) -> None:
    lines = lines_of(a_status(), width=width, height=height)
    assert max(map(cells_of, lines)) <= width
    assert height is None or len(lines) <= height
    assert not any("\x1b" in line for line in lines)


def test_a_small_frame_shows_some_of_everything() -> None:
    shown = "\n".join(lines_of(a_status(), width=80, height=23))
    for words in ("2 of 3 busy", "RUNNING", "WAITING", "BUDGETS", "WORKERS", "email", "and 4"):
        assert words in shown


def test_what_is_hidden_is_counted() -> None:
    lines = lines_of(a_status(pools=[], window=None, missing={}), width=80, height=16)
    beyond = next(line for line in lines if "more" in line and "WORKERS" not in line)
    shown = sum(line.startswith("  #") for line in lines) - 2
    assert int(beyond.split()[2]) + shown == 44


def test_without_a_screen_nothing_of_why_a_job_waits_is_lost() -> None:
    for width in (None, 40, 80):
        text = " ".join(" ".join(lines_of(a_status(), width=width)).split())
        assert "tries it again" in text.replace("  ", " ")


def test_an_empty_engine_is_a_few_lines() -> None:
    empty = a_status(
        machine="", running=[], waiting=[], waiting_beyond=0, window=None, pools=[], workers=[],
        missing={}, parked=0, reminders={"count": 0, "next": None},
        lanes=[{"lane": "urgent", "running": 0, "waiting": 0, "later": 0}],
    )  # fmt: skip
    assert lines_of(empty, width=80)[0] == "agentos runs"
    assert len(lines_of(empty, width=80)) == 3
    down = lines_of({**empty, "daemon": None}, width=80)
    assert down[0] == "agentos is not running: `agentos up` starts it"


def test_only_backends_that_were_asked_for_are_missed() -> None:
    text = "\n".join(lines_of(a_status(), width=80))
    assert "codex: its CLI is missing" in text
    assert "gemini: not in use" not in text


def test_shares_are_short() -> None:
    assert [percent(share) for share in (0, 0.001, 0.5, 1.2)] == ["0 %", "1 %", "50 %", "120 %"]


def test_a_frame_draws_over_the_last_one_and_clears_nothing_before() -> None:
    drawn = frame(["one", "two", "three"], height=2)
    assert drawn == "\x1b[?2026h\x1b[Hone\x1b[K\ntwo\x1b[K\x1b[J\x1b[?2026l"
    assert "\x1b[2J" not in drawn


def a_graph() -> dict[str, Any]:
    states = ["done", "running", "failed", "queued", "queued"]
    titles = ["Collect", "Write one", "Write two", 'Edit "all" <b>', "Alone"]
    return {
        "jobs": [
            {"id": number, "title": title, "state": state, "if_needs_fail": "block"}
            for number, (title, state) in enumerate(zip(titles, states, strict=True), 1)
        ],
        "edges": [
            {"from": 1, "to": 2},
            {"from": 1, "to": 3},
            {"from": 2, "to": 4},
            {"from": 3, "to": 4},
        ],
        "cut": False,
    }


def test_a_graph_is_a_tree_in_which_each_job_is_once() -> None:
    assert tree(a_graph(), width=80) == [
        "✓ #1 Collect  done",
        "├─ ● #2 Write one  running",
        "└─ ✗ #3 Write two  failed",
        '   └─ ○ #4 Edit "all" <b>  queued  (also needs #2; waits if that fails)',
        "○ #5 Alone  queued",
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_deep_tree_with_long_titles_fits(width: int) -> None:
    jobs = [
        {"id": number, "title": "word " * 30, "state": "queued", "if_needs_fail": "go_on"}
        for number in range(1, 7)
    ]
    edges = [{"from": number, "to": number + 1} for number in range(1, 6)]
    lines = tree({"jobs": jobs, "edges": [*edges, {"from": 1, "to": 6}], "cut": False}, width=width)
    assert len(lines) == 6
    assert max(map(cells_of, lines)) <= width


def test_mermaid_and_dot_are_quoted() -> None:
    assert '  j4["#4 Edit #quot;all#quot; #lt;b#gt;"]:::queued' in mermaid(a_graph())
    assert "  j3 --> j4" in mermaid(a_graph())
    assert '  j4 [label="#4 Edit \\"all\\" <b>\\nqueued", fillcolor="#ffffff"];' in dot(a_graph())


def test_an_event_is_one_line_in_plain_words() -> None:
    event = {
        "id": 7,
        "key": "run_settled",
        "at": NOW,
        "job_id": 3,
        "run_id": 4,
        "data": {"outcome": "failed", "detail": "no\nnet\x1b[2J", "empty": None},
    }
    line = words_of(event)
    assert line.endswith("run settled  job 3 · run 4 · outcome failed · detail no net")
    assert "\n" not in line and "\x1b" not in line
