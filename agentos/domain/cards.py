"""How a card reads: while it waits, and how it ended. Pure words, for phones."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from agentos.domain.states import CardState
from agentos.domain.talk import Card, CardKind

OTHER = "other"
OTHER_LABEL = "Other…"
# How much of a command or a change fits a phone: its beginning and its end.
_HEAD, _TAIL = 700, 300
_LONGEST_WORDS = 300
# Kinds whose answer a job waits for.
ASKING = (CardKind.ask, CardKind.approve)


def label_of(card: Card, key: str | None) -> str:
    """What an option is called."""
    labels = {option["key"]: option["label"] for option in card.options}
    return labels.get(key or "", key or "")


def answer_of(card: Card) -> str:
    """What was answered: the option's name, or the owner's own words."""
    if card.words is not None:
        return card.words
    return label_of(card, card.answer)


def ending_of(card: Card) -> str:
    """How a card ended, in one line; empty while it is open."""
    match card.state:
        case CardState.open:
            return ""
        case CardState.answered:
            via = f" (via {card.answered_via})" if card.answered_via != card.channel else ""
            return f"**✓ {short(answer_of(card), _LONGEST_WORDS)}**{via}"
        case CardState.expired:
            return "**⌛ Expired: nothing was done.**"
        case CardState.cancelled:
            return "**✕ No longer needed.**"


def question_text(card: Card, *, title: str, until: str) -> str:
    """The message of a question that a worker asks; `until` is empty when it never expires."""
    lines = [f"❓ **{title}** asks:", "", card.question]
    told = [option for option in card.options if option.get("consequence")]
    if told:
        lines += ["", *(f"- **{one['label']}**: {one['consequence']}" for one in told)]
    waits = f"Waits until {until}; without" if until else "Without"
    return "\n".join([*lines, "", f"_{waits} an answer nothing happens._"])


def approval_text(card: Card, *, title: str, until: str) -> str:
    """The message of a card about a tool: what exactly is to be done, and why it asks."""
    request = card.request or {}
    lines = [f"🔐 **{title}** wants to {request.get('verb', 'use a tool')}:", ""]
    lines += [block_of(card.detail or ""), "", f"It asks because {request.get('why', '')}."]
    if len(card.detail or "") > _HEAD + _TAIL:
        lines.append(f"`pm card show {card.id}` shows all of it.")
    waits = f" It waits until {until}." if until else ""
    return "\n".join([*lines, "", f"_Unanswered is no.{waits}_"])


def block_of(text: str) -> str:
    """A text as a code block that it cannot leave; of a long one the beginning and the end."""
    shown = text
    if len(text) > _HEAD + _TAIL:
        missing = len(text) - _HEAD - _TAIL
        shown = f"{text[:_HEAD]}\n… {missing} characters more …\n{text[-_TAIL:]}"
    fence = "```"
    while fence in shown:
        fence += "`"
    return f"{fence}\n{visible(shown)}\n{fence}"


def visible(text: str) -> str:
    """A text in which nothing hides: what turns, erases or has no width is shown by its number."""
    return "".join(
        each if each == "\n" or each.isprintable() else f"\\u{{{ord(each):x}}}" for each in text
    )


def short(text: str, most: int) -> str:
    """On one line, and at most so long."""
    plain = " ".join(text.split())
    return plain if len(plain) <= most else f"{plain[: most - 1].rstrip()}…"


def age(card: Card, *, now: datetime) -> str:
    """How long it waits: "5 min", "3 h", "2 days"."""
    waited = max(now - card.created_at, timedelta())
    minutes = int(waited.total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h"
    return f"{waited.days} days"


def told(cards: Sequence[Card]) -> list[Mapping[str, Any]]:
    """What came of questions, for the session that asked them."""
    return [
        {
            "kind": card.kind.value,
            "question": card.question,
            "verb": (card.request or {}).get("verb", ""),
            "detail": card.detail or "",
            "state": card.state.value,
            "key": card.answer or "",
            "answer": answer_of(card),
            "consequence": next(
                (one.get("consequence", "") for one in card.options if one["key"] == card.answer),
                "",
            ),
        }
        for card in cards
    ]


def buttons_of(card: Card, *, side_by_side: bool) -> list[list[dict[str, str]]]:
    """The rows of buttons of a card."""
    options = [(option["key"], option["label"]) for option in card.options]
    if card.other:
        options.append((OTHER, OTHER_LABEL))
    row = [{"label": label, "data": f"card:{card.id}:{key}"} for key, label in options]
    return [row] if side_by_side else [[button] for button in row]
