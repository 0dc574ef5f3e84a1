"""Transcripts in plain words, also when a crash has torn them."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentos.home import Home
from pm.logs import words_of
from pm.transcript import TranscriptFile, count_tools

AT = "2026-11-21T10:00:00+00:00"


@pytest.fixture
def transcript(home: Home, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTOS_HOME", str(home.root))
    home.job_folder(7).mkdir()
    return home.job_folder(7) / "transcript.jsonl"


def line(kind: str, **fields: Any) -> str:
    return json.dumps({"at": AT, "run": 1, "kind": kind, **fields})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "prompt", "text": "Do it"}, "asked: Do it"),
        ({"kind": "text", "text": " I will. "}, "I will."),
        ({"kind": "tool", "tool": "Bash", "input": "ls\n-la"}, "Bash: ls -la"),
        ({"kind": "tool_result", "tool": "Bash", "text": "a\nb"}, "→ a\nb"),
        ({"kind": "tool_result", "tool": "Bash", "text": "no", "failed": True}, "→ failed: no"),
        ({"kind": "tool_result", "tool": "Bash", "text": ""}, ""),
        ({"kind": "result", "text": "Done"}, "result: Done"),
        ({"kind": "error", "text": "overloaded"}, "error: overloaded"),
        (
            {"kind": "session", "session_id": "s1", "lost": True},
            "session s1 (the one before was lost)",
        ),
        ({"kind": "note", "text": "hm"}, "note: hm"),
        ({"kind": "event", "key": "job_queued"}, "queued"),
        ({"kind": "event", "key": "job_failed", "data": {"error": "why"}}, "failed: why"),
        ({"kind": "event", "key": "something_new"}, "something new"),
        (
            {"kind": "event", "key": "run_started", "data": {"number": 2, "worker": "ada"}},
            "run 2 started by worker ada",
        ),
    ],
)
def test_each_kind_of_line_reads_plainly(fields: dict[str, Any], words: str) -> None:
    assert words_of(fields) == words


def test_a_long_output_is_shortened() -> None:
    words = words_of({"kind": "tool_result", "text": "\n".join(map(str, range(100)))})
    assert "92 more lines" in words


def test_a_line_that_is_still_written_is_read_when_it_is_whole(transcript: Path) -> None:
    whole, half = line("text", text="one"), line("text", text="two")
    transcript.write_text(f"{whole}\n{half[:20]}")
    reading = TranscriptFile(7)
    assert [one["text"] for one in reading.lines()] == ["one"]
    assert list(reading.lines()) == []
    transcript.write_text(f"{whole}\n{half}\n")
    assert [one["text"] for one in reading.lines()] == ["two"]


def test_what_a_crash_tore_hides_nothing_after_it(transcript: Path) -> None:
    torn = line("text", text="torn")[:30]
    transcript.write_text(f"{torn}{line('text', text='whole')}\nnonsense\n[]\n{{}}\n")
    assert [one["text"] for one in TranscriptFile(7).lines()] == ["whole"]


def test_tools_are_counted(transcript: Path) -> None:
    lines = [line("tool", tool=name) for name in ("Bash", "Write", "Bash")]
    transcript.write_text("\n".join(lines) + "\n")
    assert count_tools(7) == {"Bash": 2, "Write": 1}


def test_a_job_without_a_transcript_has_no_lines(transcript: Path) -> None:
    assert list(TranscriptFile(8).lines()) == []
