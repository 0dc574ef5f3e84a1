from pathlib import Path
from typing import Any

import pytest

from agentos.domain.frames import Access
from agentos.worker.policy import Policy


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Policy:
    monkeypatch.setenv("AGENTOS_HOME", str(tmp_path / "home"))
    made = Policy(Access.work)
    made.allow_folders([str(tmp_path / "home" / "jobs" / "1" / "work")])
    return made


def test_writing_is_for_the_folders_of_the_turn_alone(policy: Policy, tmp_path: Path) -> None:
    work = tmp_path / "home" / "jobs" / "1" / "work"
    assert policy.decide("Write", {"file_path": str(work / "a" / "b.md")}) is None
    for path in (work / ".." / "x", work.parent, Path("/etc/passwd"), tmp_path / "home" / ".env"):
        assert "Writing is allowed in" in (policy.decide("Edit", {"file_path": str(path)}) or "")


def test_a_link_out_of_the_folder_is_followed_before_it_is_judged(
    policy: Policy, tmp_path: Path
) -> None:
    work = tmp_path / "home" / "jobs" / "1" / "work"
    work.mkdir(parents=True)
    (work / "out").symlink_to(tmp_path)
    assert policy.decide("Write", {"file_path": str(work / "out" / "x")}) is not None


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("Read", {"file_path": "HOME/.env"}),
        ("Read", {"file_path": "HOME/config.toml"}),
        ("Read", {"file_path": "HOME/agentos.db-wal"}),
        ("Grep", {"path": "HOME", "pattern": "token"}),
        ("Grep", {"path": "HOME/..", "pattern": "token"}),
        ("Grep", {"pattern": "x", "glob": ".env"}),
        ("Glob", {"path": "HOME", "pattern": "*"}),
        ("Bash", {"command": "cat 'HOME/.env'"}),
        ("Task", {}),
    ],
)
def test_what_may_hold_secrets_is_refused(
    policy: Policy, tmp_path: Path, tool: str, arguments: dict[str, Any]
) -> None:
    home = str(tmp_path / "home")
    filled = {key: value.replace("HOME", home) for key, value in arguments.items()}
    assert policy.decide(tool, filled) is not None


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("Read", {"file_path": "/usr/share/dict/words"}),
        ("Grep", {"pattern": "token", "path": "/usr/include"}),
        ("Bash", {"command": "make test"}),
        ("WebSearch", {"query": "tea"}),
    ],
)
def test_ordinary_work_needs_no_asking(
    policy: Policy, tool: str, arguments: dict[str, Any]
) -> None:
    assert policy.decide(tool, arguments) is None


def test_the_front_desk_has_no_tools_at_all() -> None:
    assert Policy(Access.none).decide("Read", {"file_path": "/etc/hostname"}) is not None
