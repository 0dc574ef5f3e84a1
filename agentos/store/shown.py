"""Under which ids a channel shows what we said, so that a reply to any of them is understood."""

from collections.abc import Iterable

from sqlalchemy import Connection, select

from agentos.domain.talk import Outgoing, Shown
from agentos.store import rows

SHOWN = rows.table_of(Shown)
OUTBOX = rows.table_of(Outgoing)


def note(connection: Connection, row: Outgoing, external_ids: Iterable[str]) -> None:
    """Remember that the channel shows a row under these ids; again is the same as once."""
    assert row.id is not None
    for external_id in external_ids:
        seen = Shown(
            conversation=row.conversation, external_id=external_id, outbox_id=row.edits_id or row.id
        )
        rows.add_once(connection, seen, unique=("conversation", "external_id", "outbox_id"))


def find(connection: Connection, *, conversation: str, external_id: str) -> Outgoing | None:
    """What we said under the channel's id, or None; the newest row when several did.

    What was said before these ids were kept is found by the id of its last part.
    """
    of_shown = select(SHOWN.c.outbox_id).where(
        SHOWN.c.conversation == conversation, SHOWN.c.external_id == external_id
    )
    statement = (
        select(OUTBOX)
        .where(
            OUTBOX.c.id.in_(of_shown)
            | (
                (OUTBOX.c.conversation == conversation)
                & (OUTBOX.c.external_id == external_id)
                & OUTBOX.c.edits_id.is_(None)
            )
        )
        .order_by(OUTBOX.c.id.desc())
        .limit(1)
    )
    return rows.fetch_one(connection, Outgoing, statement)
