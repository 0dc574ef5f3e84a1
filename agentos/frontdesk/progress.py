"""How work is getting on, in words: the one message of a job or a plan, and how it ends. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from agentos.domain.progress import Mark
from agentos.domain.states import FINISHED_JOBS, JobState
from agentos.domain.work import Job, Plan
from agentos.engine.lanes import Hold
from agentos.engine.waiting import Cause, Waiting
from agentos.frontdesk.lines import cut
from agentos.frontdesk.phrases import lasted, phrase
from agentos.log import redact

_TITLE = 80
# From so much more than usual on, that is worth a word.
_LONG = 1.5


@dataclass(frozen=True)
class JobView:
    """A job, when its first run began, and how long jobs like it usually take."""

    job: Job
    began_at: datetime | None = None
    usual: timedelta | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.job.state in FINISHED_JOBS

    @property
    def took(self) -> timedelta | None:
        """From the first run's start to the end; None when it never started, or has not ended."""
        if self.began_at is None or self.job.finished_at is None:
            return None
        return self.job.finished_at - self.began_at


@dataclass(frozen=True)
class PlanView:
    """A plan under way, with the jobs of its steps in their order."""

    plan: Plan
    steps: Sequence[JobView]

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return all(step.is_over for step in self.steps)


View = JobView | PlanView


@dataclass(frozen=True)
class Present:
    """What is known at the moment of looking, by job id: what each does, why each waits."""

    now: datetime
    doing: Mapping[int, str]
    waits: Mapping[int, str]


def text(view: View, present: Present) -> str:
    """What the message shows now, without any markup."""
    return redact(_plan(view, present) if isinstance(view, PlanView) else _job(view, present))


def ending(view: View) -> str:
    """What the message shows in the end, in one line for a job."""
    if isinstance(view, PlanView):
        lines = [f"{sign_of(mark_of(view))} {cut(view.plan.title, _TITLE)}{_plan_took(view)}"]
        return "\n".join([*lines, *_checklist(view, None)])
    took, title = view.took, cut(view.job.title, _TITLE)
    time = f" · {lasted(took)}" if took is not None else ""
    match view.job.state:
        case JobState.done:
            return f"✅ {title}{time}"
        case JobState.cancelled:
            return f"✕ {title} · stopped" + (f" after {lasted(took)}" if took else "")
        case _:
            return f"⚠ {title} · did not work out{time}"


def mark_of(view: View) -> Mark | None:
    """What is shown at the owner's message; None leaves it as it is."""
    if isinstance(view, JobView):
        return _MARKS[view.job.state]
    states = [step.job.state for step in view.steps]
    if not view.is_over:
        asks = JobState.parked in states and JobState.running not in states
        return Mark.asking if asks else Mark.working
    for state in (JobState.failed, JobState.cancelled):
        if state in states:
            return _MARKS[state]
    return Mark.done


def sign_of(mark: Mark | None) -> str:
    """The sign at the head of a message."""
    match mark:
        case Mark.done:
            return "✅"
        case Mark.failed:
            return "⚠"
        case Mark.stopped:
            return "✕"
        case Mark.asking:
            return "⏸"
        case Mark.working:
            return "⚙"
        case Mark.seen | None:
            return "⏳"
        case _:
            assert_never(mark)


def told(waiting: Waiting) -> str:
    """Why a job waits, as the owner is told it."""
    if waiting.hold == Hold.slots.value:
        return "waits for a free slot"
    return waiting.words if waiting.cause is not Cause.turn else "waits for its turn"


_MARKS = {
    JobState.queued: None,
    JobState.running: Mark.working,
    JobState.parked: Mark.asking,
    JobState.done: Mark.done,
    JobState.failed: Mark.failed,
    JobState.cancelled: Mark.stopped,
}


def _job(view: JobView, present: Present) -> str:
    job = view.job
    head = f"{sign_of(mark_of(view))} {cut(job.title, _TITLE)} (#{job.id})"
    return f"{head}\n{_now(view, present)} · {_time(view, present.now)}"


def _now(view: JobView, present: Present) -> str:
    """What is going on with a job that has not ended."""
    job_id = view.job.id or 0
    if view.job.state is JobState.running:
        return phrase(present.doing.get(job_id, ""))
    if view.job.state is JobState.parked:
        return "waits for your answer"
    return cut(present.waits.get(job_id, "waits for its turn"), 200)


def _time(view: JobView, now: datetime) -> str:
    so_far = now - (view.began_at or view.job.created_at)
    usual = view.usual
    if usual is None or view.began_at is None:
        return lasted(so_far)
    if so_far > usual * _LONG:
        return f"{lasted(so_far)}, longer than usual ({about(usual)})"
    return f"{lasted(so_far)}, usually {about(usual)}"


def about(length: timedelta) -> str:
    """A length that was learned or guessed, no finer than it is known."""
    seconds = length.total_seconds()
    if seconds < 55:
        return f"{max(10, round(seconds / 10) * 10)} s"
    return lasted(timedelta(minutes=max(1, round(seconds / 60))))


def _plan(view: PlanView, present: Present) -> str:
    began = min((one.began_at for one in view.steps if one.began_at is not None), default=None)
    done = sum(step.job.state is JobState.done for step in view.steps)
    time = f" · {lasted(present.now - began)}" if began is not None else ""
    head = f"{sign_of(mark_of(view))} {cut(view.plan.title, _TITLE)}"
    count = f"{done} of {len(view.steps)} done{time}"
    return "\n".join([head, count, *_checklist(view, present)])


def _plan_took(view: PlanView) -> str:
    began = [step.began_at for step in view.steps if step.began_at is not None]
    ended = [step.job.finished_at for step in view.steps if step.job.finished_at is not None]
    return f" · {lasted(max(ended) - min(began))}" if began and ended else ""


def _checklist(view: PlanView, present: Present | None) -> list[str]:
    lines = []
    for number, step in enumerate(view.steps, start=1):
        line = f"{sign_of(mark_of(step))} {number}. {cut(step.job.title, _TITLE)}"
        if step.job.state is JobState.done and step.took is not None:
            line += f" · {lasted(step.took)}"
        elif present is not None and step.job.state in (JobState.running, JobState.parked):
            line += f"\n     {_now(step, present)} · {_time(step, present.now)}"
        lines.append(line)
    return lines
