import os
from pathlib import Path

from agentos.domain.talk import OutboxKind
from agentos.engine.collecting import collect


def test_files_are_found_with_their_kind_and_pictures_go_as_pictures(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "deep" / "b.png").write_bytes(b"x")
    (tmp_path / ".hidden").write_text("x")
    found = collect(tmp_path)
    assert [(file.name, file.kind) for file in found.files] == [
        ("a.md", OutboxKind.document),
        ("deep/b.png", OutboxKind.photo),
    ]
    assert found.left == []


def test_what_stays_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.md").touch()
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(60_000_000)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("x")
    left = sorted(collect(tmp_path).left)
    assert left == [
        "'caf\\udce9.txt' (its name cannot be sent)",
        "big.bin (60 MB, too big to send)",
        "empty.md (empty)",
    ]


def test_nothing_outside_of_the_folder_is_taken_for_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("x")
    folder = tmp_path / "artefacts"
    folder.mkdir()
    (folder / "link.txt").symlink_to(secret)
    (folder / "broken.txt").symlink_to(tmp_path / "nowhere")
    assert collect(folder).files == []
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path)
    assert collect(linked).files == []
    assert "link" in collect(linked).left[0]


def test_more_files_than_a_phone_wants_stay_where_they_are(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}.txt").write_text("x")
    found = collect(tmp_path)
    assert (len(found.files), found.left) == (10, ["10.txt", "11.txt"])
