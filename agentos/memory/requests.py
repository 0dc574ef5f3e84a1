"""What a worker may ask of memory with its tools: recall, remember, request_forget.

Nothing of it reaches core memory, and nothing is forgotten: the owner is told of the wish. What a
session remembers after it has read what others wrote (the web, a file that came in, a forwarded
text) is kept as somebody else's word, for it may be.
"""

import hashlib
from collections import Counter
from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.frames import Answered, Asked, Tool
from agentos.domain.memory import Category, Memory, Origin, Trust
from agentos.domain.ports import Clock
from agentos.domain.work import Job
from agentos.errors import AgentosError, NotFound
from agentos.memory.diary import is_outside
from agentos.memory.recall import alike
from agentos.memory.recollection import shown
from agentos.memory.remembering import Remembering
from agentos.prompts import render
from agentos.store import memories, memory_given, messages, outbox
from agentos.store.database import Database

log = logs.get(__name__)
_PATIENCE = timedelta(seconds=5)
_TOKENS = 1500
# A session that remembers more than this does not choose.
_MOST_REMEMBERED, _MOST_WISHES = 20, 5
_MOST_COUNTED = 1000
Words = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]


class _Words(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Recall(_Words):
    """A question."""

    query: Words
    limit: Annotated[int, Field(ge=1, le=10)] = 5


class Remember(_Words):
    """What is worth knowing later."""

    text: Words
    category: Category = Category.fact
    importance: Annotated[float, Field(ge=0, le=1)] = 0.5


class RequestForget(_Words):
    """A memory that is wrong, by the number that recall tells."""

    memory: Annotated[int, Field(ge=1, le=2**31 - 1)]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


_KINDS: dict[str, type[_Words]] = {
    "recall": Recall,
    "remember": Remember,
    "request_forget": RequestForget,
}


class Requests:
    """Answers for the daemon."""

    def __init__(
        self, database: Database, *, clock: Clock, remembering: Remembering, zone: ZoneInfo
    ) -> None:
        self._database = database
        self._clock = clock
        self._remembering = remembering
        self._zone = zone
        self._counts: Counter[tuple[int, str]] = Counter()
        # Sessions of persistent workers that have read nothing of others' since they began.
        self._clean: set[str] = set()
        self.tools = [
            Tool(name=name, description=render(f"tool_{name}.md.j2"), parameters=_schema(kind))
            for name, kind in _KINDS.items()
        ]

    def is_clean(self, session_id: str | None) -> bool:
        """Whether a session has read nothing of others' so far: a new one, or one we followed."""
        return session_id is None or session_id in self._clean

    def note_session(self, session_id: str | None, *, outside: bool) -> None:
        """A session that will go on has ended a job."""
        if session_id is not None and not outside:
            self._clean.add(session_id)
        else:
            self._clean.discard(session_id or "")

    async def answer(self, asked: Asked, *, job: Job, outside: bool) -> Answered:
        """Do what a tool of a job's session asks; `outside` when it has read what others wrote."""
        kind = _KINDS.get(asked.tool)
        try:
            if kind is None:
                return _failed(asked, f"There is no tool {asked.tool}.")
            words = kind.model_validate(asked.arguments)
            return Answered(ask_id=asked.ask_id, text=await self._do(words, job, outside=outside))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            return _failed(asked, f"{where}: {first['msg']}")
        except AgentosError as error:
            log.warning("memory_request_failed", tool=asked.tool, job_id=job.id, problem=str(error))
            return _failed(asked, "Memory does not answer now; go on without.")

    async def _do(self, words: _Words, job: Job, *, outside: bool) -> str:
        match words:
            case Recall():
                return await self._recall(words, job)
            case Remember():
                return await self._remember(words, job, outside=outside)
            case RequestForget():
                return await self._request_forget(words, job)
        raise AssertionError(f"{words!r} is of no kind there is")

    async def _recall(self, words: Recall, job: Job) -> str:
        wish = self._remembering.wish(
            words.query, limit=words.limit, tokens=_TOKENS, project_id=job.project_id
        )
        answer = await self._remembering.recall(wish, patience=_PATIENCE)
        ids = [one.memory.id or 0 for one in answer.found]
        if not ids:
            return "Nothing is remembered about that."
        at = self._clock.now()
        await self._database.write(
            lambda connection: memory_given.record(connection, ids, at=at, job_id=job.id),
            tell=False,
        )
        return render("recalled.md.j2", recalled=shown(answer.found, zone=self._zone))

    async def _remember(self, words: Remember, job: Job, *, outside: bool) -> str:
        if not self._may(job, "remember", most=_MOST_REMEMBERED):
            return "That is enough for one task: keep only what will be needed again."
        text = " ".join(words.text.split())
        wish = self._remembering.wish(text, limit=3, project_id=job.project_id)
        near = await self._remembering.recall(wish, count=False, patience=_PATIENCE)
        for one in near.found:
            # Also when it is an outside one: repeating it does not make it ours.
            if alike(one.memory.text, text):
                return f"That is known already (#{one.memory.id})."
        at = self._clock.now()
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        row = Memory(
            key=f"job:{job.id}:{digest}",
            text=text,
            category=words.category,
            importance=words.importance,
            origin=Origin.job,
            source_ref=f"job:{job.id}",
            project_id=job.project_id,
            valid_from=at,
            created_at=at,
        )

        def write(connection: Connection) -> Memory:
            row.trust = Trust.outside if outside or _of_outside(connection, job) else Trust.self
            return memories.add(connection, row)

        made = await self._database.write(write)
        if made.trust is Trust.outside:
            return f"Kept as #{made.id}, as somebody else's word: this session has read some."
        return f"Remembered as #{made.id}."

    async def _request_forget(self, words: RequestForget, job: Job) -> str:
        conversation = job.conversation
        if conversation is None or not self._may(job, "forget", most=_MOST_WISHES):
            return "The owner cannot be asked now; say it in your summary."
        reason = " ".join(words.reason.split())
        at = self._clock.now()

        def write(connection: Connection) -> str:
            try:
                row = memories.get(connection, words.memory)
            except NotFound:
                return f"There is no memory #{words.memory}."
            if row.forgotten_at is not None:
                return f"#{words.memory} is forgotten already."
            # Its text is not told again: what is forgotten must not live on in what was said.
            outbox.say(
                connection,
                key=f"forget-wish:{job.id}:{words.memory}",
                conversation=conversation,
                text=(
                    f"🧠 **{job.title}** wishes that I forget #{words.memory}: {reason}\n\n"
                    f"/why {words.memory} shows it, /forget {words.memory} forgets it."
                ),
                at=at,
                job_id=job.id,
            )
            return "The owner is asked. Until there is a yes, it stays."

        return await self._database.write(write)

    def _may(self, job: Job, what: str, *, most: int) -> bool:
        if len(self._counts) > _MOST_COUNTED:
            self._counts.clear()
        self._counts[job.id or 0, what] += 1
        return self._counts[job.id or 0, what] <= most


def _of_outside(connection: Connection, job: Job) -> bool:
    """Whether the job was made from words that are not the owner's."""
    if job.message_id is None:
        return False
    return is_outside(messages.get(connection, job.message_id))


def _failed(asked: Asked, text: str) -> Answered:
    return Answered(ask_id=asked.ask_id, text=text, failed=True)


def _schema(kind: type[_Words]) -> dict[str, Any]:
    """The JSON schema of a tool's parameters, in one piece and without titles."""
    schema = kind.model_json_schema()
    schema.pop("$defs", None)
    schema["properties"] = {
        name: {key: value for key, value in each.items() if key not in ("title", "$ref")}
        for name, each in schema["properties"].items()
    }
    if "category" in schema["properties"]:
        names = [each.value for each in Category]
        schema["properties"]["category"] = {"type": "string", "enum": names, "default": "fact"}
    return {name: value for name, value in schema.items() if name not in ("title", "description")}
