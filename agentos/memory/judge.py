"""The judge: one structured question to a model without tools about what is worth remembering.

What it reads is quoted, numbered, and says whose word it is. What it answers are proposals, and
nothing more: `capture` decides what of them may be done.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Protocol
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from agentos.domain.frames import Access, Assignment, Failure, TurnEnded, TurnUsage
from agentos.domain.memory import Category, Memory, Origin, Trust
from agentos.domain.schemas import read_answer, schema_of
from agentos.home import Home
from agentos.prompts import render

_PATIENCE = timedelta(seconds=90)
_UTC = ZoneInfo("UTC")
MOST_PROPOSALS = 20
LONGEST_TEXT = 500
# These are of the far end, or of the way there; what else goes wrong is an answer we cannot use.
_OUTAGES = frozenset(
    {Failure.transient, Failure.rate_limited, Failure.authentication, Failure.crashed}
)


def _moment(value: Any) -> datetime | None:
    """A time that a model wrote; what is none, or has no offset, was not said."""
    if value is None or isinstance(value, datetime):
        found = value
    else:
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            return None
    if found is None or found.tzinfo is None:
        return None
    try:
        return found.astimezone(UTC)
    except OverflowError:
        return None


def _share(value: Any) -> float:
    """A share, whatever was written: a number is brought between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ValueError("a number between 0 and 1")
    return min(1.0, max(0.0, float(value)))


class Proposal(BaseModel):
    """One thing to remember, and what it does to what is remembered already."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    action: Literal["add", "supersede", "ignore"]
    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
    category: Category
    importance: Annotated[float, BeforeValidator(_share)]
    # The numbers of the lines it comes from.
    lines: Annotated[list[int], Field(max_length=100)]
    # The ids of the memories that it replaces.
    instead_of: Annotated[list[int], Field(max_length=20)]
    valid_from: Annotated[datetime | None, BeforeValidator(_moment)]
    valid_to: Annotated[datetime | None, BeforeValidator(_moment)]


class Judgement(BaseModel):
    """All that is worth remembering of what was read; nothing is a fine answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    memories: list[Proposal]


class _Loose(BaseModel):
    """The same before its parts are looked at: one that is wrong does not spoil the others."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    memories: Annotated[list[dict[str, Any]], Field(max_length=MOST_PROPOSALS)]


class _One(BaseModel):
    memory: Proposal


SCHEMA = schema_of(Judgement)


@dataclass(frozen=True)
class Line:
    """One thing that was said or done."""

    who: str
    at: datetime
    text: str
    trust: Trust
    origin: Origin
    # Where it stands: "message:40", "job:12", "2026-11-21:7".
    ref: str


@dataclass(frozen=True)
class Question:
    """What a judge is asked. All lines are of people we trust, or all are from outside."""

    now: datetime
    about: str
    lines: Sequence[Line]
    near: Sequence[Memory]
    # Of those, what the conversation had been given: hearing it again is no news.
    injected: Collection[int] = ()
    # In which times are told: "tomorrow" is the owner's.
    zone: ZoneInfo = _UTC

    @property
    def outside(self) -> bool:
        """Whether it is somebody else's word."""
        return any(line.trust is Trust.outside for line in self.lines)


@dataclass(frozen=True)
class Verdict:
    """What a judge answered."""

    proposals: list[Proposal] = field(default_factory=list)
    # Proposals that were none.
    broken: int = 0
    usage: TurnUsage | None = None
    # Why there is no answer: none came, or it was nonsense.
    outage: str = ""
    nonsense: str = ""
    retry_after: timedelta | None = None


class Judging(Protocol):
    """Who answers such questions."""

    async def judge(self, question: Question) -> Verdict:
        """Answer one. It never raises for the far end's faults: the verdict names them."""
        ...

    async def rest(self) -> None:
        """Nothing is asked for a while."""
        ...


class Asking(Protocol):
    """A structured session, as `engine.sessions` opens it."""

    async def turn(
        self,
        prompt: str,
        *,
        timeout: timedelta,  # noqa: ASYNC109
    ) -> TurnEnded:
        """Ask and wait."""
        ...

    async def close(self) -> None:
        """End its child; the next turn starts another."""
        ...


class Judge:
    """Asks a session that forgets each question at once."""

    def __init__(self, session: Asking) -> None:
        self._session = session

    async def judge(self, question: Question) -> Verdict:
        """Ask; the verdict says what came, or why nothing did."""
        return read_verdict(await self._session.turn(user_prompt(question), timeout=_PATIENCE))

    async def rest(self) -> None:
        """End the child: it is a quarter of a gigabyte that nobody needs for now."""
        await self._session.close()


class Nobody:
    """No judge: while no daemon runs there is no model to ask."""

    async def judge(self, question: Question) -> Verdict:
        """No answer."""
        return Verdict(outage="the service is not running, and it has the model")

    async def rest(self) -> None:
        """Nothing to end."""


def assignment(home: Home, *, model: str) -> Assignment:
    """The session of a judge: no tools, one schema, nothing kept from turn to turn."""
    return Assignment(
        backend="claude",
        model=model,
        system_prompt=system_prompt(),
        access=Access.none,
        working_folder=str(home.desk),
        output_schema=SCHEMA,
        forget_between_turns=True,
    )


def system_prompt() -> str:
    """The fixed part, the same for every question, so that it is cached."""
    return render("judge.md.j2", most=MOST_PROPOSALS, longest=LONGEST_TEXT)


def user_prompt(question: Question) -> str:
    """The part that is about this material."""
    zone = question.zone
    return render(
        "judge_material.md.j2",
        now=f"{_minute(question.now, zone)} ({zone.key})",
        about=question.about,
        outside=question.outside,
        near=[
            {
                "row": one,
                "given": one.id in question.injected,
                "day": _minute(one.valid_from, zone)[:10],
            }
            for one in question.near
        ],
        lines=[
            {"number": number, "who": one.who, "when": _minute(one.at, zone), "text": one.text}
            for number, one in enumerate(question.lines, start=1)
        ],
    )


def read_verdict(ended: TurnEnded) -> Verdict:
    """What a turn brought."""
    seconds = ended.retry_after_seconds
    wait = timedelta(seconds=min(seconds, 86_400)) if seconds is not None else None
    if ended.failure in _OUTAGES:
        outage = f"{ended.failure.value}: {ended.problem[:200]}"
        return Verdict(usage=ended.usage, outage=outage, retry_after=wait)
    loose = read_answer(_Loose, ended)
    if loose is None:
        # Never its words: they are of what it read, and may have to be forgotten.
        cause = ended.failure.value if ended.failure else "not an answer to the question"
        return Verdict(usage=ended.usage, nonsense=cause)
    found = [_proposal(one) for one in loose.memories]
    good = [one for one in found if one is not None]
    return Verdict(proposals=good, broken=len(found) - len(good), usage=ended.usage)


def _proposal(told: dict[str, Any]) -> Proposal | None:
    """One of them; a text that is too long is cut."""
    filled = {"lines": [], "instead_of": [], "valid_from": None, "valid_to": None, **told}
    try:
        return Proposal.model_validate(filled)
    except ValidationError:
        ended = TurnEnded(turn_id="", structured={"memory": filled})
        again = read_answer(_One, ended)
        return None if again is None else again.memory


def _minute(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(timespec="minutes")
