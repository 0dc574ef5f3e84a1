"""Taps on cards: each counts once, and late ones are told how it ended. One transaction each."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.states import Actor, CardState, JobState, PlanState
from agentos.domain.talk import Card, CardKind, Message
from agentos.errors import BadRequest, NotFound, WrongState
from agentos.frontdesk import effects, memory_commands, plans, words
from agentos.frontdesk.intake import files_of
from agentos.home import Home
from agentos.store import cards, jobs, messages, outbox
from agentos.store import plans as plan_rows


@dataclass(frozen=True)
class Tapped:
    """What came of a tap: a few words for the button, and what the desk has to go on with."""

    toast: str
    # The answer to a question is a message of its own.
    message: Message | None = None
    started_plan: int | None = None


def tap(
    connection: Connection,
    card_id: int,
    key: str,
    *,
    via: str,
    home: Home,
    ways: effects.Ways,
    at: datetime,
) -> Tapped:
    """Answer a card with one of its options."""
    try:
        card = cards.get(connection, card_id)
        if not cards.answer(connection, card_id, key, via=via, at=at):
            return Tapped(toast=_too_late(card))
    except NotFound:
        return Tapped(toast=words.CARD_GONE)
    except BadRequest:
        return Tapped(toast=words.NO_SUCH_OPTION)
    match card.kind:
        case CardKind.plan:
            return _on_plan(connection, card, key, home=home, ways=ways, at=at)
        case CardKind.clarify:
            return _on_question(connection, card, key, at=at)
        case CardKind.ask:
            return _on_parked(connection, card, key, at=at)
        case CardKind.forget:
            return _on_forget(connection, card, key, ways=ways, at=at)


def _too_late(card: Card) -> str:
    """How it ended before this tap."""
    match card.state:
        case CardState.answered:
            return f"Answered already: {_label(card, card.answer)}"
        case CardState.expired:
            return "That has expired."
        case CardState.cancelled | CardState.open:
            return "That is no longer needed."


def _label(card: Card, key: str | None) -> str:
    labels = {option["key"]: option["label"] for option in card.options}
    return labels.get(key or "", key or "")


def _on_plan(
    connection: Connection,
    card: Card,
    key: str,
    *,
    home: Home,
    ways: effects.Ways,
    at: datetime,
) -> Tapped:
    assert card.plan_id is not None
    plan = plan_rows.get(connection, card.plan_id)
    new = {
        "go": PlanState.approved,
        "change": PlanState.changing,
        "drop": PlanState.dropped,
    }[key]
    try:
        plan_rows.move(connection, card.plan_id, new, by=Actor.owner, at=at)
    except WrongState:
        return Tapped(toast=words.plan_is_decided(plan.state))
    shown = outbox.find_by_key(connection, plans.key_of(plan))
    if shown is not None:
        text = words.plan_after_tap(shown.text, key)
        effects.settle_shown(connection, key=shown.key, text=text, at=at)
    if key == "go":
        plans.begin(connection, plan, files=files_of(home, plan.message_id), ways=ways, at=at)
    if key == "change":
        outbox.say(
            connection,
            key=f"plan-{key}:{plan.id}:{plan.version}",
            conversation=plan.conversation,
            text=words.WHAT_TO_CHANGE,
            at=at,
            message_id=plan.message_id,
        )
    return Tapped(toast=words.PLAN_TAPPED[key], started_plan=card.plan_id if key == "go" else None)


def _on_question(connection: Connection, card: Card, key: str, *, at: datetime) -> Tapped:
    """The request and the answer together are a new message, so that triage decides again."""
    label = _label(card, key)
    effects.settle_shown(
        connection,
        key=f"clarify:{card.message_id}",
        text=f"{card.question}\n\n**✓ {label}**",
        at=at,
    )
    assert card.message_id is not None
    asked = messages.get(connection, card.message_id)
    answer = Message(
        channel=asked.channel,
        conversation=asked.conversation,
        external_id=f"card:{card.id}",
        text=f"{asked.text}\n(Asked: {card.question} Answer: {label})",
        attachments=asked.attachments,
        received_at=at,
    )
    return Tapped(toast=f"✓ {label}"[:190], message=messages.receive(connection, answer))


def _on_parked(connection: Connection, card: Card, key: str, *, at: datetime) -> Tapped:
    """A job waited for this; it goes on."""
    if card.job_id is not None:
        job = jobs.get(connection, card.job_id)
        if job.state is JobState.parked:
            jobs.move(connection, card.job_id, JobState.queued, by=Actor.owner, at=at)
    return Tapped(toast=f"✓ {_label(card, key)}"[:190])


def _on_forget(
    connection: Connection, card: Card, key: str, *, ways: effects.Ways, at: datetime
) -> Tapped:
    """One of the memories that were shown is forgotten; what was shown is taken back."""
    said = "Nothing is forgotten."
    if key != memory_commands.NONE_OF_THESE:
        said = memory_commands.forget(connection, int(key), at=at, for_=ways.forget, zone=ways.zone)
    shown = memory_commands.forget_key(card.message_id)
    effects.settle_shown(connection, key=shown, text=f"{card.question}\n\n**{said}**", at=at)
    # Their texts must not live on in the buttons.
    cards.redact(connection, card)
    outbox.redact(connection, shown)
    return Tapped(toast=said[:190])
