"""Handing over: a session that has grown too big ends, and leaves what the next has to know."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from agentos.domain.frames import TurnUsage
from agentos.domain.ledger import Purpose, Usage
from agentos.domain.work import Job, Run, Worker
from agentos.prompts import render
from agentos.store import events, jobs, runs, usage, workers

# About 600 words are asked for; what is longer than this is no summary any more.
LONGEST_SUMMARY = 8_000
# How many of a worker's jobs are named when a session cannot tell of them itself.
MOST_JOBS = 10
_LONGEST_RESULT = 300


@dataclass(frozen=True)
class Past:
    """What is known of a worker without asking a model: its last summary, and its latest jobs."""

    summary: str = ""
    jobs: tuple[tuple[str, str], ...] = ()

    def told(self, *, lost: bool) -> str:
        """As a fresh session is told; when the one before it is lost, the jobs are in it, too."""
        known = self.jobs if lost else ()
        listed = [{"title": title, "result": result} for title, result in known]
        return render("predecessor.md.j2", lost=lost, summary=self.summary, jobs=listed)

    def as_summary(self) -> str:
        """A summary for want of a better one."""
        lines = [f"- {title}: {result}" if result else f"- {title}" for title, result in self.jobs]
        parts = [self.summary.strip(), "\n".join(["Latest tasks, the newest first:", *lines])]
        # What was there is cut, not what came since.
        room = LONGEST_SUMMARY - len(parts[1]) - 2
        return "\n\n".join(part for part in (parts[0][: max(0, room)], parts[1]) if part)


def is_due(worker: Worker, run: Run, *, most_tokens: int) -> bool:
    """Whether a worker's session is to be handed over before its next job."""
    return worker.persistent and run.session_id is not None and worker.session_tokens >= most_tokens


def past_of(connection: Connection, worker: Worker) -> Past:
    """What the rows know of a persistent worker; of a job's own worker there is nothing."""
    if not worker.persistent or worker.id is None:
        return Past()
    done = jobs.list_done_by(connection, worker.id, limit=MOST_JOBS)
    return Past(summary=worker.summary, jobs=tuple((job.title, _beginning(job)) for job in done))


def hand_over(
    connection: Connection,
    run: Run,
    worker: Worker,
    *,
    job: Job,
    summary: str,
    used: TurnUsage,
    lost: bool,
    at: datetime,
) -> None:
    """Give up the old session and keep its summary, in one. Until then the old one is valid.

    Raises LeaseLost when another run has taken the place of this one.
    """
    assert worker.id is not None
    runs.change_live(connection, run, session_id=None)
    workers.change(
        connection,
        worker.id,
        session_id=None,
        session_job_count=0,
        session_tokens=0,
        summary=summary,
    )
    if used.tokens:
        row = Usage(
            purpose=Purpose.handover,
            backend=worker.backend,
            job_id=job.id,
            run_id=run.id,
            task_id=job.task_id,
            project_id=job.project_id,
            at=at,
            **{**used.model_dump(), "model": used.model or worker.model},
        )
        usage.record(connection, row)
    events.record(
        connection,
        "session_handed_over",
        at=at,
        job_id=job.id,
        run_id=run.id,
        worker=worker.name,
        session=run.session_id,
        jobs=worker.session_job_count,
        tokens=worker.session_tokens,
        lost=lost,
    )


def _beginning(job: Job) -> str:
    text = " ".join((job.result or "").split())
    return text if len(text) <= _LONGEST_RESULT else f"{text[:_LONGEST_RESULT]} …"
