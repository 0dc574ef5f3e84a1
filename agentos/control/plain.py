"""Making text from elsewhere safe to print: a title must not move the cursor or recolour a screen.

Standard library only.
"""

import re

_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS and their kin: titles, links
    r"|\x1b[ -/]*[0-~]?"
)
# Control characters except tab and newline, and the marks that turn the direction of what follows.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


def clean(text: str) -> str:
    """The text without escape sequences and control characters; its lines stay."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub("", _SEQUENCES.sub("", text))
    # What cannot be encoded cannot be printed.
    return text.encode("utf-8", "replace").decode()


def one_line(text: str, *, width: int | None = None) -> str:
    """The text on one line, cut to a width with an ellipsis."""
    line = " ".join(clean(text).split())
    return line if width is None or len(line) <= width else line[: max(width - 1, 0)] + "…"
