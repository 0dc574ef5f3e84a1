"""Reading a shell command line: which programs it runs, with which words. Nothing is run for it.

It knows as much of the shell's grammar as is needed to find every command in a text: pipes, lists,
groups, substitutions, redirections, here-documents. What it cannot read it refuses.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

_MOST_NESTED = 12
_BLANK = " \t"
_META = " \t\n;&|<>()"
_RESERVED = frozenset(
    {"if", "then", "else", "elif", "fi", "while", "until", "do", "done", "time", "!", "{", "}"}
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(\[[^]]*\])?\+?=")
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9?#$@*!-]")


class Unreadable(Exception):
    """A text that is no command line, or one that is too tangled."""


@dataclass(frozen=True)
class Word:
    """One word, with its quotes taken off."""

    text: str
    # What stands there is what is used: the shell fills nothing in.
    sure: bool = True
    # A name that the shell would match with files, or a brace that it would unfold.
    spread: bool = False
    quoted: bool = False


@dataclass(frozen=True)
class Command:
    """One simple command."""

    words: tuple[Word, ...] = ()
    # Files that its output is written to.
    writes: tuple[Word, ...] = ()
    reads: tuple[Word, ...] = ()
    # It reads what the command before it in the list writes.
    fed: bool = False
    # What it is given to read that stands in the text itself.
    body: str | None = None
    assigned: tuple[Word, ...] = ()


def commands_of(text: str, *, variables: Mapping[str, str] | None = None) -> list[Command]:
    """Every command in a text, those in substitutions, too. Raises Unreadable."""
    reader = _Reader(text, variables=_KNOWN if variables is None else variables, depth=0)
    reader.read(until="")
    return reader.found


_KNOWN: Mapping[str, str] = {name: os.environ[name] for name in ("HOME",) if name in os.environ}


@dataclass
class _Building:
    words: list[Word] = field(default_factory=list)
    assigned: list[Word] = field(default_factory=list)
    writes: list[Word] = field(default_factory=list)
    reads: list[Word] = field(default_factory=list)
    body: str | None = None
    fed: bool = False


class _Reader:
    def __init__(self, text: str, *, variables: Mapping[str, str], depth: int) -> None:
        if depth > _MOST_NESTED:
            raise Unreadable("it is nested too deep")
        self._text = text
        self._at = 0
        self._variables = variables
        self._depth = depth
        self._documents: list[tuple[str, bool, bool, _Building]] = []
        self._now = _Building()
        self._done: list[_Building] = []
        self._inner: list[Command] = []

    @property
    def found(self) -> list[Command]:
        """All of them: this list's own in their order, then those inside of words."""
        own = [
            Command(
                words=tuple(each.words),
                writes=tuple(each.writes),
                reads=tuple(each.reads),
                fed=each.fed,
                body=each.body,
                assigned=tuple(each.assigned),
            )
            for each in self._done
        ]
        return [*own, *self._inner]

    def read(self, *, until: str) -> int:
        """Read up to an unquoted `until`, or to the end; returns the place after it."""
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter in _BLANK or self._text.startswith("\\\n", self._at):
                self._at += 1 if letter in _BLANK else 2
            elif letter == "#":
                while self._at < len(self._text) and self._text[self._at] != "\n":
                    self._at += 1
            elif letter == ")" and until == ")":
                self._end()
                self._at += 1
                return self._at
            elif letter in "\n;|()" or (letter == "&" and not self._starts("&>")):
                self._operator(letter)
            elif self._is_redirection():
                self._redirect()
            else:
                self._add(self._word())
        if until or self._documents:
            raise Unreadable("it ends in the middle")
        self._end()
        return self._at

    def _starts(self, what: str) -> bool:
        return self._text.startswith(what, self._at)

    def _operator(self, letter: str) -> None:
        if self._starts("(("):
            raise Unreadable("it computes")
        fed = letter == "|" and not self._starts("||")
        self._end()
        self._now.fed = fed
        for whole in ("||", "&&", "|&", ";;&", ";;", ";&"):
            if self._starts(whole):
                self._at += len(whole)
                return
        self._at += 1
        if letter == "\n":
            self._read_documents()

    def _end(self) -> None:
        if self._now.words or self._now.writes or self._now.reads or self._now.assigned:
            self._done.append(self._now)
            self._now = _Building()

    def _add(self, word: Word) -> None:
        if not self._now.words:
            if not word.quoted and word.sure and word.text in _RESERVED:
                return
            if _ASSIGNMENT.match(word.text):
                self._now.assigned.append(word)
                return
        self._now.words.append(word)

    def _is_redirection(self) -> bool:
        rest = self._text[self._at :]
        return bool(re.match(r"(\d+|\{\w+\}|&)?(<|>)", rest)) and not re.match(r"[<>]\(", rest)

    def _redirect(self) -> None:
        match = re.compile(r"(\d+|\{\w+\})?(&>>|&>|>>|>\||>&|<<<|<<-|<<|<>|<&|<|>)").match(
            self._text, self._at
        )
        if match is None:
            raise Unreadable("a redirection that is none")
        self._at = match.end()
        while self._at < len(self._text) and self._text[self._at] in _BLANK:
            self._at += 1
        if self._at >= len(self._text) or self._text[self._at] in "\n;|":
            raise Unreadable("a redirection without a target")
        sign = match[2]
        word = self._word()
        if sign in ("<<", "<<-"):
            self._documents.append((word.text, sign == "<<-", word.quoted, self._now))
        elif sign == "<<<":
            self._now.body = word.text if word.sure else None
        elif sign in (">&", "<&") and re.fullmatch(r"\d+|-|\d+-", word.text):
            return
        elif sign in ("<", "<&"):
            self._now.reads.append(word)
        else:
            self._now.writes.append(word)

    def _read_documents(self) -> None:
        """The here-documents of the line that has ended."""
        documents, self._documents = self._documents, []
        for mark, tabs, quoted, of in documents:
            lines = []
            while True:
                if self._at >= len(self._text):
                    raise Unreadable("a here-document without its end")
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line, self._at = self._text[self._at : end], end + 1
                line = line.lstrip("\t") if tabs else line
                if line == mark:
                    break
                lines.append(line)
            self._at = min(self._at, len(self._text))
            of.body = "\n".join(lines)
            if not quoted:
                self._substitutions(of.body)

    def _word(self) -> Word:
        text: list[str] = []
        sure, spread, quoted = True, False, False
        start = self._at
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter in "<>" and self._starts(f"{letter}(") and self._at == start:
                self._at += 2
                self._nested(")")
                text.append(f"{letter}(")
                sure = False
            elif letter in _META:
                break
            elif letter == "'":
                end = self._text.find("'", self._at + 1)
                if end < 0:
                    raise Unreadable("a quote without its end")
                text.append(self._text[self._at + 1 : end])
                self._at, quoted = end + 1, True
            elif letter == '"':
                inside, inside_sure = self._double_quoted()
                text.append(inside)
                sure, quoted = sure and inside_sure, True
            elif letter == "\\":
                text.append(self._text[self._at + 1 : self._at + 2].replace("\n", ""))
                self._at += 2
                quoted = True
            elif letter in "$`":
                filled = self._filled()
                sure = sure and filled is not None
                text.append(filled or "")
            else:
                spread = spread or letter in "*?[{"
                if letter == "~" and self._at == start:
                    text.append(self._variables.get("HOME", "~"))
                else:
                    text.append(letter)
                self._at += 1
        return Word("".join(text), sure=sure, spread=spread, quoted=quoted)

    def _double_quoted(self) -> tuple[str, bool]:
        self._at += 1
        text: list[str] = []
        sure = True
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter == '"':
                self._at += 1
                return "".join(text), sure
            if letter == "\\":
                following = self._text[self._at + 1 : self._at + 2]
                text.append(following if following in '$`"\\' else f"\\{following}")
                self._at += 2
            elif letter in "$`":
                filled = self._filled()
                sure = sure and filled is not None
                text.append(filled or "")
            else:
                text.append(letter)
                self._at += 1
        raise Unreadable("a quote without its end")

    def _filled(self) -> str | None:
        """What the shell would put for `$…` here, or None when only it knows."""
        if self._text[self._at] == "`":
            end = self._at + 1
            while end < len(self._text) and self._text[end] != "`":
                end += 2 if self._text[end] == "\\" else 1
            if end >= len(self._text):
                raise Unreadable("a substitution without its end")
            self._inside(self._text[self._at + 1 : end].replace("\\`", "`"))
            self._at = end + 1
            return None
        if self._starts("$(("):
            self._computed()
            return None
        if self._starts("$("):
            self._at += 2
            self._nested(")")
            return None
        if self._starts("${"):
            return self._parameter()
        if self._starts("$'") or self._starts('$"'):
            raise Unreadable("it spells letters by their numbers")
        match = _NAME.match(self._text, self._at + 1)
        if match is None:
            self._at += 1
            return "$"
        self._at = match.end()
        return self._variables.get(match[0])

    def _computed(self) -> None:
        end = self._text.find("))", self._at)
        if end < 0:
            raise Unreadable("a sum without its end")
        self._substitutions(self._text[self._at + 3 : end])
        self._at = end + 2

    def _parameter(self) -> str | None:
        depth, at = 0, self._at + 1
        while at < len(self._text):
            depth += {"{": 1, "}": -1}.get(self._text[at], 0)
            at += 2 if self._text[at] == "\\" else 1
            if depth == 0:
                break
        else:
            raise Unreadable("a parameter without its end")
        inside = self._text[self._at + 2 : at - 1]
        self._substitutions(inside)
        self._at = at
        return self._variables.get(inside)

    def _substitutions(self, text: str) -> None:
        """The commands that a text which is no command itself has in it."""
        inner = _Reader(text, variables=self._variables, depth=self._depth + 1)
        while inner._at < len(text):
            if text[inner._at] == "\\":
                inner._at += 2
            elif text[inner._at] == "`" or text.startswith(("$(", "${"), inner._at):
                inner._filled()
            else:
                inner._at += 1
        self._inner += inner.found

    def _nested(self, until: str) -> None:
        inner = _Reader(self._text, variables=self._variables, depth=self._depth + 1)
        inner._at = self._at
        self._at = inner.read(until=until)
        self._inner += [replace(each) for each in inner.found]

    def _inside(self, text: str) -> None:
        inner = _Reader(text, variables=self._variables, depth=self._depth + 1)
        inner.read(until="")
        self._inner += inner.found
