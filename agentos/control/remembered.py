"""Memory from outside: search, why, add, forget, restore, history, core, export, import, stats.

The daemon answers these with the index it has; while none runs, a process of our own does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from pydantic import AwareDatetime, Field
from sqlalchemy import Connection

from agentos.config import Config
from agentos.control.operations.operation import Limit, Params, RowId, validated
from agentos.control.operations.shown import shown
from agentos.control.operations.tasks import NameOrId, project_id_of
from agentos.control.peer import Peer
from agentos.control.restraint import restrained
from agentos.domain.memory import Category, Memory, Origin, Trust
from agentos.domain.ports import Clock
from agentos.errors import BadRequest
from agentos.home import Home
from agentos.memory import wishes
from agentos.memory.consolidate import Consolidating
from agentos.memory.core import OWNER, Core, with_line
from agentos.memory.episodes import Episode, Episodes
from agentos.memory.forgetting import Forgetting
from agentos.memory.recall import Recalled
from agentos.memory.remembering import Remembering
from agentos.store import captures, core_versions, memories, nights
from agentos.store.database import Database

Text = Annotated[str, Field(min_length=1, max_length=100_000)]
Share = Annotated[float, Field(ge=0, le=1)]
AsyncOperation = Callable[..., Awaitable[dict[str, Any]]]
_VERBS = "search why add forget restore history core export import stats episodes consolidate"
NAMES = frozenset(f"memory.{verb}" for verb in _VERBS.split())
_PAGE = 1000
_DEEP = 60


class Search(Params):
    """What to look for; `at` as if it were then."""

    query: Text
    limit: Limit = 10
    project: NameOrId | None = None
    lexical: bool = False
    at: AwareDatetime | None = None


class Why(Params):
    """One memory; with a question, why it answers that or does not."""

    memory: RowId
    query: Text | None = None


class Add(Params):
    """A new memory; `instead_of` are closed by it."""

    text: Text
    category: Category = Category.fact
    importance: Share = 0.5
    trust: Trust = Trust.owner
    origin: Origin = Origin.owner
    source_ref: Annotated[str, Field(max_length=500)] | None = None
    thread: Annotated[str, Field(max_length=200)] | None = None
    project: NameOrId | None = None
    valid_from: AwareDatetime | None = None
    valid_to: AwareDatetime | None = None
    instead_of: Annotated[list[RowId], Field(default_factory=list, max_length=100)]
    key: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class Forget(Params):
    """Take a memory out; with `now` for good."""

    memory: RowId
    now: bool = False


class One(Params):
    """One memory."""

    memory: RowId


class CoreWords(Params):
    """What to do with the core file: nothing but show it, or one of these."""

    text: Annotated[str, Field(max_length=100_000)] | None = None
    section: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    line: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\n]+$")] | None = None
    undo: bool = False
    accept: RowId | None = None
    refuse: RowId | None = None
    history: bool = False


class Export(Params):
    """All memories after one; `everything` with closed and forgotten ones."""

    after: Annotated[int, Field(ge=0)] = 0
    everything: bool = False


class Import(Params):
    """Memories as an export has them."""

    memories: Annotated[list[dict[str, Any]], Field(max_length=10_000)]


class EpisodeWords(Params):
    """The episodes of a day, or those that fit a question."""

    day: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")] | None = None
    search: Text | None = None
    limit: Limit = 50


class Nothing(Params):
    """No words."""


class MemoryOperations:
    """All of `memory.*` for one home."""

    def __init__(
        self,
        database: Database,
        *,
        home: Home,
        config: Config,
        clock: Clock,
        remembering: Remembering,
        consolidating: Consolidating,
        forgetting: Forgetting,
    ) -> None:
        self._database = database
        self._clock = clock
        self._remembering = remembering
        self._consolidating = consolidating
        self._core = Core(home)
        self._mark = home.mark
        self._episodes = Episodes(home, zone=config.owner.zone)
        self._forgetting = forgetting
        self._zone = config.owner.zone

    def operations(self) -> dict[str, AsyncOperation]:
        """By their names, for the control server; each takes its words as keywords."""
        known: dict[str, tuple[type[Params], Callable[[Any], Awaitable[dict[str, Any]]]]] = {
            "search": (Search, self._search),
            "why": (Why, self._why),
            "add": (Add, self._add),
            "forget": (Forget, self._forget),
            "restore": (One, self._restore),
            "history": (One, self._history),
            "core": (CoreWords, self._core_words),
            "export": (Export, self._export),
            "import": (Import, self._import),
            "stats": (Nothing, self._stats),
            "episodes": (EpisodeWords, self._episode_words),
            "consolidate": (Nothing, self._consolidate),
        }
        return {
            f"memory.{verb}": _operation(f"memory.{verb}", kind, run, mark=self._mark)
            for verb, (kind, run) in known.items()
        }

    async def _search(self, words: Search) -> dict[str, Any]:
        project_id = await self._project(words.project)
        wish = self._remembering.wish(words.query, limit=words.limit, project_id=project_id)
        if words.at is not None:
            wish = replace(wish, at=words.at)
        answer = await self._remembering.recall(wish, lexical=words.lexical)
        return {"found": [_recalled(one) for one in answer.found], "note": answer.note}

    async def _why(self, words: Why) -> dict[str, Any]:
        def read(connection: Connection) -> dict[str, Any]:
            row = memories.get(connection, words.memory)
            used = memories.uses(connection, [words.memory]).get(words.memory)
            return {
                "memory": shown(row),
                "times": used.times if used else 0,
                "last_at": used.last_at.isoformat() if used else None,
                "replaced": [shown(one) for one in memories.replaced_by(connection, words.memory)],
            }

        told = await self._database.query(read)
        if words.query is not None:
            wish = self._remembering.wish(words.query, limit=_DEEP)
            answer = await self._remembering.recall(wish, count=False)
            for place, one in enumerate(answer.found, start=1):
                if one.memory.id == words.memory:
                    told["score"] = {**_recalled(one), "place": place}
            told["note"] = answer.note
        return told

    async def _add(self, words: Add) -> dict[str, Any]:
        if not words.text.strip():
            raise BadRequest(problem="a memory needs a text")
        row = self._row(words, project_id=await self._project(words.project))
        made = await self._remembering.remember(row, instead_of=words.instead_of)
        return {"memory": shown(made)}

    async def _forget(self, words: Forget) -> dict[str, Any]:
        erased = 0
        if words.now:
            erased = await self._forgetting.forget_now(words.memory)
            forgotten = await self._database.query(lambda c: memories.get(c, words.memory))
        else:
            forgotten = await self._remembering.forget(words.memory)
        told = shown(forgotten, without=("text",))
        return {"memory": told, "erased": words.now, "episodes": erased}

    async def _restore(self, words: One) -> dict[str, Any]:
        return {"memory": shown(await self._remembering.restore(words.memory))}

    async def _history(self, words: One) -> dict[str, Any]:
        found = await self._database.query(lambda c: memories.history(c, words.memory))
        return {"memories": [shown(one) for one in found]}

    async def _core_words(self, words: CoreWords) -> dict[str, Any]:
        at = self._clock.now()

        def write(connection: Connection) -> dict[str, Any]:
            self._change_core(connection, words, at=at)
            text = self._core.notice(connection, at=at)
            versions = core_versions.list_all(connection, limit=100 if words.history else 5)
            told = [shown(one, without=() if words.history else ("text",)) for one in versions]
            return {"text": text, "lines": text.count("\n"), "versions": told}

        return await self._database.write(write)

    def _change_core(self, connection: Connection, words: CoreWords, *, at: datetime) -> None:
        reason = "written with pm"
        if words.accept is not None or words.refuse is not None:
            chosen = words.accept if words.accept is not None else words.refuse or 0
            yes = words.accept is not None
            self._core.answer(connection, chosen, yes=yes, at=at)
            wishes.settle(connection, chosen, yes=yes, via="pm", at=at)
        elif words.undo:
            self._core.undo(connection, at=at)
        elif words.text is not None:
            self._core.write(connection, words.text, by=OWNER, reason=reason, at=at)
        elif words.line is not None:
            now = self._core.notice(connection, at=at)
            text = with_line(now, section=words.section or "Rules", line=words.line)
            self._core.write(connection, text, by=OWNER, reason=reason, at=at)

    async def _export(self, words: Export) -> dict[str, Any]:
        found = await self._database.query(
            lambda c: memories.list_all(
                c, everything=words.everything, after=words.after, limit=_PAGE
            )
        )
        more = found[-1].id if len(found) == _PAGE else None
        return {"memories": [shown(one, without=("revision",)) for one in found], "more": more}

    async def _import(self, words: Import) -> dict[str, Any]:
        """An id of an export becomes a key here, so that importing twice doubles nothing."""
        known = set(Add.model_fields)
        added = 0
        for given in words.memories:
            told = {name: value for name, value in given.items() if name in known}
            told.setdefault("key", None)
            told["key"] = told["key"] or f"import:{given.get('id')}:{given.get('created_at')}"
            told.pop("project", None)
            checked = validated(Add, {k: v for k, v in told.items() if v is not None}, op="import")
            row = self._row(checked, project_id=None)
            if await self._database.query(partial(memories.is_known, row=row)):
                continue
            await self._remembering.remember(row)
            added += 1
        return {"added": added, "known": len(words.memories) - added}

    async def _stats(self, _: Nothing) -> dict[str, Any]:
        told = await self._remembering.status()
        days = await asyncio.to_thread(self._episodes.days)

        def read(connection: Connection) -> dict[str, Any]:
            last = nights.find_last(connection)
            ended = last.ended_at if last is not None else None
            night = {"ended": ended.isoformat() if ended else None, **(last.counts if last else {})}
            return {"capture": captures.counts(connection), "consolidation": night}

        return {**told, **await self._database.query(read), "episode_days": len(days)}

    async def _consolidate(self, _: Nothing) -> dict[str, Any]:
        return {"told": await self._consolidating.by_hand()}

    async def _episode_words(self, words: EpisodeWords) -> dict[str, Any]:
        if words.search is not None:
            found = await asyncio.to_thread(self._episodes.search, words.search, limit=words.limit)
            return {"episodes": [{**_episode(one), "score": score} for one, score in found]}
        now = self._clock.now().astimezone(self._zone)
        try:
            day = now.date() if words.day is None else datetime.fromisoformat(words.day).date()
        except ValueError as error:
            raise BadRequest(problem=f"memory.episodes: {words.day} is no day") from error
        lines = await asyncio.to_thread(self._episodes.read, day)
        return {"episodes": [_episode(one) for one in lines[-words.limit :]]}

    def _row(self, words: Add, *, project_id: int | None) -> Memory:
        at = self._clock.now()
        values = words.model_dump(exclude={"project", "instead_of", "valid_from"})
        return Memory(
            **values, project_id=project_id, valid_from=words.valid_from or at, created_at=at
        )

    async def _project(self, name_or_id: int | str | None) -> int | None:
        return await self._database.query(lambda c: project_id_of(c, name_or_id))


def _operation(
    name: str, kind: type[Params], run: Callable[[Any], Awaitable[dict[str, Any]]], *, mark: str
) -> AsyncOperation:
    async def operation(*, peer: Peer | None, **words: Any) -> dict[str, Any]:
        if peer is not None and await asyncio.to_thread(peer.is_worker, mark):
            words = restrained(name, words)
        return await run(validated(kind, words, op=name))

    return operation


def _recalled(one: Recalled) -> dict[str, Any]:
    parts = {
        "relevance": one.relevance,
        "recency": one.recency,
        "importance": one.importance,
        "use": one.use,
        "cosine": one.cosine,
        "lexical": one.lexical,
    }
    return {
        **shown(one.memory),
        "score": round(one.score, 4),
        "parts": {name: round(value, 4) for name, value in parts.items()},
        "notes": one.notes,
    }


def _episode(one: Episode) -> dict[str, Any]:
    return {
        "ref": one.ref,
        "at": one.at.astimezone(UTC).isoformat(),
        "kind": one.kind,
        "text": one.text,
        "trust": one.trust,
        "source": one.source,
        "folded": one.folded,
    }
