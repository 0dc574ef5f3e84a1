"""What a job asks of the owner: a question, or whether it may use a tool. The answer comes later.

The session is told at once that the owner is asked, and to end its turn. At the end of the run the
job is parked (`engine.settling`), and the answer is the prompt of its next turn.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.cards import ASKING, approval_text, buttons_of, question_text
from agentos.domain.frames import APPROVE, USE_GRANT, Answered, Asked, Tool
from agentos.domain.ports import Clock
from agentos.domain.rules import Request
from agentos.domain.states import FINISHED_JOBS, Actor, CardState, JobState
from agentos.domain.talk import Card, CardKind, Scope
from agentos.domain.work import Job
from agentos.engine.capacity import shown
from agentos.errors import WrongState
from agentos.prompts import render
from agentos.store import cards, grants, jobs, messages, outbox, tasks
from agentos.store.database import Database

ASK_OWNER = "ask_owner"
_NOWHERE = "terminal:main"
# A session that asks more than this does not think.
_MOST_OPEN, _MOST_ASKED = 5, 30
_KEYS = "abcdefgh"
NO = "no"


class _Words(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Option(_Words):
    """One way to answer."""

    label: Annotated[str, Field(min_length=1, max_length=60, pattern=r"\S")]
    consequence: Annotated[str, Field(max_length=300)] = ""


class AskOwner(_Words):
    """One question, with two to eight ways to answer; without any it is answered in words."""

    question: Annotated[str, Field(min_length=1, max_length=1500, pattern=r"\S")]
    options: Annotated[list[Option], Field(default_factory=list, max_length=len(_KEYS))]


class _Use(_Words):
    grant: Annotated[int, Field(ge=1)]


class Questions:
    """Answers for the daemon what a run asks of the owner."""

    def __init__(self, database: Database, *, clock: Clock, config: Config) -> None:
        self._database = database
        self._clock = clock
        self._lasts = timedelta(days=config.cards.days)
        self._zone = config.owner.zone
        self.tools = [
            Tool(name=ASK_OWNER, description=render(f"tool_{ASK_OWNER}.md.j2"), parameters=_SCHEMA)
        ]

    @staticmethod
    def answers(tool: str) -> bool:
        """Whether this is asked here."""
        return tool in (ASK_OWNER, APPROVE, USE_GRANT)

    async def answer(self, asked: Asked, *, job: Job) -> Answered:
        """Open the card, or use up what was allowed. What is answered is for the session to read.

        Of `USE_GRANT` anything but a failure is a yes; of `APPROVE` everything is a no for now.
        """
        at = self._clock.now()
        try:
            text = await self._database.write(
                lambda connection: self._do(connection, asked, job, at)
            )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            return Answered(ask_id=asked.ask_id, text=f"{where}: {first['msg']}", failed=True)
        except _No as no:
            return Answered(ask_id=asked.ask_id, text=str(no), failed=True)
        return Answered(ask_id=asked.ask_id, text=text)

    def _do(self, connection: Connection, asked: Asked, job: Job, at: datetime) -> str:
        assert job.id is not None
        now = jobs.get(connection, job.id)
        if now.state in FINISHED_JOBS:
            raise _No("This task is over.")
        if asked.tool == USE_GRANT:
            use = _Use.model_validate(asked.arguments)
            if not grants.use(connection, use.grant, job_id=job.id, at=at):
                raise _No("That was allowed once, and is used up. Ask again if need be.")
            return "It is used up now."
        if asked.tool == APPROVE:
            request = Request.model_validate(asked.arguments)
            card = approve(connection, now, request, lasts=self._lasts, zone=self._zone, at=at)
            return render("tool_asked.md.j2", card=card.id, why=request.why)
        words = AskOwner.model_validate(asked.arguments)
        card = ask(
            connection,
            now,
            question=words.question.strip(),
            options=[
                {"key": key, "label": one.label.strip(), "consequence": one.consequence}
                for key, one in zip(_KEYS, words.options, strict=False)
            ],
            expires_at=at + self._lasts,
            zone=self._zone,
            at=at,
        )
        return render("tool_asked.md.j2", card=card.id, why="")


class _No(Exception):
    """It is not done, for this reason."""


def ask(
    connection: Connection,
    job: Job | None,
    *,
    question: str,
    options: Sequence[dict[str, str]],
    at: datetime,
    zone: ZoneInfo,
    expires_at: datetime | None,
    other: bool = True,
    task_id: int | None = None,
    conversation: str | None = None,
) -> Card:
    """Open a card for a job, or for a task that has none; the same question again is the same card.

    A job that has not begun waits for the answer; one that runs is parked at the end of its run.
    """
    task_id = job.task_id if job is not None else task_id
    if job is not None:
        for card in _open_of(connection, job):
            if card.kind is CardKind.ask and card.question == question:
                return card
    card = Card(
        kind=CardKind.ask,
        question=question,
        options=list(options),
        other=other or not options,
        task_id=task_id,
        expires_at=expires_at,
        **_place_of(connection, job, conversation),
        created_at=at,
    )
    opened = cards.open_card(connection, card)
    title = job.title if job is not None else _title_of(connection, task_id)
    until = shown(expires_at, now=at, zone=zone) if expires_at is not None else ""
    _show(connection, opened, question_text(opened, title=title, until=until), at=at)
    if job is not None and job.state is JobState.queued:
        jobs.move(connection, job.id or 0, JobState.parked, by=Actor.engine, at=at)
    return opened


def approve(
    connection: Connection,
    job: Job,
    request: Request,
    *,
    lasts: timedelta,
    zone: ZoneInfo,
    at: datetime,
) -> Card:
    """Ask whether a job may do exactly this; asked again while it is open it is the same card."""
    asked = request.model_dump(mode="json", exclude={"detail"})
    for card in _open_of(connection, job):
        if card.request is not None and _same(card.request, asked):
            return card
    options = [
        {"key": Scope.once.value, "label": "Once", "consequence": "This one time."},
        {"key": Scope.job.value, "label": "For this job", "consequence": "Until it is done."},
    ]
    if job.project_id is not None:
        always = {"label": "Always for this project", "consequence": "In all its jobs."}
        options.append({"key": Scope.project.value, **always})
    options.append({"key": NO, "label": "No", "consequence": "It is not done."})
    expires_at = at + lasts
    card = Card(
        kind=CardKind.approve,
        question=f"{job.title}: may it {request.verb}?",
        options=options,
        detail=request.detail,
        request=asked,
        task_id=job.task_id,
        expires_at=expires_at,
        **_place_of(connection, job, None),
        created_at=at,
    )
    opened = cards.open_card(connection, card)
    until = shown(expires_at, now=at, zone=zone)
    _show(connection, opened, approval_text(opened, title=job.title, until=until), at=at)
    return opened


def go_on(connection: Connection, card: Card, *, by: Actor, at: datetime) -> None:
    """A card of a job has ended: a job that is parked goes on, unless it waits for another one.

    One that still runs is queued at the end of its run, because it was not told.
    """
    if card.job_id is None or card.kind not in ASKING:
        return
    job = jobs.get(connection, card.job_id)
    if job.state is JobState.parked and not cards.waits_for(connection, card.job_id):
        jobs.move(connection, card.job_id, JobState.queued, by=by, at=at, run_at=None)


def _open_of(connection: Connection, job: Job) -> list[Card]:
    """What a job waits for. Raises _No when it asks too much."""
    every = cards.list_for_job(connection, job.id or 0)
    waiting = [card for card in every if card.state is CardState.open and card.kind in ASKING]
    if len(waiting) > _MOST_OPEN or len(every) > _MOST_ASKED:
        raise _No(
            "You have asked enough. Decide by yourself what can be decided, or say in your "
            "summary what is open."
        )
    return waiting


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(name) == other[name] for name in ("tool", "pattern", "digest"))


def _place_of(connection: Connection, job: Job | None, conversation: str | None) -> dict[str, Any]:
    """Where it is asked: where the work was asked for, else where the owner spoke last."""
    where = (job.conversation if job is not None else None) or conversation
    where = where or messages.find_last_conversation(connection) or _NOWHERE
    return {
        "conversation": where,
        "channel": where.partition(":")[0],
        "job_id": job.id if job is not None else None,
        "message_id": job.message_id if job is not None else None,
    }


def _title_of(connection: Connection, task_id: int | None) -> str:
    return "A question" if task_id is None else tasks.get(connection, task_id).title


def _show(connection: Connection, card: Card, text: str, *, at: datetime) -> None:
    outbox.say(
        connection,
        key=f"card:{card.id}",
        conversation=card.conversation,
        text=text,
        at=at,
        buttons=buttons_of(card, side_by_side=False),
        card_id=card.id,
        job_id=card.job_id,
    )


def check_askable(job: Job) -> None:
    """Raises WrongState for a job that nothing can come of any more."""
    if job.state in FINISHED_JOBS:
        problem = "it has ended, so nobody would go on with the answer"
        raise WrongState(noun="job", name=job.id, state=job.state.value, problem=problem)


_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "maxLength": 1500},
        "options": {
            "type": "array",
            "maxItems": len(_KEYS),
            "items": {
                "type": "object",
                "properties": {"label": {"type": "string"}, "consequence": {"type": "string"}},
                "required": ["label"],
            },
        },
    },
    "required": ["question"],
}
