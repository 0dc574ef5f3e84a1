"""What a turn of the Codex CLI has used.

On its output a resumed session tells the sum of all its turns, and a failed turn tells nothing; the
session's file (`sessions/…/rollout-<time>-<id>.jsonl`) has each turn's own count.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from agentos.domain.frames import TurnUsage

_ID = re.compile(r"[0-9a-fA-F-]{36}")
# What follows the start of a turn in the file is the turn; a longer one than this is counted from
# what the CLI tells.
_MOST_READ = 256 * 1024 * 1024


class Counted(BaseModel):
    """Tokens as the CLI counts them; those of the cache are among the input."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0


class _Record(BaseModel):
    """One request to the model: what it used, and what its turn has used with it."""

    usage: Counted = Counted()
    turn_token_usage: Counted


@dataclass(frozen=True)
class Use:
    """What the last turn of a session used, and how much of its context the session fills."""

    turn: TurnUsage
    session_tokens: int | None


def of_turn(session_id: str, *, state: Path, model: str, told: Counted | None) -> Use:
    """The last turn's use; `told` is what the CLI said, for a session without a file."""
    found = _from_file(session_id, state=state)
    usage = _as_ours(found.turn if found else told or Counted(), model=model)
    return Use(usage, found.context if found else None)


def _as_ours(counted: Counted, *, model: str) -> TurnUsage:
    """OpenAI counts what came from the cache among the input."""
    cached = min(counted.cached_input_tokens, counted.input_tokens)
    written = min(counted.cache_write_input_tokens, counted.input_tokens - cached)
    return TurnUsage(
        model=model,
        input_tokens=counted.input_tokens - cached - written,
        output_tokens=counted.output_tokens,
        cache_read_tokens=cached,
        cache_write_tokens=written,
    )


@dataclass(frozen=True)
class _Found:
    turn: Counted
    context: int | None


def _from_file(session_id: str, *, state: Path) -> _Found | None:
    """The count of the turn that was begun last; zeros when it got no answer, None without file."""
    if not _ID.fullmatch(session_id):
        return None
    found = sorted(state.glob(f"sessions/*/*/*/rollout-*-{session_id}.jsonl"))
    try:
        if not found or found[-1].stat().st_size > _MOST_READ:
            return None
        lines = found[-1].read_bytes().splitlines()
    except OSError:
        return None
    counted: dict[str, Counted] = {}
    context: int | None = None
    for payload in _payloads(reversed(lines)):
        turn = str(payload.get("turn_id"))
        if payload.get("type") == "task_started":
            return _Found(counted.get(turn, Counted()), context)
        try:
            record = _Record.model_validate(payload)
        except ValidationError:
            continue
        # Read backwards, the first of a turn is its last and has the turn's sum.
        counted.setdefault(turn, record.turn_token_usage)
        if context is None:
            context = record.usage.input_tokens + record.usage.output_tokens
    return None


def _payloads(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """What a line of interest holds; most lines are long and of none."""
    for line in lines:
        if b"turn_token_usage" in line or b'"task_started"' in line:
            try:
                payload = json.loads(line)["payload"]
            except (ValueError, KeyError, TypeError):
                continue  # the last line of a killed run may be half
            if isinstance(payload, dict):
                yield payload
