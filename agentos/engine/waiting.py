"""Why a job is not running, in one line for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto
from typing import assert_never
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.states import JobState, WorkerState
from agentos.domain.work import Job, NeedPolicy, Worker
from agentos.engine.lanes import Held
from agentos.store import jobs, rows, runs, workers

_TITLE = 28
_PROBLEM = 80


class Cause(StrEnum):
    """What sort of thing a job waits for."""

    due = auto()
    needs = auto()
    worker = auto()
    held = auto()
    turn = auto()
    daemon = auto()
    nothing = auto()


@dataclass(frozen=True)
class Waiting:
    """What a queued job waits for; `until` where that is a known moment."""

    cause: Cause
    words: str
    until: datetime | None = None
    hold: str | None = None


class Explainer:
    """Explains queued jobs on one view of the rows. `held` is None when no daemon runs."""

    def __init__(
        self,
        connection: Connection,
        *,
        now: datetime,
        zone: ZoneInfo,
        held: Sequence[Held] | None,
        startable: Sequence[int] = (),
    ) -> None:
        self._connection = connection
        self._now = now
        self._zone = zone
        self._held: Mapping[int | None, Held] | None = (
            None if held is None else {each.job.id: each for each in held}
        )
        self._startable = set(startable)
        self._busy: Mapping[int, Job] | None = None

    def why(self, job: Job) -> Waiting:
        """Why this queued job does not run."""
        assert job.id is not None
        if job.run_at is not None and job.run_at > self._now:
            return Waiting(Cause.due, self._due_words(job), until=job.run_at)
        if (needs := self._needs_words(job)) is not None:
            return Waiting(Cause.needs, needs)
        if self._held is None:
            return Waiting(Cause.daemon, "agentos is not running: `agentos up` starts it")
        if (busy := self._worker_words(job)) is not None:
            return Waiting(Cause.worker, busy)
        if (held := self._held.get(job.id)) is not None:
            return Waiting(Cause.held, held.words, hold=held.hold.value)
        if job.id in self._startable:
            return Waiting(Cause.nothing, "starts now")
        return Waiting(Cause.turn, "waits for its turn, far down the queue")

    def _due_words(self, job: Job) -> str:
        assert job.run_at is not None and job.id is not None
        until = moment(job.run_at, now=self._now, zone=self._zone)
        if not job.attempts:
            return f"due {until}"
        problem = _last_problem(self._connection, job.id)
        return f"tries again {until}" + (f", after: {problem}" if problem else "")

    def _needs_words(self, job: Job) -> str | None:
        assert job.id is not None
        needed = jobs.needs_of(self._connection, job.id)
        lost = (JobState.failed, JobState.cancelled)
        unmet = [
            one
            for one in needed
            if one.state is not JobState.done
            and not (job.if_needs_fail is NeedPolicy.go_on and one.state in lost)
        ]
        if not unmet:
            return None
        # What will not mend itself comes first: it is what somebody can do something about.
        first = min(unmet, key=lambda one: (one.state not in (*lost, JobState.parked), one.id or 0))
        more = f", and {len(unmet) - 1} more" if len(unmet) > 1 else ""
        return f"needs {named(first)}, {_state_words(first, job)}{more}"

    def _worker_words(self, job: Job) -> str | None:
        if job.wants_worker_id is None:
            return None
        worker = rows.find(self._connection, Worker, job.wants_worker_id)
        if worker is None or worker.state is WorkerState.idle:
            return None
        if worker.state is WorkerState.retired:
            return f"waits for worker {worker.name}, which is retired"
        if self._busy is None:
            self._busy = workers.at_work(self._connection)
        doing = self._busy.get(job.wants_worker_id)
        busy = f", busy with #{doing.id}" if doing is not None else ", which is busy"
        return f"waits for worker {worker.name}{busy}"


def named(job: Job) -> str:
    """A job by its number and title."""
    title = " ".join(job.title.split())
    return f"#{job.id} {title if len(title) <= _TITLE else title[: _TITLE - 1] + '…'}"


def moment(at: datetime, *, now: datetime, zone: ZoneInfo) -> str:
    """A time to come: "at 14:05 (in 20 min)", "tomorrow at 09:00", "on Fri 27 Nov at 09:00"."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    days = (local.date() - today).days
    if days == 0:
        return f"at {local:%H:%M} (in {_span(at - now)})"
    if days == 1:
        return f"tomorrow at {local:%H:%M}"
    year = f" {local.year}" if local.year != today.year else ""
    return f"on {local:%a} {local.day} {local:%b}{year} at {local:%H:%M}"


def _span(left: timedelta) -> str:
    seconds = max(0, round(left.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def _state_words(needed: Job, job: Job) -> str:
    match needed.state:
        case JobState.running:
            return "which runs"
        case JobState.queued:
            return "which waits, too"
        case JobState.parked:
            return "which waits for your answer"
        case JobState.failed if job.if_needs_fail is NeedPolicy.block:
            return f"which failed: `pm job retry {needed.id}` tries it again"
        case JobState.failed | JobState.cancelled:
            return f"which is {needed.state.value}, so it will not start"
        case JobState.done:
            return "which is done"
        case _:
            assert_never(needed.state)


def _last_problem(connection: Connection, job_id: int) -> str:
    last = runs.list_for_job(connection, job_id)[-1:]
    problem = " ".join((last[0].detail or "").split()) if last else ""
    return problem if len(problem) <= _PROBLEM else problem[: _PROBLEM - 1] + "…"
