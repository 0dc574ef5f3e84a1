"""The chat as a page: what a person sees on the phone, drawn from the stand-in's log."""

import base64
import mimetypes
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from agentos.standins.telegram_user import ChatMessage, ChatView

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TAGS = {
    "bold": "b",
    "italic": "i",
    "underline": "u",
    "strikethrough": "s",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "expandable_blockquote": "blockquote",
    "spoiler": "mark",
    "text_link": "u",
    "url": "u",
}


def draw(
    view: ChatView, *, title: str, zone: ZoneInfo, files: Mapping[str, bytes] | None = None
) -> str:
    """A page in HTML, whole in itself; `files` has the contents of pictures by their names."""
    return _PAGES.get_template("page.html.j2").render(
        title=title,
        messages=[_shown(message, zone=zone, files=files or {}) for message in view.messages],
        writing=[draft.text for draft in view.drafts],
    )


def _shown(message: ChatMessage, *, zone: ZoneInfo, files: Mapping[str, bytes]) -> dict[str, Any]:
    document = message.document
    name = "" if document is None else message.text or document.name
    content = files.get(name, files.get(document.name) if document is not None else None)
    is_picture = document is not None and document.kind == "photo" and content is not None
    at = datetime.fromtimestamp(message.at, zone)
    return {
        "by": message.by,
        "text": styled(message.text, message.entities),
        "time": f"{at:%H:%M}",
        "edited": message.edits > 0,
        "keyboard": message.keyboard,
        "reactions": "".join(message.reactions),
        "picture": _address(name, content or b"") if is_picture else None,
        "file": None if document is None or is_picture else document,
        "size": "" if document is None else _size(document.size),
    }


def styled(text: str, entities: Sequence[Mapping[str, Any]]) -> Markup:
    """A text with its entities as HTML; their offsets count UTF-16 units, as Telegram's do."""
    units = text.encode("utf-16-le")
    opening: dict[int, list[Mapping[str, Any]]] = {}
    cuts = {0, len(units) // 2}
    for entity in sorted(entities, key=lambda one: (one["offset"], -one["length"])):
        opening.setdefault(entity["offset"], []).append(entity)
        cuts |= {entity["offset"], entity["offset"] + entity["length"]}
    made, still = Markup(), list[Mapping[str, Any]]()
    ends = sorted(cuts)
    for start, end in zip(ends, [*ends[1:], ends[-1]], strict=True):
        # What ends here is closed, the innermost first; what overlaps it is opened again.
        kept = [one for one in still if one["offset"] + one["length"] > start]
        made += _tags(reversed(still), closing=True)
        still = kept + opening.get(start, [])
        made += _tags(still, closing=False)
        made += escape(units[start * 2 : end * 2].decode("utf-16-le", "replace"))
    return made + _tags(reversed(still), closing=True)


def _tags(entities: Any, *, closing: bool) -> Markup:
    names = [_TAGS[one["type"]] for one in entities if one["type"] in _TAGS]
    tag = Markup("</{}>") if closing else Markup("<{}>")
    return Markup("").join(tag.format(name) for name in names)


def _address(name: str, content: bytes) -> str:
    """The picture itself as an address, so that the page needs no other file."""
    kind = mimetypes.guess_type(name)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _size(size: int) -> str:
    return f"{size} B" if size < 1000 else f"{size / 1000:.1f} kB"
