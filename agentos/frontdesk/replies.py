"""What a message is a reply to: the words, and the job, the plan and the files behind them."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from agentos.domain.states import FINISHED_JOBS
from agentos.domain.talk import Card, Message, Outgoing
from agentos.domain.work import Artefact, Job, JobKind, Plan
from agentos.frontdesk.lines import cut
from agentos.log import redact
from agentos.store import artefacts, jobs, messages, rows, shown
from agentos.store import plans as plan_rows

_LONGEST_TEXT = 600
_LONGEST_RESULT = 1_200
_MOST_FILES = 20


@dataclass(frozen=True)
class Quoted:
    """What the owner replies to."""

    text: str
    # Whether we said it; else it is an earlier message of the owner's.
    ours: bool = True
    job: Job | None = None
    files: list[Artefact] = field(default_factory=list)
    plan: Plan | None = None
    card: Card | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether it belongs to a worker's job that has not ended."""
        job = self.job
        return job is not None and job.kind is JobKind.agent and job.state not in FINISHED_JOBS

    def told(self) -> dict[str, Any]:
        """As the prompts tell it."""
        plan = {"title": self.plan.title, "state": self.plan.state.value} if self.plan else None
        card = self.card.state.value if self.card is not None else ""
        files = [file.name for file in self.files[:_MOST_FILES]]
        return {
            "text": self.text,
            "ours": self.ours,
            "job": _about(self.job) if self.job is not None else None,
            "files": files,
            "plan": plan,
            "card": card,
        }


def find_quoted(connection: Connection, message: Message) -> Quoted | None:
    """What a message is a reply to, with all that the rows know of it; None when it is none."""
    external_id = message.reply_to_external_id
    if external_id is None:
        return None
    row = shown.find(connection, conversation=message.conversation, external_id=external_id)
    if row is not None:
        return _of_ours(connection, row)
    theirs = messages.find_by_external_message(
        connection,
        channel=message.channel,
        external_message_id=external_id,
        conversation=message.conversation,
    )
    if theirs is None:
        return None
    return _with_job(
        connection,
        _started_by(connection, theirs.id),
        text=cut(theirs.text, _LONGEST_TEXT),
        ours=False,
        plan=plan_rows.find_for_message(connection, theirs.id),
    )


def _of_ours(connection: Connection, row: Outgoing) -> Quoted:
    card = rows.find(connection, Card, row.card_id) if row.card_id is not None else None
    job_id = row.job_id if row.job_id is not None else card.job_id if card is not None else None
    job = rows.find(connection, Job, job_id) if job_id is not None else None
    plan = None
    if card is not None and card.plan_id is not None:
        plan = rows.find(connection, Plan, card.plan_id)
    if job is None and card is None:
        # A word about a message: "Started: 3 steps", or the end of a plan.
        plan = plan_rows.find_for_message(connection, row.message_id)
        job = _started_by(connection, row.message_id) if plan is None else None
    text = cut(row.text or (row.file_path or "").rpartition("/")[2], _LONGEST_TEXT)
    return _with_job(connection, job, text=text, ours=True, plan=plan, card=card)


def _with_job(
    connection: Connection,
    job: Job | None,
    *,
    text: str,
    ours: bool,
    plan: Plan | None,
    card: Card | None = None,
) -> Quoted:
    files = artefacts.list_for_job(connection, job.id or 0) if job is not None else []
    return Quoted(text=text, ours=ours, job=job, files=files, plan=plan, card=card)


def _started_by(connection: Connection, message_id: int | None) -> Job | None:
    """The job that a message started, when it is one."""
    made = jobs.list_for_message(connection, message_id) if message_id is not None else []
    return made[-1] if made and all(job.plan_id is None for job in made) else None


def _about(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "title": job.title,
        "state": job.state.value,
        "result": cut(job.result or "", _LONGEST_RESULT),
        "error": cut(redact(job.error or ""), _LONGEST_TEXT),
    }
