"""Triage: which of five a message is. One structured call to the fast model, or plain rules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from agentos import log as logs
from agentos.config import Config
from agentos.domain.classifier import classify
from agentos.domain.frames import Access, Assignment, TurnEnded, TurnUsage
from agentos.domain.ports import Clock
from agentos.domain.schemas import read_answer, schema_of
from agentos.domain.triage import Clarify, Defer, Respond, Triage
from agentos.engine.sessions import Sessions
from agentos.frontdesk import words
from agentos.frontdesk.intake import Intake
from agentos.frontdesk.surroundings import Surroundings
from agentos.home import Home
from agentos.prompts import render

log = logs.get(__name__)
LOCAL_RULES = "local rules"
SCHEMA = schema_of(Triage)
# Of one request, so many questions are enough.
MOST_QUESTIONS = 2
# Core memory is for the chat and the workers, too; triage needs the top of it.
_MEMORY = 4_000
# While the model was down a moment ago, nobody waits for it as long as usual.
_OUTAGE_PATIENCE = timedelta(seconds=15)
_OUTAGE_FRESH = timedelta(minutes=2)
_FARTHEST = timedelta(days=3660)
_ASKED = re.compile(r"\s*\(Asked: .*$", re.DOTALL)


@dataclass(frozen=True)
class Decided:
    """A decision, who made it, and what that used."""

    triage: Triage
    by: str
    usage: TurnUsage | None = None
    # Why the model did not decide, when it did not: words that follow "the model".
    cause: str | None = None
    # The owner has not been told of this outage yet.
    tell: bool = False


class Triager:
    """Decides messages in a warm session that forgets each one at once."""

    def __init__(self, sessions: Sessions, *, config: Config, home: Home, clock: Clock) -> None:
        self._clock = clock
        self._model = config.models.fast
        self._timeout = timedelta(seconds=config.engine.triage_timeout_seconds)
        self._failed_at: datetime | None = None
        self._outage_told = False
        assignment = Assignment(
            backend="claude",
            model=self._model,
            system_prompt=system_prompt(),
            access=Access.none,
            working_folder=str(home.desk),
            output_schema=SCHEMA,
            forget_between_turns=True,
        )
        self._session = sessions.open(assignment, title="triage")

    async def warm(self) -> None:
        """Have the session ready ahead of the first message."""
        await self._session.warm()

    async def decide(self, intake: Intake, around: Surroundings) -> Decided:
        """Decide a message. It takes a while, but it always decides."""
        prompt = user_prompt(intake, around)
        ended = await self._session.turn(prompt, timeout=self._patience())
        raw = _with_offset(ended, zone=around.zone)
        triage = read_answer(Triage, raw)
        if triage is None:
            return self._decide_locally(intake, around, ended)
        self._failed_at, self._outage_told = None, False
        by = ended.usage.model or self._model
        return Decided(triage=sane(triage, now=around.now), by=by, usage=ended.usage)

    def outage_told(self) -> None:
        """The owner knows now; the next outage is told again."""
        self._outage_told = True

    def _decide_locally(self, intake: Intake, around: Surroundings, ended: TurnEnded) -> Decided:
        log.warning(
            "triage_by_local_rules",
            failure=ended.failure.value if ended.failure else "nonsense",
            problem=ended.problem or ended.text[:200],
        )
        self._failed_at = self._clock.now()
        triage = sane(classify(intake.shown, now=around.now), now=around.now)
        return Decided(
            triage=triage,
            by=LOCAL_RULES,
            usage=ended.usage,
            cause=words.cause(ended),
            tell=not self._outage_told,
        )

    def _patience(self) -> timedelta:
        failed_at = self._failed_at
        if failed_at is not None and self._clock.now() - failed_at < _OUTAGE_FRESH:
            return min(self._timeout, _OUTAGE_PATIENCE)
        return self._timeout


def system_prompt() -> str:
    """The fixed part, the same for every message, so that it is cached."""
    return render("triage.md.j2")


def user_prompt(intake: Intake, around: Surroundings) -> str:
    """The part that is about this message."""
    return render(
        "triage_message.md.j2",
        core_memory=around.core_memory[:_MEMORY],
        recalled=around.recalled,
        cards=around.cards,
        talk=around.talk,
        files=intake.files,
        reply=around.replied,
        forwarded_from=intake.forwarded_from,
        quoted=intake.quoted,
        text=intake.shown,
        **around.times(),
    )


def sane(triage: Triage, *, now: datetime) -> Triage:
    """The decision, unless it is a reminder for a time that no reminder can have: then a question.

    What a question and its answer have added to a message is taken out of a reminder's words.
    """
    decision = triage.decision
    if not isinstance(decision, Defer):
        return triage
    if not now < decision.at < now + _FARTHEST:
        question = Clarify(
            outcome="clarify", question=words.WHEN_INSTEAD, options=list(words.WHEN_OPTIONS)
        )
        return Triage(reason="the time is not ahead of us", decision=question)
    reminder = _ASKED.sub("", decision.reminder).strip(" ,.;:") or words.NAMELESS_REMINDER
    return triage.model_copy(
        update={"decision": decision.model_copy(update={"reminder": reminder})}
    )


def unstuck(decided: Decided, intake: Intake, *, now: datetime) -> Decided:
    """After enough questions about one request: what the rules make of it, or else an answer."""
    triage = sane(classify(intake.shown, now=now), now=now)
    if isinstance(triage.decision, Clarify):
        triage = Triage(reason="asked often enough", decision=Respond(outcome="respond"))
    return replace(decided, triage=triage, by=LOCAL_RULES)


def _with_offset(ended: TurnEnded, *, zone: ZoneInfo) -> TurnEnded:
    """A time without an offset is meant in the owner's zone."""
    decision = (ended.structured or {}).get("decision")
    if not isinstance(decision, Mapping) or not isinstance(decision.get("at"), str):
        return ended
    try:
        at = datetime.fromisoformat(decision["at"])
    except ValueError:
        return ended
    if at.tzinfo is not None:
        return ended
    local: dict[str, Any] = {**decision, "at": at.replace(tzinfo=zone).isoformat()}
    structured = {**(ended.structured or {}), "decision": local}
    return ended.model_copy(update={"structured": structured})
