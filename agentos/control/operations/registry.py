"""All operations on the rows, by name."""

from typing import Any

from agentos.control.operations.cards import CARD_OPERATIONS
from agentos.control.operations.engine import ENGINE_OPERATIONS
from agentos.control.operations.jobs import JOB_OPERATIONS
from agentos.control.operations.needs import NEED_OPERATIONS
from agentos.control.operations.operation import Operation
from agentos.control.operations.people import PEOPLE_OPERATIONS
from agentos.control.operations.policy import POLICY_OPERATIONS
from agentos.control.operations.projects import PROJECT_OPERATIONS
from agentos.control.operations.tasks import TASK_OPERATIONS
from agentos.control.operations.workers import WORKER_OPERATIONS
from agentos.errors import BadRequest

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        *PEOPLE_OPERATIONS,
        *PROJECT_OPERATIONS,
        *TASK_OPERATIONS,
        *JOB_OPERATIONS,
        *NEED_OPERATIONS,
        *WORKER_OPERATIONS,
        *ENGINE_OPERATIONS,
        *CARD_OPERATIONS,
        *POLICY_OPERATIONS,
    )
}


def unknown(op: object) -> BadRequest:
    """The error for an operation that nobody knows."""
    nouns: dict[str, Any] = {}
    for name in OPERATIONS:
        noun, _, verb = name.partition(".")
        nouns.setdefault(noun, []).append(verb)
    known = "; ".join(f"{noun}.{'|'.join(verbs)}" for noun, verbs in nouns.items())
    return BadRequest(problem=f"there is no operation {op!r}; there is {known}")
