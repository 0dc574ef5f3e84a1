"""Lines: long texts made short enough to stand in one."""


def cut(text: str, longest: int) -> str:
    """At most so many characters, on one line, with a mark where something is missing."""
    plain = " ".join(text[: longest * 2].split())
    whole = len(plain) <= longest and len(text) <= longest * 2
    return plain if whole else plain[: longest - 1].rstrip() + "…"
