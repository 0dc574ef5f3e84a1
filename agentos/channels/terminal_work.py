"""How far a message is: handled, worked on, told. A script waits for this."""

from typing import Any

from sqlalchemy import Connection

from agentos.control.wire import TERMINAL
from agentos.domain.states import FINISHED_JOBS, CardState, MessageState, OutboxState
from agentos.domain.talk import Card, Message, Outgoing
from agentos.domain.work import Job, JobKind, Plan
from agentos.store import jobs, messages, rows

_MANY = 1000


def work_of(connection: Connection, message_id: int) -> dict[str, Any]:
    """A message and all that came of it. Raises NotFound.

    `done` is true when it is handled, its jobs have ended and all was said. A reminder is not
    waited for, nor is an open card: both wait for something that only time or the owner brings.
    """
    family = _family(connection, messages.get(connection, message_id))
    handled = all(message.state is MessageState.handled for message in family)
    started = _jobs_of(connection, family)
    agents = [job for job in started if job.kind is JobKind.agent]
    ended = all(job.state in FINISHED_JOBS for job in agents)
    unsent = _unsent(connection)
    return {
        "message_id": message_id,
        "messages": [message.id for message in family],
        "handled": handled,
        "done": handled and ended and not unsent,
        "unsent": unsent,
        "jobs": [
            {
                "id": job.id,
                "title": job.title,
                "kind": job.kind.value,
                "state": job.state.value,
                "ended": job.state in FINISHED_JOBS,
                "error": job.error,
            }
            for job in started
        ],
        "cards": [
            {"id": card.id, "question": card.question, "options": card.options}
            for card in _cards_of(connection, family, started)
            if card.state is CardState.open
        ],
    }


def _family(connection: Connection, first: Message) -> list[Message]:
    """The message, and those that answers to its cards became: their external id names the card."""
    family, unseen = [], [first]
    while unseen:
        message = unseen.pop()
        family.append(message)
        for card in rows.newest(connection, Card, limit=_MANY, message_id=message.id):
            key = f"card:{card.id}"
            unseen += rows.newest(
                connection, Message, limit=1, channel=message.channel, external_id=key
            )
    return family


def _jobs_of(connection: Connection, family: list[Message]) -> list[Job]:
    found: dict[int | None, Job] = {}
    for message in family:
        for job in jobs.list_for_message(connection, message.id or 0):
            found[job.id] = job
        for plan in rows.newest(connection, Plan, limit=_MANY, message_id=message.id):
            for job in jobs.list_for_plan(connection, plan.id or 0):
                found[job.id] = job
    return [found[job_id] for job_id in sorted(found, key=lambda one: one or 0)]


def _cards_of(connection: Connection, family: list[Message], started: list[Job]) -> list[Card]:
    found: dict[int | None, Card] = {}
    for message in family:
        for card in rows.newest(connection, Card, limit=_MANY, message_id=message.id):
            found[card.id] = card
    for job in started:
        for card in rows.newest(connection, Card, limit=_MANY, job_id=job.id):
            found[card.id] = card
    return list(found.values())


def _unsent(connection: Connection) -> bool:
    """Whether something is still to be said in the terminal."""
    return any(
        rows.newest(connection, Outgoing, limit=1, conversation=TERMINAL, state=state)
        for state in (OutboxState.pending, OutboxState.sending)
    )
