"""The states of everything that has a life, and who may move it from one to the next.

Each table reads: from this state, to that one, moved by these actors. What is not in the table
cannot happen; `check` says so with the words a person needs.
"""

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import TypeVar

from agentos.errors import WrongState


class Actor(StrEnum):
    """Who moves a state."""

    owner = auto()
    front_desk = auto()
    engine = auto()
    gate = auto()
    channel = auto()


class ProjectState(StrEnum):
    """Where an area of work stands."""

    active = auto()
    paused = auto()
    pending_approval = auto()
    done = auto()
    archived = auto()


class TaskState(StrEnum):
    """Where an outcome stands; `ready` is delivered, `done` is reviewed too."""

    proposed = auto()
    pending = auto()
    running = auto()
    reviewing = auto()
    ready = auto()
    done = auto()
    waiting = auto()
    failed = auto()
    cancelled = auto()


class PlanState(StrEnum):
    """Where a plan stands; nothing of it runs before `approved`."""

    proposed = auto()
    changing = auto()
    approved = auto()
    dropped = auto()


class JobState(StrEnum):
    """Where a job stands in the queue."""

    queued = auto()
    running = auto()
    parked = auto()
    done = auto()
    failed = auto()
    cancelled = auto()


class RunState(StrEnum):
    """How an attempt goes, or how it ended."""

    starting = auto()
    running = auto()
    done = auto()
    failed = auto()
    timed_out = auto()
    cancelled = auto()
    interrupted = auto()


class WorkerState(StrEnum):
    """Whether a worker can take a job."""

    idle = auto()
    working = auto()
    retired = auto()


class MessageState(StrEnum):
    """How far the answer to a message is."""

    received = auto()
    answering = auto()
    planning = auto()
    handled = auto()
    ignored = auto()


class OutboxState(StrEnum):
    """How far something we say is."""

    held = auto()  # until the quiet hours end
    pending = auto()
    sending = auto()
    sent = auto()
    failed = auto()


class SteerState(StrEnum):
    """Whether a job knows what it was told while it was under way."""

    waiting = auto()  # no session has it yet
    told = auto()  # a session was given it, and has not said that it took it in
    heard = auto()
    moved = auto()  # the job ended before it heard it: another goes on with it
    dropped = auto()  # the job is not wanted any more


class CardState(StrEnum):
    """Whether a question is open, and how it ended if not."""

    open = auto()
    answered = auto()
    expired = auto()
    cancelled = auto()


LIVE_RUNS = (RunState.starting, RunState.running)
FINISHED_JOBS = (JobState.done, JobState.failed, JobState.cancelled)

S = TypeVar("S", bound=StrEnum)
Transitions = Mapping[S, Mapping[S, frozenset[Actor]]]


def _by(*actors: Actor) -> frozenset[Actor]:
    return frozenset(actors)


_OWNER = _by(Actor.owner)
_ENGINE = _by(Actor.engine)
_OWNER_OR_ENGINE = _by(Actor.owner, Actor.engine)
_DESK = _by(Actor.front_desk)

PROJECTS: Transitions[ProjectState] = {
    ProjectState.active: {
        ProjectState.paused: _OWNER,
        ProjectState.pending_approval: _by(Actor.owner, Actor.engine, Actor.gate),
        ProjectState.archived: _OWNER,
    },
    ProjectState.paused: {ProjectState.active: _OWNER, ProjectState.archived: _OWNER},
    # A project ends by the owner's tap alone.
    ProjectState.pending_approval: {ProjectState.done: _OWNER, ProjectState.active: _OWNER},
    ProjectState.done: {ProjectState.archived: _OWNER, ProjectState.active: _OWNER},
    ProjectState.archived: {ProjectState.active: _OWNER},
}

TASKS: Transitions[TaskState] = {
    TaskState.proposed: {TaskState.pending: _OWNER, TaskState.cancelled: _OWNER},
    TaskState.pending: {
        TaskState.running: _ENGINE,
        TaskState.waiting: _ENGINE,
        TaskState.cancelled: _OWNER_OR_ENGINE,
    },
    TaskState.running: {
        TaskState.pending: _ENGINE,
        TaskState.reviewing: _ENGINE,
        TaskState.ready: _ENGINE,
        TaskState.waiting: _ENGINE,
        TaskState.failed: _ENGINE,
        TaskState.cancelled: _OWNER_OR_ENGINE,
    },
    TaskState.reviewing: {
        TaskState.ready: _by(Actor.gate),
        TaskState.pending: _by(Actor.gate),
        TaskState.waiting: _by(Actor.gate),
        TaskState.failed: _by(Actor.gate),
        TaskState.cancelled: _OWNER,
    },
    # `done` also needs a passing review by another model; the database checks that itself.
    TaskState.ready: {
        TaskState.done: _by(Actor.gate),
        TaskState.reviewing: _by(Actor.gate),
        TaskState.pending: _OWNER,
        TaskState.cancelled: _OWNER,
    },
    TaskState.waiting: {
        TaskState.pending: _OWNER_OR_ENGINE,
        TaskState.cancelled: _OWNER_OR_ENGINE,
    },
    TaskState.failed: {TaskState.pending: _OWNER, TaskState.cancelled: _OWNER},
    TaskState.done: {},
    TaskState.cancelled: {},
}

PLANS: Transitions[PlanState] = {
    PlanState.proposed: {
        PlanState.approved: _OWNER,
        PlanState.changing: _OWNER,
        PlanState.dropped: _OWNER,
    },
    PlanState.changing: {PlanState.proposed: _DESK, PlanState.dropped: _OWNER},
    PlanState.approved: {},
    PlanState.dropped: {},
}

JOBS: Transitions[JobState] = {
    JobState.queued: {
        JobState.running: _ENGINE,
        JobState.parked: _ENGINE,  # a question is open
        JobState.done: _ENGINE,  # a reminder needs no run
        JobState.failed: _ENGINE,
        JobState.cancelled: _OWNER_OR_ENGINE,
    },
    JobState.running: {
        JobState.queued: _ENGINE,
        JobState.parked: _ENGINE,
        JobState.done: _ENGINE,
        JobState.failed: _ENGINE,
        JobState.cancelled: _OWNER_OR_ENGINE,
    },
    JobState.parked: {
        JobState.queued: _OWNER_OR_ENGINE,
        JobState.cancelled: _OWNER_OR_ENGINE,
    },
    JobState.done: {},
    JobState.failed: {JobState.queued: _OWNER},
    JobState.cancelled: {},
}

RUNS: Transitions[RunState] = {
    RunState.starting: {
        RunState.running: _ENGINE,
        RunState.failed: _ENGINE,
        RunState.timed_out: _ENGINE,
        RunState.cancelled: _ENGINE,
        RunState.interrupted: _ENGINE,
    },
    RunState.running: {
        RunState.done: _ENGINE,
        RunState.failed: _ENGINE,
        RunState.timed_out: _ENGINE,
        RunState.cancelled: _ENGINE,
        RunState.interrupted: _ENGINE,
    },
    RunState.done: {},
    RunState.failed: {},
    RunState.timed_out: {},
    RunState.cancelled: {},
    RunState.interrupted: {},
}

WORKERS: Transitions[WorkerState] = {
    WorkerState.idle: {WorkerState.working: _ENGINE, WorkerState.retired: _OWNER_OR_ENGINE},
    WorkerState.working: {WorkerState.idle: _ENGINE, WorkerState.retired: _ENGINE},
    WorkerState.retired: {},
}

MESSAGES: Transitions[MessageState] = {
    MessageState.received: {
        MessageState.answering: _DESK,
        MessageState.planning: _DESK,
        MessageState.handled: _DESK,
    },
    MessageState.answering: {MessageState.handled: _DESK},
    MessageState.planning: {MessageState.handled: _DESK},
    MessageState.handled: {},
    MessageState.ignored: {},
}

OUTBOX: Transitions[OutboxState] = {
    OutboxState.held: {OutboxState.pending: _DESK},
    OutboxState.pending: {OutboxState.sending: _by(Actor.channel)},
    OutboxState.sending: {
        OutboxState.sent: _by(Actor.channel),
        OutboxState.pending: _by(Actor.channel),
        OutboxState.failed: _by(Actor.channel),
    },
    OutboxState.sent: {},
    OutboxState.failed: {OutboxState.pending: _OWNER},
}

CARDS: Transitions[CardState] = {
    CardState.open: {
        CardState.answered: _OWNER,
        CardState.expired: _ENGINE,
        CardState.cancelled: _by(Actor.owner, Actor.engine, Actor.front_desk),
    },
    CardState.answered: {},
    CardState.expired: {},
    CardState.cancelled: {},
}

_STEER_ENDS = {
    SteerState.heard: _ENGINE,
    SteerState.moved: _ENGINE,
    SteerState.dropped: _OWNER_OR_ENGINE,
}
STEERS: Transitions[SteerState] = {
    SteerState.waiting: {SteerState.told: _ENGINE, **_STEER_ENDS},
    # A run that broke off before it took it in leaves it to the next, which is told it again.
    SteerState.told: dict(_STEER_ENDS),
    SteerState.heard: {},
    SteerState.moved: {},
    SteerState.dropped: {},
}


def allowed(table: Transitions[S], old: S, new: S, *, by: Actor) -> bool:
    """Whether `by` may move something from `old` to `new`."""
    return by in table.get(old, {}).get(new, frozenset())


def check(table: Transitions[S], old: S, new: S, *, by: Actor, noun: str, name: object) -> None:
    """Raise WrongState unless `by` may move this thing from `old` to `new`."""
    if not allowed(table, old, new, by=by):
        problem = f"the {by.value.replace('_', ' ')} cannot make it {new.value}"
        raise WrongState(noun=noun, name=name, state=old.value, problem=problem)
