"""Which of the waiting jobs start now, and why the others do not. Pure: rows in, a choice out.

The order is that of their turns (`domain.work.turn_of`); what is decided here is how far down the
queue there is room. Urgent work has a slot of its own, and no limit that is meant to keep
something free for the owner holds it back.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, auto

from agentos.domain.work import Job, Lane
from agentos.store.jobs import Barred


class Hold(StrEnum):
    """What keeps a job that is due and has all it needs from starting."""

    draining = auto()
    backend_rests = auto()
    pool = auto()
    machine = auto()
    slots = auto()
    project = auto()
    template = auto()
    backpressure = auto()
    window = auto()


@dataclass(frozen=True)
class Limits:
    """How much may run at once; a limit of 0 on projects, templates or tokens is none."""

    slots: int
    project_slots: int = 0
    template_slots: int = 0
    window_tokens: int = 0
    backpressure: float = 1.0
    deep_queue: int = 1


@dataclass(frozen=True)
class Under:
    """What is under way."""

    running: int = 0
    projects: Counter[int] = field(default_factory=Counter)
    templates: Counter[str] = field(default_factory=Counter)
    # What the running jobs are expected to use or have used, whichever is more.
    tokens: int = 0

    def and_(self, job: Job) -> "Under":
        """With one job more."""
        return Under(
            running=self.running + 1,
            projects=self.projects + Counter([job.project_id] if job.project_id else []),
            templates=self.templates + Counter([job.template] if job.template else []),
            tokens=self.tokens + job.tokens,
        )


@dataclass(frozen=True)
class Supply:
    """What there is to be used, in words where it is scarce."""

    # Backends that take nothing at all, and those of which the rest is the owner's; until when.
    resting: Mapping[str, str] = field(default_factory=dict)
    spared: Mapping[str, str] = field(default_factory=dict)
    # For resting backends, those that take their jobs meanwhile.
    detours: Mapping[str, str] = field(default_factory=dict)
    # Used in the last five minutes, by runs that have ended.
    window_used: int = 0
    depth: int = 0
    # Why the machine takes urgent work only; empty when it does not mind.
    strain: str = ""
    draining: bool = False


@dataclass(frozen=True)
class Held:
    """A job that does not start now, and why."""

    job: Job
    hold: Hold
    words: str


@dataclass(frozen=True)
class Choice:
    """The jobs to start, in this order, and those that are held."""

    start: list[Job]
    held: list[Held]


def choose(ready: Sequence[Job], *, under: Under, supply: Supply, limits: Limits) -> Choice:
    """Go down the queue and start what there is room for; `ready` is in the order of turns."""
    start: list[Job] = []
    held: list[Held] = []
    for job in ready:
        hold = holds(job, under=under, supply=supply, limits=limits)
        if hold is None:
            start.append(job)
            under = under.and_(job)
        else:
            held.append(hold)
    return Choice(start, held)


def holds(job: Job, *, under: Under, supply: Supply, limits: Limits) -> Held | None:
    """What holds this job back now, or None when it may start."""
    urgent = job.lane == Lane.urgent
    if supply.draining:
        return Held(job, Hold.draining, "the daemon is ending; it goes on after the next start")
    if job.backend in supply.resting and not detour(job, supply):
        return Held(job, Hold.backend_rests, supply.resting[job.backend])
    if not urgent and job.backend in supply.spared:
        return Held(job, Hold.pool, supply.spared[job.backend])
    if not urgent and supply.strain:
        return Held(job, Hold.machine, f"{supply.strain}: only urgent work starts")
    if under.running >= limits.slots + urgent:
        return Held(job, Hold.slots, _slots_words(limits, urgent=urgent))
    if _is_full(under.projects, job.project_id, limits.project_slots):
        return Held(job, Hold.project, f"its project has {limits.project_slots} running already")
    if _is_full(under.templates, job.template, limits.template_slots):
        many = f"{limits.template_slots} running already"
        return Held(job, Hold.template, f"its template {job.template} has {many}")
    return None if urgent else _window_holds(job, under, supply, limits)


def detour(job: Job, supply: Supply) -> str | None:
    """The backend that takes this job instead of its own; a worker that was named keeps its own."""
    return supply.detours.get(job.backend) if job.wants_worker_id is None else None


def barred(*, under: Under, supply: Supply, limits: Limits) -> Barred:
    """What of the queue need not be looked at, because `holds` would hold all of it."""
    only_urgent = (
        under.running >= limits.slots
        or bool(supply.strain)
        or _is_pressed(under, supply, limits)
        or supply.draining
    )
    return Barred(
        last_lane=Lane.urgent if only_urgent else Lane.background,
        backends=[each for each in supply.resting if each not in supply.detours],
        spared=tuple(supply.spared),
        projects=[
            each for each in under.projects if _is_full(under.projects, each, limits.project_slots)
        ],
        templates=[
            each
            for each in under.templates
            if _is_full(under.templates, each, limits.template_slots)
        ],
    )


def _window_holds(job: Job, under: Under, supply: Supply, limits: Limits) -> Held | None:
    """Whether five minutes' tokens are too scarce for a job that can wait."""
    if not limits.window_tokens:
        return None
    used = supply.window_used + under.tokens
    share = round(100 * used / limits.window_tokens)
    if _is_pressed(under, supply, limits):
        words = f"{share} % of five minutes' tokens are used and {supply.depth} jobs wait"
        return Held(job, Hold.backpressure, f"{words}: only urgent work starts")
    # One that is bigger than the whole window starts when nothing else is under way.
    if used and used + job.tokens > limits.window_tokens:
        words = f"it may use {job.tokens:,} tokens, and {share} % of five minutes' are used"
        return Held(job, Hold.window, words)
    return None


def _is_pressed(under: Under, supply: Supply, limits: Limits) -> bool:
    used = supply.window_used + under.tokens
    deep = supply.depth >= limits.deep_queue
    return (
        bool(limits.window_tokens) and deep and used >= limits.backpressure * limits.window_tokens
    )


def _is_full(counts: Mapping[int, int] | Mapping[str, int], key: object, limit: int) -> bool:
    return bool(limit) and key is not None and counts.get(key, 0) >= limit  # type: ignore[call-overload]


def _slots_words(limits: Limits, *, urgent: bool) -> str:
    slots = "the one slot is" if limits.slots == 1 else f"all {limits.slots} slots are"
    return f"{slots} taken, and the urgent one, too" if urgent else f"{slots} taken"
