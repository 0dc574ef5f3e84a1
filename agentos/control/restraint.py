"""What a worker may do to memory from its shell: read it, and add what counts as others' words.

A speed bump rather than a wall, as all checks of a shell are. Its tools are the way to remember.
"""

from typing import Any

from agentos.domain.memory import Origin, Trust
from agentos.errors import BadRequest

_OWNERS_ALONE = frozenset(
    {"memory.consolidate", "memory.forget", "memory.import", "memory.restore"}
)
_CORE_CHANGES = ("text", "line", "undo", "accept", "refuse")


def restrained(op: str, words: dict[str, Any]) -> dict[str, Any]:
    """The words of an operation as a worker may say them. Raises BadRequest for what it may not."""
    if op in _OWNERS_ALONE:
        raise BadRequest(problem=f"{op} is the owner's alone; ask for it in your summary")
    if op == "memory.core" and any(words.get(name) for name in _CORE_CHANGES):
        problem = "core memory is changed by the owner alone; propose it in your summary"
        raise BadRequest(problem=problem)
    if op == "memory.add":
        if words.get("instead_of"):
            problem = "what takes the place of a memory is the owner's to say; leave --instead-of"
            raise BadRequest(problem=problem)
        return {**words, "trust": Trust.outside.value, "origin": Origin.job.value}
    return words
