"""File names from outside, made safe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos.channels.telegram.files import safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        (".bashrc", "bashrc"),
        ("..", "file"),
        ("", "file"),
        ("a\nb\x00.txt", "ab.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("größe übung.tar.gz", "größe übung.tar.gz"),
        ("文件.txt", "文件.txt"),
        ("x" * 300 + ".pdf", "x" * 116 + ".pdf"),
    ],
)
def test_names_are_tamed(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text(st.characters()))
def test_any_name_is_one_plain_part_of_a_path(name: str) -> None:
    safe = safe_name(name)
    assert safe not in ("", ".", "..")
    assert not safe.startswith(".")
    assert not set("/\\\x00\n") & set(safe)
    assert len(safe.encode()) <= 140
