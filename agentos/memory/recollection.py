"""Recollections: what of memory is put into a prompt unasked, within a budget and within its time.

Nobody waits for it: what is not found in time is left out. What was given is written down behind
the prompt, so that `why` can tell, and so that it is not learned again as something new.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.memory import Memory, Origin, Trust
from agentos.domain.ports import Clock
from agentos.domain.work import Job
from agentos.errors import AgentosError, StoreUnusable
from agentos.memory.questions import question_of
from agentos.memory.recall import Recalled
from agentos.memory.remembering import Remembering
from agentos.store import memories, memory_given
from agentos.store.database import Database

log = logs.get(__name__)
_MOST = 8
# The owner waits for the one, and a session that takes seconds to start for the other.
MESSAGE_PATIENCE = timedelta(milliseconds=150)
_JOB_PATIENCE = timedelta(seconds=1)
# This part of the time is the index's; what is left is for the rows, when it is not ready.
_FOR_INDEX = 0.6


@dataclass(frozen=True)
class Recollection:
    """One memory as a prompt shows it: a line with its date, its category and its source."""

    memory_id: int
    text: str
    day: str
    category: str
    source: str
    # Somebody else's word: shown as a quotation, apart from the others.
    outside: bool


class Recollections:
    """What the prompts of messages and jobs are given."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        remembering: Remembering,
        tokens: int,
        zone: ZoneInfo,
        patience: timedelta = MESSAGE_PATIENCE,
    ) -> None:
        """`tokens` is the budget of one prompt, 0 for nothing; `patience` that of a message."""
        self._database = database
        self._clock = clock
        self._remembering = remembering
        self._tokens = tokens
        self._zone = zone
        self._patience = patience
        self._noting: set[asyncio.Task[None]] = set()

    async def for_message(
        self, text: str, *, message_id: int, project_id: int | None = None
    ) -> list[Recollection]:
        """What belongs to something that the owner said, of a project and of none when told."""
        found = await self._recall(
            question_of(text), patience=self._patience, project_id=project_id
        )
        self._note(found, message_id=message_id)
        return found

    async def for_job(self, job: Job) -> list[Recollection]:
        """What belongs to a job, of its project or of none."""
        question = question_of(job.prompt, title=job.title)
        patience = max(self._patience, _JOB_PATIENCE)
        found = await self._recall(question, patience=patience, project_id=job.project_id)
        self._note(found, job_id=job.id)
        return found

    async def close(self) -> None:
        """Wait for what is still being written down."""
        await asyncio.gather(*self._noting, return_exceptions=True)

    async def _recall(
        self, question: str, *, patience: timedelta, project_id: int | None = None
    ) -> list[Recollection]:
        if not self._tokens or not question:
            return []
        wish = self._remembering.wish(
            question, limit=_MOST, tokens=self._tokens, unasked=True, project_id=project_id
        )
        try:
            async with asyncio.timeout(patience.total_seconds()):
                if not await self._database.query(memories.newest_revision):
                    return []
                answer = await self._remembering.recall(
                    wish, count=False, patience=patience * _FOR_INDEX
                )
        except TimeoutError:
            log.warning("recall_too_slow", milliseconds=patience / timedelta(milliseconds=1))
            return []
        except AgentosError as error:
            log.warning("nothing_recalled", problem=str(error))
            return []
        return shown(answer.found, zone=self._zone)

    def _note(
        self,
        found: Sequence[Recollection],
        *,
        job_id: int | None = None,
        message_id: int | None = None,
    ) -> None:
        """Write down what was given, behind the prompt."""
        if not found:
            return
        ids, at = [one.memory_id for one in found], self._clock.now()

        def write(connection: Connection) -> None:
            memory_given.record(connection, ids, at=at, job_id=job_id, message_id=message_id)
            memories.note_use(connection, ids, at=at)

        noting = asyncio.create_task(self._try(write))
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    async def _try(self, write: Callable[[Connection], None]) -> None:
        try:
            await self._database.write(write, tell=False)
        except StoreUnusable as error:
            log.warning("recollection_not_noted", problem=str(error))


def shown(found: Sequence[Recalled], *, zone: ZoneInfo) -> list[Recollection]:
    """What was recalled, as prompts show it: in the order it was found."""
    return [
        Recollection(
            memory_id=one.memory.id or 0,
            text=one.memory.text,
            day=one.memory.valid_from.astimezone(zone).date().isoformat(),
            category=one.memory.category.value,
            source=source_of(one.memory),
            outside=one.memory.trust is Trust.outside,
        )
        for one in found
    ]


def source_of(memory: Memory) -> str:
    """Where a memory is from, in a word or two: "the owner", "job:12", "document letter.pdf"."""
    if memory.trust is Trust.owner and memory.origin is Origin.owner:
        return "the owner"
    ref = memory.source_ref or ""
    named = ref.startswith(f"{memory.origin.value}:")
    return ref if named else f"{memory.origin.value} {ref}".strip()


def unknown_to(given: Collection[int], found: Sequence[Recollection]) -> list[Recollection]:
    """Those that a session has not been given yet."""
    return [one for one in found if one.memory_id not in given]
