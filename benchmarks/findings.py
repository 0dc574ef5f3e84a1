"""What a trial finds: how much there was, what went wrong, and how soon things went on."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

# The promises, each by the name of its breach.
BREACHES = (
    "jobs lost",
    "jobs settled twice",
    "two live runs of a job",
    "two processes of a job",
    "orphan processes",
    "leaked reservations",
    "sessions not resumed",
    "messages lost",
    "broken files",
    "errors logged",
    "not at rest",
)


def _times() -> defaultdict[str, list[float]]:
    return defaultdict(list)


@dataclass
class Findings:
    """The figures of one trial, or of many."""

    runs: int = 0
    # How much there was of what.
    amounts: Counter[str] = field(default_factory=Counter)
    breaches: Counter[str] = field(default_factory=Counter)
    # How often each fault struck.
    faults: Counter[str] = field(default_factory=Counter)
    # Seconds from a fault until an interrupted job ran again, by fault.
    back: defaultdict[str, list[float]] = field(default_factory=_times)
    problems: list[str] = field(default_factory=list)

    def breach(self, name: str, words: str) -> None:
        """A promise was broken."""
        assert name in BREACHES
        self.breaches[name] += 1
        self.problems.append(f"{name}: {words}")

    def add(self, other: "Findings") -> None:
        """Add another trial's."""
        self.runs += other.runs
        for mine, theirs in (
            (self.amounts, other.amounts),
            (self.breaches, other.breaches),
            (self.faults, other.faults),
        ):
            mine.update(theirs)
        for label, seconds in other.back.items():
            self.back[label] += seconds
        self.problems += other.problems
