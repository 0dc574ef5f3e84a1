"""What was said in a conversation, by both sides and of whatever origin."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, func, or_, select

from agentos.domain.people import Audience, Person
from agentos.domain.talk import Message, Outgoing
from agentos.store import rows

PERSON = rows.table_of(Person)
MESSAGE = rows.table_of(Message)
OUTBOX = rows.table_of(Outgoing)


@dataclass(frozen=True)
class Said:
    """How far somebody knows a talk, by the ids of rows: a clock may jump, an id does not."""

    message_id: int
    outbox_id: int


NOTHING_SAID = Said(0, 0)


@dataclass(frozen=True)
class Line:
    """One thing said; by a person when there is no row of the outbox."""

    at: datetime
    text: str
    row: Outgoing | None = None
    # "owner", or "guest" with their name.
    person: str = "owner"


def newest(connection: Connection, message: Message) -> Said:
    """How far a talk has come when this message is answered."""
    ours = select(func.coalesce(func.max(OUTBOX.c.id), 0)).where(
        OUTBOX.c.conversation == message.conversation
    )
    return Said(message.id or 0, int(connection.execute(ours).scalar_one()))


def recent(
    connection: Connection,
    conversation: str,
    *,
    before_id: int,
    limit: int,
    since: Said | None = None,
) -> list[Line]:
    """The last things said before a message, oldest first: results, reminders and notices, too.

    With `since`, what somebody who answers in this talk has not been told yet: what came after
    that, but for the answers, which are their own.
    """
    theirs = (
        select(MESSAGE.c.received_at, MESSAGE.c.text, MESSAGE.c.audience, PERSON.c.name)
        .outerjoin(PERSON, PERSON.c.id == MESSAGE.c.person_id)
        .where(MESSAGE.c.conversation == conversation, MESSAGE.c.id < before_id)
    )
    ours = select(OUTBOX).where(
        OUTBOX.c.conversation == conversation, OUTBOX.c.edits_id.is_(None), OUTBOX.c.text != ""
    )
    if since is not None:
        theirs = theirs.where(MESSAGE.c.id > since.message_id)
        is_answer = and_(OUTBOX.c.key.startswith("answer:"), OUTBOX.c.card_id.is_(None))
        of_job = OUTBOX.c.job_id.is_not(None)
        ours = ours.where(OUTBOX.c.id > since.outbox_id, or_(~is_answer, of_job))
    said = [
        Line(at=row[0], text=row[1], person=_person(row[2], row[3]))
        for row in connection.execute(theirs.order_by(MESSAGE.c.id.desc()).limit(limit))
    ]
    found = rows.fetch(connection, Outgoing, ours.order_by(OUTBOX.c.id.desc()).limit(limit))
    said += [Line(at=row.created_at, text=row.text, row=row) for row in found]
    return sorted(said, key=lambda line: line.at)[-limit:]


def _person(audience: Audience, name: str | None) -> str:
    return f"guest {name or ''}".strip() if audience is Audience.guest else "owner"
