"""What workers may do without asking, and what the owner has decided beside it."""

from typing import Any

from sqlalchemy import Connection

from agentos.control.operations.operation import Here, Limit, Operation, Params, RowId
from agentos.control.operations.shown import Names, shown
from agentos.domain.rules import MAY, WHY, May
from agentos.domain.talk import Grant
from agentos.engine.rules import rules_for
from agentos.store import grants


class PolicyShow(Params):
    """How many decisions."""

    limit: Limit = 50


class PolicyRevoke(Params):
    """Which decision."""

    grant: RowId


def show(connection: Connection, params: PolicyShow, here: Here) -> dict[str, Any]:
    """The rules by kind and persona, and the newest decisions."""
    policy = here.config.policy
    by_kind = {kind: rules_for(policy, kind=kind, persona=None) for kind in MAY}
    personas = {name: rules_for(policy, kind="", persona=name) for name in policy.personas}
    names = Names(connection)
    return {
        "kinds": {kind: _rules(rules.model_dump(mode="json")) for kind, rules in by_kind.items()},
        "personas": {
            name: _rules(rules.model_dump(mode="json")) for name, rules in personas.items()
        },
        "meanings": {may.value: WHY[may] for may in May},
        "decisions": [
            _line(grant, names) for grant in grants.list_all(connection, limit=params.limit)
        ],
    }


def revoke(connection: Connection, params: PolicyRevoke, here: Here) -> dict[str, Any]:
    """Take a decision back: from the next turn on it is asked again."""
    grant = grants.revoke(connection, params.grant, at=here.at)
    return {"grant": _line(grant, Names(connection))}


def _rules(dumped: dict[str, Any]) -> dict[str, Any]:
    return {**dumped, "may": sorted(dumped["may"])}


def _line(grant: Grant, names: Names) -> dict[str, Any]:
    line = shown(grant)
    line["project"] = names.project(grant.project_id)
    line["state"] = _state(grant)
    return line


def _state(grant: Grant) -> str:
    if grant.revoked_at is not None:
        return "revoked"
    if grant.used_at is not None:
        return "used"
    return "allowed" if grant.allowed else "refused"


POLICY_OPERATIONS = (
    Operation(name="policy.show", writes=False, params=PolicyShow, run=show),
    Operation(name="policy.revoke", writes=True, params=PolicyRevoke, run=revoke),
)
