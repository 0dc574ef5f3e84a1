"""What lies beside the code: the files that ship, and the papers that must not lie."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest
from pathspec import GitIgnoreSpec
from pydantic import BaseModel

from agentos.config import Config

ROOT = Path(__file__).resolve().parent.parent
WHEEL_INPUTS = ("agentos", "pm", "skills", "cron", "memory")
# Put together from pieces, so that this file does not find itself.
HOSTS = re.compile("(pypi|pythonhosted|npmjs|debian)" + r"[.](org|com)")
PLACES = re.compile(r"(^|[^\w.])/" + r"(work|farm|root|Users|tmp/v|opt/pypi)/", re.M)
SHIPPED = "agentos/shipped"


def ignored() -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines((ROOT / ".gitignore").read_text().splitlines())


def files() -> Iterator[Path]:
    """The files of the project, relative to its top: all that git does not ignore."""
    spec = ignored()
    for folder, names, found in os.walk(ROOT):
        here = Path(folder)
        names[:] = [
            name
            for name in names
            if name != ".git"
            and not (here / name / "pyvenv.cfg").exists()
            and not spec.match_file(f"{(here / name).relative_to(ROOT)}/")
        ]
        for name in found:
            path = (here / name).relative_to(ROOT)
            # In a worktree .git is a file.
            if name != ".git" and not spec.match_file(str(path)):
                yield path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy of the project in which git-ignored things lie about."""
    copy = tmp_path_factory.mktemp("project")
    for path in files():
        if path.parts[0] in WHEEL_INPUTS or len(path.parts) == 1:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, copy / path)
    for litter in (
        "skills/.env",
        "skills/writing/.env",
        "skills/writing/SKILL.md~",
        "cron/.DS_Store",
        "memory/agentos.db",
        "agentos/agentos.log",
        "agentos/store/__pycache__/jobs.cpython-311.pyc",
        "pm/.env.local",
    ):
        (copy / litter).parent.mkdir(parents=True, exist_ok=True)
        (copy / litter).write_text("not for others")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(build, cwd=copy, check=True, capture_output=True, timeout=100)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def test_the_wheel_carries_what_is_shipped(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for path in files():
        if path.parts[0] in ("agentos", "pm"):
            assert str(path) in inside
        if path.parts[0] in ("skills", "cron", "memory") or str(path) in ("SOUL.md", "CLAUDE.md"):
            assert f"{SHIPPED}/{path}" in inside


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    spec, known = ignored(), {str(path) for path in files()}
    for name in zipfile.ZipFile(wheel).namelist():
        if ".dist-info/" not in name:
            origin = name.removeprefix(f"{SHIPPED}/")
            assert origin in known
            assert not spec.match_file(origin)


def test_the_wheel_brings_its_licence_and_both_commands(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
        assert "LICENSE" in names
        metadata = Parser().parsestr(archive.read(names["METADATA"]).decode())
        assert metadata["License-Expression"] == "MIT"
        commands = archive.read(names["entry_points.txt"]).decode()
        assert "agentos = agentos.cli:main" in commands
        assert "pm = pm.cli:main" in commands


def test_an_installed_wheel_finds_its_shipped_files(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "from pathlib import Path\n"
        "from agentos import skills\n"
        "from agentos.home import Home, shipped_root\n"
        "home = Home(Path('home').resolve()); home.make(); home.copy_editable()\n"
        "print(shipped_root()); print(len(skills.list_all(home)), skills.list_broken(home))\n"
        "print(sorted(path.name for path in home.root.rglob('*.md')))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()
    assert answer == [
        str(tmp_path / "site" / SHIPPED),
        "6 []",
        "['CLAUDE.md', 'SOUL.md', 'core-memory.md']",
    ]


def test_no_file_names_a_registry_or_a_place_on_somebodys_machine() -> None:
    named = [
        f"{path}: {found[0]}"
        for path in files()
        if (text := _text(ROOT / path)) is not None
        if (found := HOSTS.search(text) or PLACES.search(text))
    ]
    assert named == []


def test_git_tracks_nothing_that_it_is_told_to_ignore() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return  # an unpacked archive has no index to look at
    listing = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    tracked = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert tracked == ""


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def test_every_dependency_is_pinned_and_no_pin_names_an_index() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.+-]+", pin)] == []
    pinned = {_plain(pin.partition("==")[0]) for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
        "pip",
    ]
    missing = {_plain(re.split(r"[<>=\[; ]", line)[0]) for line in asked} - pinned
    assert missing == set()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    ("name", "most"), [("CLAUDE.md", 120), ("SOUL.md", 60), ("memory/core-memory.md", 80)]
)
def test_what_every_session_reads_keeps_to_its_budget(name: str, most: int) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= most


def test_every_critical_rule_names_its_incident_and_its_date() -> None:
    manual = (ROOT / "CLAUDE.md").read_text()
    rules = re.findall(r"^- .*$", manual.partition("## 4. Critical rules")[2], re.M)
    assert len(rules) >= 5
    assert [rule for rule in rules if not re.search(r"\(.+, 20\d\d-\d\d(-\d\d)?\)$", rule)] == []


def test_the_manual_knows_the_outcomes() -> None:
    manual = (ROOT / "CLAUDE.md").read_text()
    for outcome in ("respond", "quick_work", "big_work", "clarify", "defer", "steer"):
        assert f"| `{outcome}` |" in manual


def test_the_readme_shows_both_commands_on_its_first_screen() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:25]
    assert any(line.startswith("make run") for line in first_screen)
    assert any(line.startswith("make test") for line in first_screen)


def test_the_readme_tells_every_setting_with_its_default() -> None:
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("SETTINGS BEGIN")[2].partition("SETTINGS END")[0]
    told = dict(re.findall(r"^\| `([\w.]+)` \| ([^|]+) \|", table, re.M))
    there = dict(_settings())
    assert told.keys() == there.keys()
    for setting, default in there.items():
        expected = {"": "empty", None: "none"}.get(default, f"`{default}`")
        if setting != "owner.timezone":
            assert told[setting] == expected, setting


def _settings() -> Iterator[tuple[str, str | None]]:
    for section, values in Config():
        assert isinstance(values, BaseModel)
        for key, default in values:
            if hasattr(default, "get_secret_value"):
                default = default.get_secret_value()
            if isinstance(default, bool):
                default = str(default).lower()
            yield f"{section}.{key}", None if default is None else str(default)


def test_every_link_in_the_papers_leads_somewhere() -> None:
    broken = [
        f"{path}: {target}"
        for path in files()
        if path.suffix == ".md" and path.parts[0] not in ("tests", "skills")
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / path).read_text())
        if not (ROOT / path.parent / target).exists()
    ]
    assert broken == []
