"""Plans: steps shown before anything starts."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, String, cast, exists, literal, select

from agentos.domain.plan import PlanDraft
from agentos.domain.states import PLANS, Actor, PlanState, check
from agentos.domain.talk import Outgoing
from agentos.domain.work import Plan
from agentos.store import events, rows

PLAN = rows.table_of(Plan)
OUTBOX = rows.table_of(Outgoing)


def add(connection: Connection, plan: Plan) -> Plan:
    """A new plan, proposed."""
    made = rows.add(connection, plan)
    events.record(
        connection, "plan_proposed", at=plan.created_at, message_id=plan.message_id, plan_id=made.id
    )
    return made


def get(connection: Connection, plan_id: int) -> Plan:
    """The plan with this id. Raises NotFound."""
    return rows.get(connection, Plan, plan_id)


def find_for_message(connection: Connection, message_id: int | None) -> Plan | None:
    """The newest plan that was made of a message, or None."""
    if message_id is None:
        return None
    statement = select(PLAN).where(PLAN.c.message_id == message_id).order_by(PLAN.c.id.desc())
    return rows.fetch_one(connection, Plan, statement.limit(1))


def list_open(connection: Connection) -> list[Plan]:
    """Plans that wait for the owner's word, or are being changed, the newest first."""
    open_ = PLAN.c.state.in_([PlanState.proposed, PlanState.changing])
    return rows.fetch(connection, Plan, select(PLAN).where(open_).order_by(PLAN.c.id.desc()))


def find_open(connection: Connection, conversation: str) -> Plan | None:
    """The newest of these in a conversation, or None."""
    found = (plan for plan in list_open(connection) if plan.conversation == conversation)
    return next(found, None)


def find_changing(connection: Connection, conversation: str) -> Plan | None:
    """The plan of a conversation that waits for the words of a change, or None."""
    statement = (
        select(PLAN)
        .where(PLAN.c.conversation == conversation, PLAN.c.state == PlanState.changing)
        .order_by(PLAN.c.id.desc())
        .limit(1)
    )
    return rows.fetch_one(connection, Plan, statement)


def move(connection: Connection, plan_id: int, new: PlanState, *, by: Actor, at: datetime) -> None:
    """Move a plan on. Raises WrongState when `by` may not."""
    plan = get(connection, plan_id)
    check(PLANS, plan.state, new, by=by, noun="plan", name=plan_id)
    rows.change(connection, Plan, plan_id, state=new, updated_at=at)
    events.record(connection, f"plan_{new.value}", at=at, plan_id=plan_id)


def revise(connection: Connection, plan_id: int, draft: PlanDraft, *, at: datetime) -> Plan:
    """Put a new draft in the place of one that was being changed; its version goes up."""
    plan = get(connection, plan_id)
    move(connection, plan_id, PlanState.proposed, by=Actor.front_desk, at=at)
    values: dict[str, Any] = draft.model_dump(mode="json")
    rows.change(connection, Plan, plan_id, version=plan.version + 1, updated_at=at, **values)
    return get(connection, plan_id)


def list_unclosed(connection: Connection) -> list[Plan]:
    """Approved plans whose end has not been told: there is no outbox row `plan-done:<id>`."""
    key = literal("plan-done:").concat(cast(PLAN.c.id, String))
    told = exists().where(OUTBOX.c.key == key)
    statement = select(PLAN).where(PLAN.c.state == PlanState.approved, ~told).order_by(PLAN.c.id)
    return rows.fetch(connection, Plan, statement)
