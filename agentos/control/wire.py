"""What is said over the control socket: one JSON object a line. Standard library only.

A request `{"id": 1, "op": "job.list", "params": {}}` is answered by `{"id": 1, "result": ...}` or
`{"id": 1, "error": {"kind", "message", "fields"}}`. Besides these the daemon may push
`{"event": ...}` on a connection that asked for it.
"""

import json
from typing import Any

from agentos import errors
from agentos.errors import AgentosError, BadRequest

LINE_LIMIT = 16 * 1024 * 1024
# Where the terminal's conversation is, and so what is said about work nobody asked for by chat.
TERMINAL = "terminal:main"
INTERNAL = "the daemon met a fault of its own; its log has the details"


def encode(message: dict[str, Any]) -> bytes:
    """One message as one line. Raises BadRequest when it is longer than the other side reads."""
    line = json.dumps(message, default=str).encode() + b"\n"
    if len(line) > LINE_LIMIT:
        raise BadRequest(problem=f"this is {len(line) >> 20} MB, more than the socket carries")
    return line


def decode(line: bytes) -> dict[str, Any]:
    """Read one line. Raises BadRequest when it is not a JSON object."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise BadRequest(problem="a line on the control socket must be one JSON object")
    return message


def error_reply(request_id: object, error: AgentosError | None) -> dict[str, Any]:
    """The answer to a request that failed; None stands for a fault that is not the caller's."""
    error = error or AgentosError(reason=INTERNAL)
    fields = {name: str(value) for name, value in error.fields.items()}
    told = {"kind": type(error).__name__, "message": str(error), "fields": fields}
    return {"id": request_id, "error": told}


def error_of(told: dict[str, Any]) -> AgentosError:
    """The error that the daemon told, as the class that it has here."""
    kind = getattr(errors, str(told.get("kind")), None)
    if isinstance(kind, type) and issubclass(kind, AgentosError):
        try:
            return kind(**told.get("fields", {}))
        except (KeyError, TypeError):  # a daemon of another version
            pass
    return AgentosError(reason=told.get("message", INTERNAL))
