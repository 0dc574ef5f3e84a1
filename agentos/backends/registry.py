"""Each backend by its name. Only a worker imports this: it brings the Agent SDK along."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agentos.backends.capabilities import check_known
from agentos.backends.claude import ClaudeBackend
from agentos.backends.claude_tools import Ask
from agentos.backends.cli_backend import CliBackend
from agentos.backends.codex import CodexDialect
from agentos.backends.echo import EchoBackend
from agentos.backends.gemini import GeminiBackend
from agentos.backends.opencode import OpencodeBackend
from agentos.backends.reach import Reach
from agentos.domain.ports import Backend

MayUse = Callable[[str, Mapping[str, Any]], Awaitable[str | None]]


def make(name: str, *, may_use: MayUse, ask: Ask | None = None) -> Backend:
    """A backend, not yet open; `ask` answers the tools that its assignment has.

    Raises BadRequest for a name that no backend has, BackendMissing for one that is not in use.
    """
    match name:
        case "claude":
            return ClaudeBackend(may_use=may_use, ask=ask)
        case "echo":
            return EchoBackend(may_use=may_use)
        case "codex":
            return CliBackend(CodexDialect(Reach.of(name, os.environ)))
        case "gemini":
            return GeminiBackend(Reach.of(name, os.environ), may_use=may_use)
        case "opencode":
            return OpencodeBackend(Reach.of(name, os.environ), may_use=may_use)
    check_known(name)
    raise AssertionError(f"{name} is known, and nothing makes it")
