"""What follows from a decision about a message, in one transaction. No model, no waiting."""

from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.ledger import Purpose
from agentos.domain.states import MessageState
from agentos.domain.talk import Message
from agentos.domain.triage import BigWork, Clarify, Defer, QuickWork, Respond, Steer
from agentos.frontdesk import effects, steering, words
from agentos.frontdesk.effects import Ways
from agentos.frontdesk.intake import Intake
from agentos.frontdesk.triage import Decided
from agentos.store import continuing, messages


def decide(
    connection: Connection,
    message: Message,
    decided: Decided,
    intake: Intake,
    *,
    ways: Ways,
    at: datetime,
) -> bool:
    """Keep a decision and do what follows from it; False when the owner changed the message.

    For an answer and for a plan that is only the next state: a model has to be asked first.
    """
    assert message.id is not None
    now = messages.whole(connection, message.id)
    if now.state is not MessageState.received:
        return True
    if now.text != message.text or now.attachments != message.attachments:
        return False
    triage = decided.triage.model_dump(mode="json")
    messages.set_triage(connection, message.id, triage, by=decided.by, at=at)
    effects.record_usage(connection, decided.usage, purpose=Purpose.triage, message=message, at=at)
    if decided.cause is not None and decided.tell:
        effects.say(connection, message, words.outage(decided.cause), key="outage", at=at)
    effects.make_excuses(connection, message, intake.excuses, at=at)
    match decided.triage.decision:
        case Respond():
            messages.move(connection, message.id, MessageState.answering, at=at)
        case BigWork():
            messages.move(connection, message.id, MessageState.planning, at=at)
        case QuickWork() as work:
            if work.continues and continuing.is_there(connection, work.continues):
                steering.go_on(connection, message, work, intake, at=at)
            else:
                effects.start_work(connection, message, work, intake, ways=ways, at=at)
        case Steer() as steer:
            steering.steer(connection, message, steer, intake, at=at)
        case Clarify() as clarify:
            effects.ask(connection, message, clarify, at=at)
        case Defer() as defer:
            effects.remind_later(connection, message, defer, zone=ways.zone, at=at)
    return True
