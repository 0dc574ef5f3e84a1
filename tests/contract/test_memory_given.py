"""What was given from memory is written down, once, for the job or the message it was given to."""

from datetime import timedelta

from agentos.domain.talk import Message
from agentos.store import memories, memory_given, messages
from agentos.store.database import Database
from tests.memory_room import NOW, a_memory


def test_what_was_given_is_told_by_job_by_message_and_by_memory(any_database: Database) -> None:
    with any_database.begin() as connection:
        ids = [memories.add(connection, a_memory(f"memory {n}")).id or 0 for n in range(3)]
        memory_given.record(connection, [ids[1], ids[0]], at=NOW, job_id=7)
        memory_given.record(connection, [ids[0], ids[2], ids[0]], at=NOW, job_id=7)
        memory_given.record(connection, [ids[0]], at=NOW + timedelta(hours=1), message_id=3)
    with any_database.read() as connection:
        assert memory_given.list_ids(connection, job_id=7) == [ids[1], ids[0], ids[2]]
        assert memory_given.list_ids(connection, message_id=3) == [ids[0]]
        assert memory_given.list_ids(connection, job_id=8) == []
        told = memory_given.list_given(connection, ids[0], limit=10)
        assert [(row.job_id, row.message_id) for row in told] == [(None, 3), (7, None)]


def test_the_newest_message_that_was_given_something_is_found(any_database: Database) -> None:
    with any_database.begin() as connection:
        key = memories.add(connection, a_memory("Anna is vegetarian")).id or 0
        made = []
        for number, talk in enumerate(["terminal:main", "telegram:42", "terminal:main"]):
            message = Message(
                channel="terminal",
                conversation=talk,
                external_id=str(number),
                text="hi",
                received_at=NOW,
            )
            received = messages.receive(connection, message)
            assert received is not None
            made.append(received.id or 0)
        assert memory_given.find_message(connection, "terminal:main") is None
        for message_id in made[:2]:
            memory_given.record(connection, [key], at=NOW, message_id=message_id)
        assert memory_given.find_message(connection, "terminal:main") == made[0]
