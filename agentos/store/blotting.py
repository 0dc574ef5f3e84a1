"""Taking a forgotten text out of what was said and done, where it stands word for word."""

from collections.abc import Iterable

from sqlalchemy import Connection, Text, cast, func, update

from agentos.domain.states import MessageState
from agentos.domain.talk import Card, Message, Outgoing
from agentos.domain.work import Job, Task
from agentos.store import rows

MESSAGE = rows.table_of(Message)
# Where people's and models' words are.
_COLUMNS = (
    (MESSAGE, "text"),
    (rows.table_of(Outgoing), "text"),
    (rows.table_of(Card), "question"),
    (rows.table_of(Card), "words"),
    (rows.table_of(Card), "detail"),
    (rows.table_of(Job), "title"),
    (rows.table_of(Job), "prompt"),
    (rows.table_of(Job), "result"),
    (rows.table_of(Job), "error"),
    (rows.table_of(Task), "title"),
    (rows.table_of(Task), "brief"),
)
INSTEAD = "[forgotten]"


def blot_out(connection: Connection, texts: Iterable[str]) -> int:
    """Put a mark in the place of texts; in how many columns of rows. It reads them all."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
    covered = 0
    for text in texts:
        for table, name in _COLUMNS:
            column = table.c[name]
            holds = column.contains(text, autoescape=True)
            changed = update(table).where(holds).values({name: func.replace(column, text, INSTEAD)})
            covered += connection.execute(changed).rowcount
        # What was decided of a message quotes it; of one that is handled nobody asks again.
        quotes = cast(MESSAGE.c.triage, Text).contains(text, autoescape=True)
        handled = MESSAGE.c.state == MessageState.handled
        gone = update(MESSAGE).where(handled, quotes).values(triage=None)
        covered += connection.execute(gone).rowcount
    return covered
