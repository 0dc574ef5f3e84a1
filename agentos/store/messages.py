"""Messages in: stored first, then acknowledged, then handled, each exactly once."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from agentos.domain.people import Audience
from agentos.domain.states import MESSAGES, Actor, MessageState, check
from agentos.domain.talk import Message, Outgoing
from agentos.store import events, rows

MESSAGE = rows.table_of(Message)
OUTBOX = rows.table_of(Outgoing)
_OPEN = (MessageState.received, MessageState.answering, MessageState.planning)


def receive(connection: Connection, message: Message) -> Message | None:
    """Store what came in; None when this update was stored before (a redelivery).

    A further part of an album joins the message of the first, while that is not decided.
    """
    if message.album is not None and _join(connection, message):
        return None
    stored = rows.add_once(connection, message, unique=("channel", "external_id"))
    if stored is not None:
        events.record(connection, "message_received", at=message.received_at, message_id=stored.id)
    return stored


def _join(connection: Connection, part: Message) -> bool:
    """Put a part of an album to those before it; False when it is the first, or comes too late."""
    statement = (
        select(MESSAGE)
        .where(
            MESSAGE.c.channel == part.channel,
            MESSAGE.c.conversation == part.conversation,
            MESSAGE.c.album == part.album,
            MESSAGE.c.person_id == part.person_id,
        )
        .order_by(MESSAGE.c.id.desc())
        .limit(1)
    )
    first = rows.fetch_one(connection, Message, statement)
    if first is None or first.external_id == part.external_id:
        return False
    # Each part keeps the id of its update, by which a redelivered one is known.
    if any(one.get("update") == part.external_id for one in first.attachments):
        return True
    if first.state is not MessageState.received:
        return False
    more = [{**one, "update": part.external_id} for one in part.attachments]
    texts = [text for text in (first.text, part.text) if text]
    rows.change(
        connection,
        Message,
        first.id or 0,
        attachments=[*first.attachments, *more],
        text="\n".join(texts),
    )
    return True


def turn_private(connection: Connection, message_id: int, *, conversation: str) -> None:
    """Go on with what the owner said among others where nobody reads along."""
    rows.change(
        connection,
        Message,
        message_id,
        conversation=conversation,
        audience=Audience.owner,
        # The ids of the other chat mean nothing in this one.
        external_message_id=None,
        reply_to_external_id=None,
    )


def hear(
    connection: Connection, message_id: int, *, text: str, attachments: list[dict[str, Any]]
) -> None:
    """Put down in words what was spoken."""
    rows.change(connection, Message, message_id, text=text, attachments=attachments)


def get(connection: Connection, message_id: int) -> Message:
    """The message with this id. Raises NotFound."""
    return rows.get(connection, Message, message_id)


def any_stored(connection: Connection) -> bool:
    """Whether there has ever been a message."""
    return connection.execute(select(MESSAGE.c.id).limit(1)).first() is not None


def find_last_conversation(connection: Connection) -> str | None:
    """Where the owner spoke last with nobody else there, or None."""
    statement = (
        select(MESSAGE.c.conversation)
        .where(MESSAGE.c.audience == Audience.owner)
        .order_by(MESSAGE.c.id.desc())
        .limit(1)
    )
    found: str | None = connection.execute(statement).scalar()
    return found


def count_of(connection: Connection, person_id: int | None, *, since: datetime) -> int:
    """How much somebody has said lately."""
    statement = select(func.count()).where(
        MESSAGE.c.person_id == person_id, MESSAGE.c.received_at > since
    )
    return int(connection.execute(statement).scalar_one())


def list_open(connection: Connection, *, conversation: str | None = None) -> list[Message]:
    """What still waits for an answer, oldest first."""
    statement = select(MESSAGE).where(MESSAGE.c.state.in_(_OPEN)).order_by(MESSAGE.c.id)
    if conversation is not None:
        statement = statement.where(MESSAGE.c.conversation == conversation)
    return rows.fetch(connection, Message, statement)


def move(connection: Connection, message_id: int, new: MessageState, *, at: datetime) -> None:
    """Move a message on. Raises WrongState when it cannot go there."""
    message = get(connection, message_id)
    check(MESSAGES, message.state, new, by=Actor.front_desk, noun="message", name=message_id)
    handled_at = at if new is MessageState.handled else None
    rows.change(connection, Message, message_id, state=new, handled_at=handled_at)
    events.record(connection, f"message_{new.value}", at=at, message_id=message_id)


def set_triage(
    connection: Connection, message_id: int, triage: dict[str, Any], *, by: str, at: datetime
) -> None:
    """Keep the decision, so that a restart does not ask for it again."""
    rows.change(connection, Message, message_id, triage=triage, triaged_by=by)
    data = {"by": by, "outcome": triage["decision"]["outcome"], "reason": triage["reason"]}
    events.record(connection, "message_triaged", at=at, message_id=message_id, **data)


def set_preview(connection: Connection, message_id: int, external_id: str) -> None:
    """Remember what is on the screen already, so that the final answer takes its place."""
    rows.change(connection, Message, message_id, preview_external_id=external_id)


def edit(
    connection: Connection,
    *,
    channel: str,
    external_message_id: str,
    text: str,
    conversation: str | None = None,
) -> bool:
    """Change the text of a message that is not handled yet; whether there was one.

    A channel that numbers its messages anew in each chat has to name the conversation.
    """
    statement = update(MESSAGE).where(
        MESSAGE.c.channel == channel,
        MESSAGE.c.external_message_id == external_message_id,
        MESSAGE.c.state == MessageState.received,
    )
    if conversation is not None:
        statement = statement.where(MESSAGE.c.conversation == conversation)
    result = connection.execute(statement.values(text=text))
    return result.rowcount > 0


def find_before(connection: Connection, conversation: str, *, before_id: int) -> Message | None:
    """The owner's message before this one in a conversation, or None."""
    statement = (
        select(MESSAGE)
        .where(MESSAGE.c.conversation == conversation, MESSAGE.c.id < before_id)
        .order_by(MESSAGE.c.id.desc())
        .limit(1)
    )
    return rows.fetch_one(connection, Message, statement)


def find_by_external_message(
    connection: Connection,
    *,
    channel: str,
    external_message_id: str,
    conversation: str | None = None,
) -> Message | None:
    """The message that a channel knows under this id, or None; the newest when several do."""
    statement = (
        select(MESSAGE)
        .where(MESSAGE.c.channel == channel, MESSAGE.c.external_message_id == external_message_id)
        .order_by(MESSAGE.c.id.desc())
        .limit(1)
    )
    if conversation is not None:
        statement = statement.where(MESSAGE.c.conversation == conversation)
    return rows.fetch_one(connection, Message, statement)
