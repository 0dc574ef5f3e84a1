"""The question that a text asks of memory: pure, for texts that are too long to be one."""

import re
from collections.abc import Iterator

# An embedder reads some 190 words, and the more words, the less each of them says.
_SHORT_WORDS = 60
_LINE_WORDS = 40
_MOST_NAMES = 25
_WORD = re.compile(r"\S*[\d@]\S*|[^\W\d_]+")
_ENDS = '.!?:;\n-*•#>|"“„([{<'


def question_of(text: str, *, title: str = "") -> str:
    """A short text as it is, with its title; of a long one the title, its first line, the names.

    A name is a word with a capital in the midst of a sentence, an address or a number.
    """
    title = " ".join(title.split())
    plain = " ".join(text.split())
    if len(plain.split()) <= _SHORT_WORDS:
        return plain if title and plain.startswith(title) else f"{title} {plain}".strip()
    line = next((line for line in text.splitlines() if any(map(str.isalnum, line))), "")
    first = " ".join(line.split()[:_LINE_WORDS])
    said = f"{title} {first}".casefold()
    names = [name for name in dict.fromkeys(_names(text)) if name.casefold() not in said]
    return " ".join([title, first, *names[:_MOST_NAMES]]).strip()


def _names(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        word = match.group().strip(".,;:!?()[]<>\"'")
        before = text[: match.start()].rstrip(" \t")[-1:]
        in_sentence = before != "" and before not in _ENDS
        is_name = word[:1].isupper() and in_sentence
        if len(word) > 1 and (is_name or not word.isalpha()):
            yield word
