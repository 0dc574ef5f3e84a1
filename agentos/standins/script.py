"""What the Messages stand-in shall say, written down as JSON and checked before it is played."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agentos.errors import Misconfigured
from agentos.standins.controls import first_problem
from agentos.standins.placeholders import names_in

_PLAIN_NAMES = frozenset({"cwd", "artefacts", "prompt"})


class FaultKind(StrEnum):
    """How a request can go wrong."""

    rate_limit = "rate_limit"  # 429
    overloaded = "overloaded"  # 529
    server_error = "server_error"  # 500, 502 or 503
    auth = "auth"  # 401
    bad_request = "bad_request"  # 400
    not_found = "not_found"  # 404: there is no such model
    drop = "drop"  # the connection is cut in the middle of the answer
    drop_before = "drop_before"  # the connection is cut before the first byte
    stall = "stall"  # headers, then nothing for `seconds`, then cut
    nonsense = "nonsense"  # 200, and a body that is not the protocol
    slow = "slow"  # the right answer, spread over `seconds`


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fault(_Part):
    """What goes wrong instead of the reply, for the first `times` requests (None: always)."""

    kind: FaultKind
    times: int | None = Field(default=None, ge=1)
    status: int = Field(default=500, ge=500, le=599)
    seconds: float = Field(default=30.0, ge=0)
    retry_after: int | None = Field(default=None, ge=0)
    reset_at: AwareDatetime | None = None
    after_chunks: int = Field(default=4, ge=1)
    message: str | None = None


class Block(_Part):
    """One content block: exactly one of text, thinking, tool (with input) or structured."""

    text: str | None = None
    thinking: str | None = None
    tool: str | None = None
    input: dict[str, Any] | None = None
    structured: Any = None

    @model_validator(mode="after")
    def _one_of_four(self) -> Self:
        kinds = self.model_fields_set & {"text", "thinking", "tool", "structured"}
        if len(kinds) != 1:
            raise ValueError("a block has exactly one of text, thinking, tool, structured")
        if self.input is not None and kinds != {"tool"}:
            raise ValueError("only a block with a tool has an input")
        return self


class Reply(_Part):
    """One assistant response of a turn. `usage` replaces single fields of the counted usage."""

    blocks: list[Block] = Field(default_factory=list)
    delay_ms: int = Field(default=0, ge=0)
    chunk_delay_ms: int = Field(default=0, ge=0)
    usage: dict[str, Any] = Field(default_factory=dict)
    stop_reason: str | None = None
    fault: Fault | None = None

    @model_validator(mode="after")
    def _something_to_send(self) -> Self:
        if not self.blocks and self.fault is None:
            raise ValueError("a reply needs blocks or a fault")
        return self


class When(_Part):
    """What a request must look like; all that is given must hold. Regexes are searched."""

    system: re.Pattern[str] | None = None
    prompt: re.Pattern[str] | None = None
    model: re.Pattern[str] | None = None
    schema_property: str | None = None
    tool: str | None = None

    def groups(self) -> set[str]:
        """The names that {{match.NAME}} may use."""
        patterns = (self.system, self.prompt, self.model)
        return {name for pattern in patterns if pattern for name in pattern.groupindex}


class Rule(_Part):
    """One user turn, and the assistant responses that it gets one after the other."""

    name: str = ""
    when: When = Field(default_factory=When)
    times: int | None = Field(default=None, ge=1)
    turn: list[Reply] = Field(min_length=1)

    @model_validator(mode="after")
    def _known_placeholders(self) -> Self:
        known = _PLAIN_NAMES | {f"match.{name}" for name in self.when.groups()}
        used = names_in([reply.model_dump(include={"blocks"}) for reply in self.turn])
        if unknown := sorted(used - known):
            raise ValueError(f"nothing fills {{{{{unknown[0]}}}}}")
        return self


class Script(_Part):
    """The rules in the order they are tried; the first that fits serves the turn."""

    rules: list[Rule] = Field(default_factory=list)


def load_script(path: Path) -> Script:
    """Read a script file, or raise Misconfigured with one line that says where it is wrong."""
    try:
        return Script.model_validate_json(path.read_bytes())
    except OSError as unreadable:
        problem = unreadable.strerror or "cannot be read"
    except ValidationError as wrong:
        problem = first_problem(wrong)
    raise Misconfigured(where=path, problem=problem, mend="Correct the script and start again.")
