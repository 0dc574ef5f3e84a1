"""The house model's small talk: short, friendly, and open about not being Claude."""

import ast
import operator
import re
from collections.abc import Callable
from datetime import datetime

_WHO = "I'm the built-in stand-in, not a real Claude: everything here runs on this machine."
_TRY = (
    'Try "write a short note about tea", "remind me in 20 minutes to stretch", '
    '"plan a weekend in Lisbon", or a sum such as 12 * 7.'
)
_GREETING = re.compile(
    r"^\W*(hi|hello|hey|good (morning|afternoon|evening)|hallo|moin|servus|hola|bonjour|ciao)\b"
    r"(?P<rest>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_ABILITIES = re.compile(
    r"\b(what can you do|who are you|what are you|help|how do you work|are you (real|claude))\b",
    re.IGNORECASE,
)
_THANKS = re.compile(r"^\W*(thanks|thank you|thx|cheers|danke|great|nice|cool|ok(ay)?)\b", re.I)
_CLOCK = re.compile(r"\b(what time|the time|what day|which day|date|today)\b", re.IGNORECASE)
_SUM = re.compile(
    r"[\d(][\d\s.+\-*/\u00d7\u00f7()%^]*[+\-*/\u00d7\u00f7%^][\d\s.+\-*/\u00d7\u00f7()%^]*[\d)]"
)
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


def answer(said: str, *, now: datetime | None) -> str:
    """A short reply to what was said. `now` is None when nobody told the time."""
    if (total := _total(said)) is not None:
        return f"That makes {total}."
    if _ABILITIES.search(said):
        return f"{_WHO} Messages, plans, jobs and reminders work as they would. {_TRY}"
    if _CLOCK.search(said):
        return _time(now)
    if _THANKS.match(said):
        return "You're welcome."
    greeted = _GREETING.match(said)
    if greeted and len(greeted["rest"].split()) < 4:
        return f"Hello! {_WHO} {_TRY}"
    topic = _topic(said)
    about = f"About “{topic}”: I have no thoughts" if topic else "I have no thoughts"
    return f"{about} of my own. {_WHO} {_TRY}"


def _time(now: datetime | None) -> str:
    if now is None:
        return f"Nobody told me the time. {_WHO}"
    return f"It is {now:%H:%M} on {now:%A}, {now.day} {now:%B %Y}."


def _topic(said: str) -> str:
    plain = " ".join(said.split())
    return plain if len(plain) <= 80 else plain[:79].rstrip() + "…"


def _total(said: str) -> str | None:
    """The value of the sum in a text, or None when it holds none that can be worked out."""
    found = _SUM.search(said)
    if found is None:
        return None
    written = found[0].replace("\u00d7", "*").replace("\u00f7", "/").strip()
    try:
        value = _value(ast.parse(written, mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError):
        return None
    return f"{round(value, 6):g}" if isinstance(value, float) else str(value)


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](_value(left), _value(right))
    raise ValueError("not a sum")
