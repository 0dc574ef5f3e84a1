"""/new: a new talk; what was said before it is left to it in short."""

from sqlalchemy import Connection

from agentos.frontdesk.commands.catalogue import Asked
from agentos.frontdesk.lines import cut
from agentos.store import talks, workers

_LINES = 12
_LONGEST_LINE = 160


def new(connection: Connection, asked: Asked) -> str:
    """Leave the chat's session; the next message begins another, with a summary."""
    message = asked.message
    worker = workers.find_by_name(connection, workers.desk_name(message.conversation))
    if worker is None or worker.session_id is None:
        return "This is a new talk already. Go ahead."
    said = talks.recent(connection, message.conversation, before_id=message.id or 0, limit=_LINES)
    lines = [
        f"{'agentos' if line.row is not None else 'owner'}: {cut(line.text, _LONGEST_LINE)}"
        for line in said
        if line.text and not line.text.startswith("/")
    ]
    upto = talks.newest(connection, message)
    workers.change(
        connection,
        worker.id or 0,
        session_id=None,
        session_job_count=0,
        session_tokens=0,
        summary="\n".join(lines),
        knows_message_id=upto.message_id,
        knows_outbox_id=upto.outbox_id,
    )
    return "🆕 A new talk. I keep a short summary of the old one, and all that I remember."
