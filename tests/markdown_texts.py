# ruff: noqa: E501, SIM905
"""Markdown to try the formatting with: made by hand, and grown from a seed."""

import random
from collections.abc import Callable, Iterator

_FAMILY = "👩‍👩‍👧‍👦"
_LONG_CODE = "def f():\n" + "".join(f"    line_{n} = {n}\n" for n in range(700))
_TABLE = "| Name | Age |\n|---|---|\n| Bob | 7 |\n| Eve | 8 |"
_WIDE = "| Name | What it does in all weathers | Price |\n|:--|:-:|--:|\n" + "".join(
    f"| thing {n} | keeps **row {n}** dry | [{n} €](https://example.org/{n}) |\n" for n in range(4)
)
_BIG = "| a | b |\n|---|---|\n" + "".join(f"| word{n} | other{n} |\n" for n in range(120))

# Each is a text somebody or some model has written, or an attack on the formatter.
BY_HAND: list[str] = [
    *("plain", "two\nlines", "a\n\n\n\nb", "  indented a little", "trailing   ", "\n\nleading", "."),
    *("**bold**", "*it*", "***both***", "~~gone~~", "~5 to ~7", "`code`", "``a ` b``", "__b__ _i_"),
    *("**bold `code` bold**", "*a **b `c` d** e*", "~~x `y`~~", "**a** **b**", "**no end", "*", "**"),
    *("# One", "## Two\ntext", "### Three `code`", "#### **x**", "##### five", "###### six", "#no"),
    *("Title\n=====\ntext", "Title\n---\n", "# \n\nempty heading", "# a #", "#\n#\n#"),
    *("- a\n- b", "* a\n  * b\n    * c\n      * d", "+ x\n\n+ y", "1. a\n2. b\n3. c", "7. seven"),
    *("1. a\n   - b\n     1. c\n        text\n2. d", "- a\n\n  more of a\n\n- b", "-", "- \n- b", "- - - a"),
    *("- [ ] open\n- [x] done\n  - [X] below", "1. [ ] numbered", "- a\nlazy\n- b", "- a\n\n\n\n- b"),
    *("- ```py\n  x = 1\n  ```\n- after", "1. > quote\n   > more", "- | a | b |\n  |---|---|\n  | 1 | 2 |"),
    *("- a\n    indented code?\n", "-   wide\n\n    para", "a\n- b\n- c\nd", "1) one\n2) two", "- a\n1. b"),
    *("> quote", "> a\n> b\n\nc", "> a\n>> b\n>>> c\n>> d", "> - a\n>   - b", "> ```\n> code\n> ```"),
    *(">" * 60 + " deep", "> " * 200 + "deeper\nlazy\nlazy", "> # head\n> text", ">", "> \n>\n", ">a\nb"),
    "> " + "long quote " * 120,
    *("```\ncode\n```", "```py\nx = 1\n```", "```c++\nint x;\n```", "~~~\ntilde\n~~~", "```\n\n```", "```"),
    *("```py\nnever closed\nx", "````\n```\ninner\n```\n````", "```js {1,2} title=a\nx\n```", "a ```b``` c"),
    *("    indented\n    code", "\tx = 1", "```\n  a\n    b\n  ```", "text\n```\nno gap\n```\ntext", "```a b c\n"),
    *("```html\n<b>&amp;</b>\n```", "`<b>`", "```\n\ttab\n```", "`` `a` ``", "`a\nb`", "` `", "```\n```\n"),
    *(_TABLE, _WIDE, _BIG, _BIG + "\n\n" + _BIG, _TABLE + "\n\nafter", "before\n" + _TABLE),
    *("| a |\n|---|", "|a|b|\n|-|-|\n|1|2|3|4|", "|a|b|\n|-|-|\n|1|", "|||\n|-|-|\n|||", "| `a|b` |\n|---|\n"),
    *("| 表 | 列 |\n|---|---|\n| 日本 | 語 |", f"| {_FAMILY} | 🇩🇪 |\n|-|-|\n| é | ñ |", "| a<br>b |\n|---|\n|c|"),
    *("|a|\n|-|\n|**b** `c`|", "|=1+1|@x|\n|-|-|\n" + "|=cmd|+x|\n" * 40, "|a|b\n|-|-\n|c|d"),
    *("[a](https://example.org)", "[a](https://e.org/x_(y))", "[a](https://e.org/x_(y)_(z) 'title')"),
    *("[a](<https://e.org/a b>)", "[a](foo.md)", "[a](/etc/passwd)", "[a](javascript:alert(1))", "[a]()"),
    *("[](https://e.org)", "[ ](x)", "[`c`](https://e.org)", "[**b**](https://e.org)", "**[b](https://e.org)**"),
    *("![](https://e.org/a.png)", "![alt](a.png)", "[![i](https://a.b/c)](https://d.e)", "[a](tg://user?id=1)"),
    *("<https://example.org>", "https://example.org/a_b_c?d=*e*", "www.example.org", "<a@b.cd>", "a@b.cd"),
    *("[a][r]\n\n[r]: https://e.org 'T'", "[r]\n\n[r]: https://e.org", "[note]: nothing", "[x]: https://e.org"),
    *("[a](http://localhost:8000/x)", "[a](http://[::1]/)", "[a](http://[bad)", "[a](https://)", "[a](mailto:a@b.cd)"),
    *("a[^1] b[^x]\n\n[^1]: one\n[^x]: two\n    more", "[^lost]", "[^2]: unused", "[]", "[a", "a]", "[a]("),
    *("<b>bold</b>", "<div>\n**x**\n</div>", "a<br>b<br/>c", "<script>x</script>", "<!-- hidden -->", "1 < 2 > 0"),
    *("<details><summary>S</summary>\n\nB\n\n</details>", "<a href='x'>y</a>", "<?php x ?>", "<![CDATA[x]]>", "</p>"),
    *("\\<b>", "\\*a\\*", "\\", "\\\\", "a\\\nb", "&amp; &lt;b&gt; &#65; &#x1F642; &nope; &copy", "&", "&#0;", "AT&T"),
    *("🙂", _FAMILY, "🇩🇪🇫🇷", "👍🏽", f"**{_FAMILY}** x", "❤️", "🙂 **b** 🙂 `c` 🙂", _FAMILY * 500, "🇩🇪" * 1500),
    *("e\u0301" * 3000, "a" + "\u0301" * 300, "שלום **עולם**", "مرحبا `code` بالعالم", "\u202eevil\u202c", "\u200f"),
    *("half \ud83d pair", "\udc00", "nul \x00 nul", "bell \x07 \x1b[31m", "\r\nwin\r\nlines\r", "\u2028line\u2029"),
    *("\ufeffbom", "\u200b", " \u200b ", "\u3164", "\u2800", "\u00a0", "\ue0f1<b>", "\x85x", "\ufff9\ufffa", "\U000e0041"),
    *("word " * 10_000, "x" * 50_000, "🙂" * 25_000, "a\n" * 9000, "\n" * 9000 + "x", ("line **b** `c`\n") * 1500),
    *("```py\n" + _LONG_CODE + "```", "- a\n" * 3000, "**a** " * 400, "`a` " * 400, "[a](https://e.org/1) " * 300),
    *("```\n" + "x" * 9000 + "\n```", "> " + "q " * 5000, "before\n```py\n" + _LONG_CODE, "# h\n" * 900, "***\n" * 500),
    *("*" * 5000, "_" * 5000, "`" * 5000, "[" * 5000, "]:" * 2000, "[x]: " * 2000, "<" * 5000, "|" * 5000, "~" * 5000),
    *("- " * 2000 + "a", "1. " * 700 + "a", "> - " * 300 + "a", "**" + "a*b" * 900, "[a](" * 900, "&" * 4000),
    *("$x^2$ and $5 or $6", "\\[\\frac{a}{b}\\]", "\\(x_1\\)", "||spoiler||", "a || b || c", "==mark==", "H~2~O x^2^"),
    *("term\n: definition", "---\ntitle: x\n---\n\nbody", "***", "---", "a\n***\nb", "* * *\n- - -", "+++\nx\n+++"),
    *("@owner #tag /start $CASH", "C:\\new\\table", "snake_case_name", "2*3*4", "5 * 6 * 7", "a_b_ _c", "C# C++", "f(x)[0]"),
    *("Sure! Here it is:\n\n```json\n{\"a\": [1, 2]}\n```\n\nDone.", "**Total:** 5 €\n**Rest:** 3 €", "✅ **Job**\n\nok"),
]  # fmt: skip


def grown(seed: int) -> str:
    """A text of some blocks, with an edge here and there, the same for the same seed."""
    chance = random.Random(seed)
    blocks = [_block(chance, depth=0) for _ in range(chance.randint(1, 7))]
    text = chance.choice(["\n\n", "\n", "\n\n\n"]).join(blocks)
    if chance.random() < 0.2:
        cut = chance.randrange(len(text))
        text = text[:cut] + chance.choice(["```", "*", "`", "[", "|", "<", "> ", "\n"]) + text[cut:]
    return text * (chance.choice([20, 60]) if chance.random() < 0.15 else 1)


def corpus() -> Iterator[str]:
    """All of them."""
    yield from BY_HAND
    yield from map(grown, range(200))


def _word(chance: random.Random) -> str:
    return chance.choice(
        "tea milk שלום مرحبا 🙂 👩‍👩‍👧 🇩🇪 naïve ﬁ 5% a&b <i> x_y 2*3 C:\\x e\u0301 日本 → #1 ~7".split()
    )


def _words(chance: random.Random, most: int = 9) -> str:
    words = [_word(chance) for _ in range(chance.randint(1, most))]
    for _ in range(chance.randint(0, 2)):
        at = chance.randrange(len(words))
        styles = ("**{}**", "*{}*", "`{}`", "~~{}~~", "[{}](https://e.org/a_(b))", "[{}](x.md)")
        words[at] = chance.choice(styles).format(words[at])
    return " ".join(words)


def _block(chance: random.Random, *, depth: int) -> str:
    made: list[Callable[[random.Random, int], str]] = [
        lambda c, _: _words(c, 40),
        lambda c, _: "#" * c.randint(1, 6) + " " + _words(c),
        lambda c, _: f"```{c.choice(['', 'py', 'c++'])}\n" + "\n".join(_code(c)) + "\n```",
        lambda c, _: "\n".join("    " + line for line in _code(c)),
        lambda c, _: _table(c),
        _list,
        lambda c, d: "\n".join("> " + line for line in _inner(c, d).split("\n")),
        lambda c, _: "***",
    ]
    return chance.choice(made)(chance, depth)


def _inner(chance: random.Random, depth: int) -> str:
    return _block(chance, depth=depth + 1) if depth < 3 else _words(chance)


def _list(chance: random.Random, depth: int) -> str:
    is_ordered, items = chance.random() < 0.4, list[str]()
    for number in range(chance.randint(1, 4)):
        mark = f"{number + 1}. " if is_ordered else "- "
        body = _words(chance) if chance.random() < 0.6 else _inner(chance, depth)
        if chance.random() < 0.3:
            body += "\n" + _inner(chance, depth)
        items.append(mark + body.replace("\n", "\n" + " " * len(mark)))
    return chance.choice(["\n", "\n\n"]).join(items)


def _table(chance: random.Random) -> str:
    columns = chance.randint(1, 4)
    rows = [[_words(chance, 2) for _ in range(columns)] for _ in range(chance.randint(1, 30))]
    head, rest = rows[0], rows[1:]
    lines = [head, ["---"] * columns, *rest]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "") for cell in row) + " |" for row in lines
    )


def _code(chance: random.Random) -> list[str]:
    return ["  " * chance.randint(0, 4) + _words(chance, 5) for _ in range(chance.randint(1, 40))]
