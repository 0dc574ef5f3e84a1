"""parse_mode MarkdownV2: marks that nest, and a refusal for every unescaped reserved sign."""

from dataclasses import dataclass, field
from typing import Any

from agentos.standins.bot.refusal import bad

Json = dict[str, Any]

_RESERVED = frozenset("_*[]()~`>#+-=|{}.!")
_MARKS = {
    "__": "underline",
    "||": "spoiler",
    "*": "bold",
    "_": "italic",
    "~": "strikethrough",
}


@dataclass(slots=True)
class _Reader:
    """Where reading stands: the source, the plain text so far, the marks that are open."""

    source: str
    at: int = 0
    units: int = 0
    text: list[str] = field(default_factory=list)
    entities: list[Json] = field(default_factory=list)
    open_marks: list[tuple[str, int]] = field(default_factory=list)
    quote: int | None = None

    def put(self, piece: str) -> None:
        self.text.append(piece)
        self.units += len(piece.encode("utf-16-le")) // 2

    def entity(self, kind: str, *, start: int, **more: str) -> None:
        if self.units > start:
            span = {"type": kind, "offset": start, "length": self.units - start}
            self.entities.append({**span, **more})

    def starts(self, mark: str) -> bool:
        return self.source.startswith(mark, self.at)


def parse_markdown(source: str) -> tuple[str, list[Json]]:
    """The plain text and its entities."""
    reader = _Reader(source)
    while reader.at < len(source):
        _step(reader)
    _end_quote(reader)
    if reader.open_marks:
        mark, start = reader.open_marks[-1]
        kind = _MARKS.get(mark, "link").capitalize()
        raise _unparsable(f"Can't find end of {kind} entity at byte offset {start}")
    return "".join(reader.text), reader.entities


def _step(reader: _Reader) -> None:
    """Read one sign, mark or code span."""
    sign = reader.source[reader.at]
    line_start = reader.at == 0 or reader.source[reader.at - 1] == "\n"
    if line_start and sign != ">":
        _end_quote(reader)
    if sign == "\\" and reader.at + 1 < len(reader.source):
        reader.put(reader.source[reader.at + 1])
        reader.at += 2
    elif reader.starts("```"):
        _code_block(reader)
    elif sign == "`":
        _code(reader)
    elif sign == ">" and line_start:
        reader.quote = reader.units if reader.quote is None else reader.quote
        reader.at += 1
    elif sign == "[" or (sign == "]" and any(mark == "[" for mark, _ in reader.open_marks)):
        _link(reader, sign)
    elif mark := next((one for one in _MARKS if reader.starts(one)), ""):
        _mark(reader, mark)
    elif sign in _RESERVED:
        raise _unparsable(
            f"Character '{sign}' is reserved and must be escaped with the preceding '\\'"
        )
    else:
        reader.put(sign)
        reader.at += 1


def _mark(reader: _Reader, mark: str) -> None:
    reader.at += len(mark)
    if reader.open_marks and reader.open_marks[-1][0] == mark:
        _, start = reader.open_marks.pop()
        reader.entity(_MARKS[mark], start=start)
    else:
        reader.open_marks.append((mark, reader.units))


def _code(reader: _Reader) -> None:
    end = _unescaped(reader.source, "`", reader.at + 1)
    start = reader.units
    reader.put(_plain(reader.source[reader.at + 1 : end]))
    reader.entity("code", start=start)
    reader.at = end + 1


def _code_block(reader: _Reader) -> None:
    end = _unescaped(reader.source, "```", reader.at + 3)
    language, line_end, body = reader.source[reader.at + 3 : end].partition("\n")
    if not line_end or " " in language:
        language, body = "", reader.source[reader.at + 3 : end]
    start = reader.units
    reader.put(_plain(body))
    more = {"language": language} if language else {}
    reader.entity("pre", start=start, **more)
    reader.at = end + 3


def _link(reader: _Reader, sign: str) -> None:
    reader.at += 1
    if sign == "[":
        reader.open_marks.append(("[", reader.units))
        return
    mark, start = reader.open_marks.pop()
    if mark != "[" or not reader.starts("("):
        raise _unparsable("Character ']' is reserved and must be escaped with the preceding '\\'")
    end = _unescaped(reader.source, ")", reader.at + 1)
    reader.entity("text_link", start=start, url=_plain(reader.source[reader.at + 1 : end]))
    reader.at = end + 1


def _end_quote(reader: _Reader) -> None:
    if reader.quote is not None:
        reader.entity("blockquote", start=reader.quote)
        reader.quote = None


def _unescaped(source: str, mark: str, start: int) -> int:
    """Where `mark` stands next without a backslash before it."""
    at = start
    while at < len(source):
        if source[at] == "\\":
            at += 2
        elif source.startswith(mark, at):
            return at
        else:
            at += 1
    raise _unparsable(f"Can't find end of the entity starting at byte offset {start - 1}")


def _plain(piece: str) -> str:
    plain, at = "", 0
    while at < len(piece):
        at += piece[at] == "\\" and at + 1 < len(piece)
        plain += piece[at]
        at += 1
    return plain


def _unparsable(why: str) -> Exception:
    return bad(f"can't parse entities: {why}")
