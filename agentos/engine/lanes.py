"""Which of the waiting jobs start now, and why the others do not. Pure: rows in, a choice out.

The order is that of their turns (`domain.work.turn_of`); what is decided here is how far down the
queue there is room. Urgent work has a slot of its own, and no limit that is meant to keep
something free for the owner holds it back. It is one slot: while an urgent job has it, what waited
out its patience may fill all others, or a stream of urgent work would keep the rest waiting for
ever.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum, auto

from agentos.domain.work import Job, Lane
from agentos.store.jobs import Barred


class Hold(StrEnum):
    """What keeps a job that is due and has all it needs from starting."""

    draining = auto()
    paused = auto()
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
    # How many of them are urgent.
    urgent: int = 0
    projects: Counter[int] = field(default_factory=Counter)
    templates: Counter[str] = field(default_factory=Counter)
    # What the running jobs are expected to use or have used, whichever is more.
    tokens: int = 0

    def and_(self, job: Job) -> "Under":
        """With one job more."""
        return Under(
            running=self.running + 1,
            urgent=self.urgent + (job.lane == Lane.urgent),
            projects=self.projects + Counter([job.project_id] if job.project_id else []),
            templates=self.templates + Counter([job.template] if job.template else []),
            tokens=self.tokens + job.tokens,
        )


@dataclass(frozen=True)
class Supply:
    """What there is to be used, in words where it is scarce."""

    now: datetime
    # Backends that take nothing at all, and those of which the rest is the owner's; until when.
    resting: Mapping[str, str] = field(default_factory=dict)
    spared: Mapping[str, str] = field(default_factory=dict)
    # For resting backends, those that take their jobs meanwhile.
    detours: Mapping[str, str] = field(default_factory=dict)
    # Used in the last five minutes, by runs that have ended.
    window_used: int = 0
    # How many jobs wait, counted up to what makes the queue a deep one.
    depth: int = 0
    # Why the machine takes urgent work only; empty when it does not mind.
    strain: str = ""
    draining: bool = False
    # That the owner has paused it, and until when; empty when not.
    paused: str = ""


@dataclass(frozen=True)
class Held:
    """A job that does not start now, and why."""

    job: Job
    hold: Hold
    words: str


@dataclass(frozen=True)
class Choice:
    """The jobs to start, in this order, those that are held, and what is under way then."""

    start: list[Job]
    held: list[Held]
    under: Under


def choose(ready: Sequence[Job], *, under: Under, supply: Supply, limits: Limits) -> Choice:
    """Go down the queue and start what there is room for; `ready` is in the order of turns.

    The tokens that a job waits for are set aside for it: smaller ones behind it would keep the
    window full, and it would wait for ever.
    """
    start: list[Job] = []
    held: list[Held] = []
    for job in ready:
        hold = holds(job, under=under, supply=supply, limits=limits)
        if hold is None:
            start.append(job)
            under = under.and_(job)
        else:
            held.append(hold)
            if hold.hold is Hold.window:
                under = replace(under, tokens=under.tokens + job.tokens)
    return Choice(start, held, under)


def holds(job: Job, *, under: Under, supply: Supply, limits: Limits) -> Held | None:
    """What holds this job back now, or None when it may start."""
    urgent = job.lane == Lane.urgent
    backend = detour(job, supply) or job.backend
    if supply.paused:
        return Held(job, Hold.paused, supply.paused)
    if supply.draining:
        return Held(job, Hold.draining, "the daemon is ending; it goes on after the next start")
    if backend in supply.resting:
        return Held(job, Hold.backend_rests, supply.resting[backend])
    if not urgent and backend in supply.spared:
        return Held(job, Hold.pool, supply.spared[backend])
    if not urgent and supply.strain:
        return Held(job, Hold.machine, f"{supply.strain}: only urgent work starts")
    if not _has_slot(job, under, supply, limits):
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
    """What of the queue need not be looked at, because `holds` would hold all of it.

    It lets through what `choose` holds in one case alone: the first job that waits for tokens.
    """
    detours = supply.detours
    return Barred(
        last_lane=_last_lane(under, supply, limits),
        turn_by=supply.now if under.running >= limits.slots else None,
        backends=[each for each in supply.resting if each not in detours],
        spared=sorted(
            each for each in {*supply.spared, *detours} if detours.get(each, each) in supply.spared
        ),
        backends_by_name=tuple(supply.resting),
        spared_by_name=tuple(supply.spared),
        projects=[
            each for each in under.projects if _is_full(under.projects, each, limits.project_slots)
        ],
        templates=[
            each
            for each in under.templates
            if _is_full(under.templates, each, limits.template_slots)
        ],
    )


def _last_lane(under: Under, supply: Supply, limits: Limits) -> Lane | None:
    """The last lane of which anything can start."""
    if supply.draining or supply.paused or under.running > limits.slots:
        return None
    used, window = supply.window_used + under.tokens, limits.window_tokens
    only_urgent = (
        # The others are full, and the urgent slot is free.
        (under.running == limits.slots and not under.urgent)
        or bool(supply.strain)
        or _is_pressed(under, supply, limits)
        # There are not even tokens for a job that uses none.
        or 0 < window < used
    )
    return Lane.urgent if only_urgent else Lane.background


def _has_slot(job: Job, under: Under, supply: Supply, limits: Limits) -> bool:
    if job.lane == Lane.urgent or under.running < limits.slots:
        return under.running <= limits.slots
    is_overdue = job.turn_at is not None and job.turn_at <= supply.now
    return under.running == limits.slots and under.urgent > 0 and is_overdue


def _window_holds(job: Job, under: Under, supply: Supply, limits: Limits) -> Held | None:
    """Whether five minutes' tokens are too scarce for a job that can wait."""
    if not limits.window_tokens:
        return None
    used = supply.window_used + under.tokens
    share = round(100 * used / limits.window_tokens)
    if _is_pressed(under, supply, limits):
        words = f"{share} % of five minutes' tokens are used and {supply.depth} or more wait"
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
