"""The prompts: one `*.md.j2` file each, rendered strictly. No prompt text lives in Python.

What comes from outside a prompt (a message, a memory, a result) goes through the filter `fenced`,
so that nothing in it can open or close one of the tags that hold it.
"""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

_TAGS = (
    "answer",
    "asked",
    "change",
    "earlier",
    "files",
    "handover",
    "manual",
    "material",
    "memory",
    "message",
    "need",
    "plan",
    "quoted",
    "recalled",
    "request",
    "skill",
    "soul",
    "talk",
    "task",
    "waiting",
    "work",
)
# Control characters and halves of surrogate pairs, which no terminal, no model and no JSON encoder
# has a use for; tab and line feed stay.
_DROPPED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def fenced(text: object, *tags: str) -> str:
    """A text that cannot leave the tag it is put into: a tag of ours in it begins with `&lt;`.

    With `tags`, only those are meant: for a text that holds others of ours on purpose. Control
    characters and halves of surrogate pairs are dropped, line ends become line feeds.
    """
    plain = str(text).replace("\r\n", "\n").replace("\r", "\n")
    kept = _DROPPED.sub("", plain)
    names = "|".join(tags or _TAGS)
    return re.sub(rf"<(?=/?\s*(?:{names})\b)", "&lt;", kept, flags=re.IGNORECASE)


def one_line(text: object) -> str:
    """The same on a single line, for titles and names: a line of its own may mean something."""
    return " ".join(fenced(text).split())


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
    undefined=StrictUndefined,
    # Nothing is escaped for a browser: the reader is a model.
    autoescape=select_autoescape(()),
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["fenced"] = fenced
_ENVIRONMENT.filters["one_line"] = one_line


def render(name: str, **values: object) -> str:
    """Fill a template of this folder. A value that is missing raises, rather than leave a hole."""
    return _ENVIRONMENT.get_template(name).render(**values).strip()
