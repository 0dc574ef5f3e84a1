"""The reference of the commands cannot lie: it is what --help says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_reference_says_what_help_says() -> None:
    made = subprocess.run(
        [sys.executable, ".ci/reference"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    written = (ROOT / "docs" / "reference.md").read_text()
    assert written == made.stdout, "run `make reference` and commit docs/reference.md"
