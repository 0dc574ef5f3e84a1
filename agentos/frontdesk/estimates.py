"""What the steps of a plan take and cost: as such steps usually did, else as it was guessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from agentos.domain.plan import Step
from agentos.store import expectations, usage

# What fewer jobs taught is no expectation yet.
_LEAST_SAMPLES = 3


@dataclass(frozen=True)
class Estimate:
    """Of one step; a cost of zero is one that nobody knows."""

    minutes: int
    cost: Decimal
    # It was learned, and not guessed.
    usual: bool = False


def guess(step: Step) -> Estimate:
    """What the planner says of a step."""
    return Estimate(step.minutes, round(Decimal(str(step.cost_usd)), 2))


def estimate(connection: Connection, steps: Sequence[Step]) -> list[Estimate]:
    """One for each step, in their order."""
    return [_estimate(connection, step) for step in steps]


def _estimate(connection: Connection, step: Step) -> Estimate:
    learned = expectations.find(connection, expectations.sort_of(step.kind))
    if learned is None or learned.samples < _LEAST_SAMPLES:
        return guess(step)
    cost = usage.mean_cost(connection, step.kind, least=_LEAST_SAMPLES)
    return Estimate(
        minutes=max(1, round(learned.seconds / 60)),
        cost=guess(step).cost if cost is None else round(cost, 2),
        usual=True,
    )
