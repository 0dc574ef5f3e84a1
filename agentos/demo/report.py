"""What is known at the end: each step with its checks, and what all of it took."""

from dataclasses import dataclass, field
from typing import Any


class Stuck(Exception):
    """The story cannot go on; the message says what did not happen."""


@dataclass
class Check:
    """Something the step claims, and whether it was so."""

    claim: str
    holds: bool


@dataclass
class Step:
    """One step of the story. `problem` says why it could not be played to its end.

    One is skipped when the service, which it needs, does not run.
    """

    name: str
    about: str
    needs_service: bool = True
    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""
    skipped: bool = False

    @property
    def passed(self) -> bool:
        """Played to its end, something was claimed, and all of it was so."""
        played = not self.skipped and not self.problem and bool(self.checks)
        return played and all(one.holds for one in self.checks)

    @property
    def verdict(self) -> str:
        """In one word."""
        return "skipped" if self.skipped else "ok" if self.passed else "failed"


@dataclass(frozen=True)
class Totals:
    """What the whole story took. Tokens and dollars are what the service wrote down itself."""

    messages_in: int = 0
    messages_out: int = 0
    files: int = 0
    jobs: int = 0
    tool_calls: int = 0
    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    slowest_acknowledgement_ms: int = 0


@dataclass
class Report:
    """The whole story."""

    steps: list[Step]
    totals: Totals
    seconds: float
    # Where everything lies, when it was kept to be looked at.
    kept: str | None = None

    @property
    def passed(self) -> bool:
        """Every step was played and passed."""
        return all(step.passed for step in self.steps)

    @property
    def failed(self) -> list[str]:
        """The names of the steps that were played and did not pass."""
        return [step.name for step in self.steps if step.verdict == "failed"]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "ok": self.passed,
            "failed": self.failed,
            "seconds": round(self.seconds, 1),
            "steps": [
                {
                    "step": step.name,
                    "verdict": step.verdict,
                    "seconds": round(step.seconds, 2),
                    "checks": [{"claim": one.claim, "ok": one.holds} for one in step.checks],
                    "problem": step.problem or None,
                }
                for step in self.steps
            ],
            "totals": {**vars(self.totals)},
            "kept": self.kept,
        }
