from pathlib import Path

import pytest

from agentos.errors import AlreadyRunning, HomeUnusable
from agentos.home import Home


def test_a_home_below_a_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeUnusable, match="AGENTOS_HOME"):
        Home(tmp_path / "file" / "home").make()


def test_a_second_daemon_is_told_of_the_first(home: Home) -> None:
    with home.lock(), pytest.raises(AlreadyRunning, match="pid"), home.lock():
        pass


def test_the_owners_file_wins_over_the_shipped_one(home: Home) -> None:
    assert home.find("SOUL.md") != home.root / "SOUL.md"
    (home.root / "SOUL.md").write_text("mine")
    assert home.find("SOUL.md").read_text() == "mine"
    assert home.root / "SOUL.md" not in home.copy_editable()


def test_a_long_path_still_has_a_socket(tmp_path: Path) -> None:
    deep = Home(tmp_path / ("x" * 120))
    assert len(str(deep.socket)) < 104
    assert deep.socket != Home(tmp_path / ("y" * 120)).socket


def test_files_of_an_older_database_are_set_aside_and_kept(home: Home) -> None:
    assert home.set_aside(home.jobs) is None
    (home.job_folder(1)).mkdir()
    (home.job_folder(1) / "tax.pdf").write_text("x")
    aside = home.set_aside(home.jobs)
    assert aside is not None
    assert (aside / "1" / "tax.pdf").exists()
    assert list(home.jobs.iterdir()) == []
