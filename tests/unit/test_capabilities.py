import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos import settings
from agentos.backends import npm
from agentos.backends.capabilities import BACKENDS, OTHERS, check_known, sideways
from agentos.errors import BadRequest

names = st.sampled_from(["claude", "codex", "gemini", "opencode"])


def test_an_unknown_backend_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadRequest, match="there is no backend 'gpt'; there is claude, codex"):
        check_known("gpt")


def test_each_backend_that_can_be_configured_is_known_and_has_its_package() -> None:
    assert set(settings.BACKENDS) <= set(BACKENDS)
    assert set(OTHERS) == set(npm.PACKAGES)
    for name in settings.BACKENDS:
        check_known(name)


def test_what_a_backend_cannot_is_said_in_words() -> None:
    for found in BACKENDS.values():
        cannot = [value for value in dataclasses.astuple(found) if value is False]
        assert not cannot or found.missing


def test_a_job_goes_sideways_only_as_it_is_allowed() -> None:
    fallback = {"codex": "claude", "gemini": "codex"}
    assert sideways("codex", unavailable=set(), fallback=fallback) == "codex"
    assert sideways("codex", unavailable={"codex"}, fallback=fallback) == "claude"
    assert sideways("gemini", unavailable={"codex", "gemini"}, fallback=fallback) == "claude"
    assert sideways("codex", unavailable={"codex"}, fallback={}) is None
    assert sideways("codex", unavailable={"codex", "claude"}, fallback=fallback) is None


@given(names, st.sets(names), st.dictionaries(names, names))
def test_going_sideways_always_ends_and_never_at_one_that_cannot(
    backend: str, unavailable: set[str], fallback: dict[str, str]
) -> None:
    found = sideways(backend, unavailable=unavailable, fallback=fallback)
    assert found is None or found not in unavailable
    if backend not in unavailable:
        assert found == backend


WORDS = {
    "resume": "goes on with a session after its process has ended",
    "cancel": "a turn is ended with all that it started",
    "usage": "tells the tokens it used",
    "cost": "tells what they cost",
    "tool_events": "tells each tool as it is used",
    "structured_output": "answers fit a JSON schema",
    "nudge": "takes in a word while a turn runs",
    "streaming": "tells the answer as it is written",
    "warm": "stays started between turns",
    "memory": "asks memory by itself",
}


def paper() -> str:
    """What docs/backends.md has to say below its last heading."""
    lines = [f"| | {' | '.join(f'`{name}`' for name in settings.BACKENDS)} |"]
    lines.append("|---" * (len(settings.BACKENDS) + 1) + "|")
    for field, words in WORDS.items():
        can = [getattr(BACKENDS[name], field) for name in settings.BACKENDS]
        lines.append(f"| {words} | {' | '.join('yes' if one else 'no' for one in can)} |")
    for name in settings.BACKENDS:
        found = BACKENDS[name]
        lines += ["", f"**{name}**", "", f"- Its tools: {found.sandbox}."]
        lines += [f"- Missing: {line}." for line in found.missing]
    return "\n".join(lines) + "\n"


def test_the_paper_tells_what_each_can() -> None:
    told = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()
    assert told.partition("## What each can\n\n")[2] == paper()


def test_the_paper_tells_how_large_each_is() -> None:
    told = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()
    for name, package in npm.PACKAGES.items():
        assert re.search(rf"^\| `{name}` \|.*\| {package.megabytes} MB \|$", told, re.M)
