"""`pm task ask` and `pm job ask`: a question to the owner, that a job waits for."""

import re
from datetime import timedelta
from typing import Annotated, Any

import typer

from agentos.control.plain import one_line
from pm.call import call
from pm.output import say, say_json

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(m|h|d|w)")
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
QuestionText = Annotated[str, typer.Option("--question", help="What to ask, in one sentence.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="key:Label:what follows from it; several times."),
]
Expires = Annotated[
    str | None,
    typer.Option("--expires", help="After this nothing happens: 30m, 12h, 2d; 7d unless given."),
]
NoOther = Annotated[bool, typer.Option("--no-other", help="No answer in words of one's own.")]


def ask(
    op: str,
    *,
    question: str,
    options: list[str] | None,
    expires: str | None,
    no_other: bool,
    as_json: bool,
    **of: int,
) -> None:
    """Ask, and say what was made."""
    words = [_option(text) for text in options or []]
    lasts = _seconds(expires) if expires is not None else None
    made = call(
        op, question=question, options=words, expires_seconds=lasts, other=not no_other, **of
    )["card"]
    if as_json:
        say_json(made)
        return
    say(f"Asked, as card {made['id']}: {one_line(made['question'])}")
    say(f"pm card answer {made['id']} KEY answers it here; a tap in the chat does, too.")


def _option(text: str) -> dict[str, Any]:
    """`a:Direct:Ship now`; a colon in what follows is one."""
    key, _, rest = text.partition(":")
    label, _, consequence = rest.partition(":")
    if not key.strip() or not label.strip():
        raise typer.BadParameter(
            f'{text!r} has no label; write it as "a:Direct:Ship now"', param_hint="--option"
        )
    return {"key": key.strip(), "label": label.strip(), "consequence": consequence.strip()}


def _seconds(text: str) -> float:
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is no length of time; try 30m, 12h or 2d", param_hint="--expires"
        )
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]]).total_seconds()
