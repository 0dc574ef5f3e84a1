"""Taps on cards: each counts once, and late ones are told how it ended. One transaction each."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.cards import OTHER, answer_of, ending_of
from agentos.domain.states import Actor, CardState, PlanState
from agentos.domain.talk import Card, CardKind, Grant, Message, Scope
from agentos.engine.questions import NO, go_on
from agentos.errors import BadRequest, NotFound, WrongState
from agentos.frontdesk import effects, memory_commands, plans, words
from agentos.frontdesk.intake import files_of
from agentos.home import Home
from agentos.memory import wishes
from agentos.memory.core import Core
from agentos.store import cards, grants, jobs, knocks, messages, outbox
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
    own_words: str | None = None,
) -> Tapped:
    """Answer a card with one of its options; with `OTHER` in the owner's own words."""
    try:
        card = cards.get(connection, card_id)
        if card.expires_at is not None and card.expires_at <= at:
            # The clock was faster than who looks at it.
            expire(connection, card, at=at)
        elif own_words is None and _wants_words(card, key):
            return _ask_for_words(connection, card, at=at)
        if not cards.answer(connection, card_id, key, via=via, at=at, words=own_words):
            return Tapped(toast=_too_late(cards.get(connection, card_id)))
    except NotFound:
        return Tapped(toast=words.CARD_GONE)
    except BadRequest:
        return Tapped(toast=words.NO_SUCH_OPTION)
    card = cards.get(connection, card_id)
    tapped = _follow(connection, card, key, home=home, ways=ways, at=at)
    # Some have settled what shows them in words of their own; the others, and copies, follow.
    cards.show_ending(connection, card_id, at=at)
    return tapped


def expire(connection: Connection, card: Card, *, at: datetime) -> bool:
    """Silence is no yes: its job goes on without, and is told so. False when it had ended."""
    if not cards.expire(connection, card, at=at):
        return False
    card = cards.get(connection, card.id or 0)
    if card.kind is CardKind.approve:
        _decide(connection, card, NO, at=at)
    go_on(connection, card, by=Actor.engine, at=at)
    return True


def _wants_words(card: Card, key: str) -> bool:
    is_option = any(option["key"] == key for option in card.options)
    return key == OTHER and card.other and not is_option and card.state is CardState.open


def _follow(
    connection: Connection,
    card: Card,
    key: str,
    *,
    home: Home,
    ways: effects.Ways,
    at: datetime,
) -> Tapped:
    """What follows from an answer."""
    match card.kind:
        case CardKind.plan:
            return _on_plan(connection, card, key, home=home, ways=ways, at=at)
        case CardKind.clarify:
            return _on_question(connection, card, key, at=at)
        case CardKind.ask:
            go_on(connection, card, by=Actor.owner, at=at)
            return Tapped(toast=f"✓ {answer_of(card)}"[:190])
        case CardKind.approve:
            return _on_approval(connection, card, key, at=at)
        case CardKind.forget:
            return _on_forget(connection, card, key, ways=ways, at=at)
        case CardKind.core:
            return _on_core(connection, card, key, home=home, at=at)
        case CardKind.knock:
            said = knocks.decide(connection, card, key, at=at)
            return Tapped(toast=said.replace("`", "")[:190])


def _on_core(connection: Connection, card: Card, key: str, *, home: Home, at: datetime) -> Tapped:
    """A line comes into core memory, or never; the file may have changed since it was proposed."""
    try:
        Core(home).answer(connection, wishes.version_of(card), yes=key == wishes.YES, at=at)
    except (BadRequest, WrongState) as error:
        shown = outbox.find_by_key(connection, wishes.key_of(wishes.version_of(card)))
        if shown is not None:
            text = f"{shown.text}\n\n**✕ {error}**"
            effects.settle_shown(connection, key=shown.key, text=text, at=at)
        return Tapped(toast=str(error)[:190])
    return Tapped(toast=f"✓ {answer_of(card)}"[:190])


def _too_late(card: Card) -> str:
    """How it ended before this tap."""
    match card.state:
        case CardState.answered:
            return f"Answered already: {answer_of(card)}"[:190]
        case CardState.expired:
            return "That has expired; nothing was done."
        case CardState.cancelled | CardState.open:
            return "That is no longer needed."


def _ask_for_words(connection: Connection, card: Card, *, at: datetime) -> Tapped:
    assert card.id is not None
    cards.want_words(connection, card.id, at=at)
    outbox.say(
        connection,
        key=f"words:{card.id}:{at.isoformat()}",
        conversation=card.conversation,
        text=f"✎ {card.question}\n\n_Tell me in your own words, in your next message._",
        at=at,
        card_id=card.id,
        message_id=card.message_id,
    )
    return Tapped(toast="Tell me in your own words.")


def _on_approval(connection: Connection, card: Card, key: str, *, at: datetime) -> Tapped:
    _decide(connection, card, key, at=at)
    go_on(connection, card, by=Actor.owner, at=at)
    return Tapped(toast=f"✓ {answer_of(card)}"[:190])


def _decide(connection: Connection, card: Card, key: str, *, at: datetime) -> None:
    """Write down what may be done from now on; a no holds for the job."""
    request = card.request or {}
    scope = Scope.job if key == NO else Scope(key)
    project_id = None
    if scope is Scope.project and card.job_id is not None:
        project_id = jobs.get(connection, card.job_id).project_id
    grants.add(
        connection,
        Grant(
            tool=request["tool"],
            pattern=request["pattern"],
            # Beyond the one time it is the place that counts, not what was to be written there.
            digest=request.get("digest", "") if scope is Scope.once else "",
            scope=scope,
            allowed=key != NO,
            job_id=card.job_id,
            project_id=project_id,
            card_id=card.id,
            via=card.answered_via or card.state.value,
            decided_at=at,
        ),
    )


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
    label = answer_of(card)
    effects.settle_shown(
        connection,
        key=f"clarify:{card.message_id}",
        text=f"{card.question}\n\n{ending_of(card)}",
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
