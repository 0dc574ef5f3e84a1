"""Big work: a plan is drafted and shown; nothing of it starts before the owner's Go."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from agentos import log as logs
from agentos.config import Config
from agentos.domain.frames import Access, Assignment, TurnUsage
from agentos.domain.ledger import Purpose
from agentos.domain.plan import PlanDraft, Step
from agentos.domain.schemas import read_answer, schema_of
from agentos.domain.states import MessageState, PlanState
from agentos.domain.talk import Card, CardKind, Message
from agentos.domain.triage import BigWork
from agentos.domain.work import Plan, TaskKind
from agentos.engine.sessions import Sessions
from agentos.frontdesk import effects, presses, words
from agentos.frontdesk.effects import Ways
from agentos.frontdesk.errands import Resting
from agentos.frontdesk.estimates import estimate
from agentos.frontdesk.intake import File
from agentos.frontdesk.revision import compare
from agentos.frontdesk.surroundings import Surroundings
from agentos.home import Home
from agentos.prompts import render
from agentos.store import messages, outbox, plans, progress

log = logs.get(__name__)
SCHEMA = schema_of(PlanDraft)
_TIMEOUT = timedelta(seconds=180)
_MEMORY = 6_000


@dataclass(frozen=True)
class Drafted:
    """A draft, what it used, and why no model made it, when none did."""

    draft: PlanDraft
    usage: TurnUsage
    cause: str | None = None


class Planner:
    """Drafts plans with the deep model, each from nothing."""

    def __init__(self, sessions: Sessions, *, config: Config, home: Home, resting: Resting) -> None:
        self._resting = resting
        assignment = Assignment(
            backend="claude",
            model=config.models.deep,
            system_prompt=render("plan.md.j2"),
            access=Access.none,
            working_folder=str(home.desk),
            output_schema=SCHEMA,
            forget_between_turns=True,
        )
        self._session = sessions.open(assignment, title="plans")

    async def draft(
        self,
        request: str,
        *,
        files: tuple[File, ...],
        around: Surroundings,
        before: Plan | None = None,
        change: str | None = None,
    ) -> Drafted:
        """Draft a plan, or redraft `before` as `change` asks.

        It always brings one: the request as a single step, or the plan as it was, with the cause.
        """
        prompt = request_prompt(request, files=files, around=around, before=before, change=change)
        self._resting.busy(self._session)
        ended = await self._session.turn(prompt, timeout=_TIMEOUT)
        self._resting.idle(self._session)
        draft = read_answer(PlanDraft, ended)
        if draft is not None:
            return Drafted(draft=draft, usage=ended.usage)
        log.warning(
            "plan_not_drafted",
            failure=ended.failure.value if ended.failure else "nonsense",
            problem=ended.problem,
        )
        plain = single_step(request) if before is None else draft_of(before)
        return Drafted(draft=plain, usage=ended.usage, cause=words.cause(ended))


def request_prompt(
    request: str,
    *,
    files: tuple[File, ...],
    around: Surroundings,
    before: Plan | None,
    change: str | None,
) -> str:
    """What the planner reads."""
    steps = draft_of(before).model_dump(mode="json") if before is not None else None
    return render(
        "plan_request.md.j2",
        core_memory=around.core_memory[:_MEMORY],
        recalled=around.recalled,
        files=files,
        request=request,
        plan=json.dumps(steps, ensure_ascii=False, indent=1),
        change=change,
        **around.times(),
    )


def single_step(request: str) -> PlanDraft:
    """The whole request as one step, for when nobody can draft."""
    plain = " ".join(request.split())
    title = plain if len(plain) <= 80 else plain[:79].rstrip() + "…"
    # Research has all tools and promises least about the form of the result.
    step = Step(title=title, kind=TaskKind.research, prompt=request[:8000], minutes=15)
    return PlanDraft(goal=plain[:600], steps=[step])


def draft_of(plan: Plan) -> PlanDraft:
    """A stored plan as a draft again."""
    told = {"goal": plan.goal, "steps": plan.steps, "risks": plan.risks, "asks": plan.asks}
    return PlanDraft.model_validate(told)


def propose(
    connection: Connection,
    message: Message,
    work: BigWork,
    drafted: Drafted,
    *,
    model: str = "",
    at: datetime,
) -> None:
    """Keep a new plan, show it with its card, and be done with the message: one transaction."""
    assert message.id is not None
    if messages.get(connection, message.id).state is MessageState.handled:
        return
    row = Plan(
        message_id=message.id,
        conversation=message.conversation,
        title=work.title,
        request=work.request,
        created_at=at,
        updated_at=at,
        **drafted.draft.model_dump(mode="json"),
    )
    note = words.one_step_only(drafted.cause) if drafted.cause else ""
    _show(connection, plans.add(connection, row), message, note=note, model=model, at=at)
    effects.record_usage(connection, drafted.usage, purpose=Purpose.plan, message=message, at=at)
    effects.finish(connection, message, at=at)


def propose_changed(
    connection: Connection,
    message: Message,
    plan_id: int,
    drafted: Drafted,
    *,
    model: str = "",
    at: datetime,
) -> None:
    """Put the redraft in the place of the plan that was being changed, and show it anew."""
    assert message.id is not None
    if messages.get(connection, message.id).state is MessageState.handled:
        return
    before = plans.get(connection, plan_id)
    if before.state is not PlanState.changing:
        text = words.plan_is_decided(before.state)
        effects.say(connection, message, text, key="answer", at=at)
    else:
        revised = plans.revise(connection, plan_id, drafted.draft, at=at)
        note = words.unchanged(drafted.cause) if drafted.cause else ""
        old, new = draft_of(before).steps, drafted.draft.steps
        _show(connection, revised, message, note=note, model=model, at=at, was=(old, new))
    effects.record_usage(connection, drafted.usage, purpose=Purpose.plan, message=message, at=at)
    effects.finish(connection, message, at=at)


def begin(
    connection: Connection, plan: Plan, *, files: Sequence[File], ways: Ways, at: datetime
) -> None:
    """The owner said Go: make its tasks and jobs, and say so where its progress will be shown."""
    started = effects.start_steps(connection, plan, files=files, ways=ways, at=at)
    said = outbox.say(
        connection,
        key=f"plan-go:{plan.id}:{plan.version}",
        conversation=plan.conversation,
        text=words.plan_started(len(started)),
        at=at,
        buttons=presses.buttons_of(started[0]),
        message_id=plan.message_id,
    )
    progress.open_(connection, said.id or 0, plan_id=plan.id)


def key_of(plan: Plan) -> str:
    """The outbox key of the message that shows this version of a plan."""
    return f"plan:{plan.id}:{plan.version}"


def _show(
    connection: Connection,
    plan: Plan,
    message: Message,
    *,
    note: str,
    model: str,
    at: datetime,
    was: tuple[Sequence[Step], Sequence[Step]] | None = None,
) -> None:
    """Show a plan with its card; `was` holds the steps before and after a change."""
    card = Card(
        kind=CardKind.plan,
        channel=message.channel,
        conversation=message.conversation,
        question=f"Plan: {plan.title}",
        options=[dict(option) for option in words.PLAN_OPTIONS],
        plan_id=plan.id,
        message_id=message.id,
        created_at=at,
    )
    text = words.plan(
        plan,
        note=note,
        model=model,
        estimates=estimate(connection, draft_of(plan).steps),
        revision=compare(*was) if was is not None else None,
    )
    effects.show(connection, card, text=text, key=key_of(plan), at=at, side_by_side=True)


def remember_change(
    connection: Connection,
    message: Message,
    plan: Plan,
    *,
    excuses: Sequence[str],
    at: datetime,
) -> None:
    """Note that a message says what to change, so that a restart goes on with it."""
    assert message.id is not None
    decision = {"outcome": "big_work", "title": plan.title, "changes_plan": plan.id}
    triage = {"reason": "the owner was asked what to change", "decision": decision}
    messages.set_triage(connection, message.id, triage, by="the plan's card", at=at)
    messages.move(connection, message.id, MessageState.planning, at=at)
    effects.make_excuses(connection, message, excuses, at=at)


def changed_plan_of(message: Message) -> int | None:
    """The plan whose change a message says, or None."""
    decision = (message.triage or {}).get("decision") or {}
    plan_id: int | None = decision.get("changes_plan")
    return plan_id
