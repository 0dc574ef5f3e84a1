"""What really happened, asked of those who know: rows, transcripts, the records of the far ends."""

import asyncio
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agentos.control.plain import one_line
from agentos.demo.report import Stuck, Totals
from agentos.demo.stage import Stage
from agentos.domain.ledger import Usage
from agentos.domain.work import Job
from agentos.engine.recovery import end_orphans
from agentos.standins.telegram_user import Sent
from agentos.store import rows
from agentos.store.database import Database, sqlite_url

_MOST_ROWS = 10_000
_MOST_JOBS = 200
# Of a path, its last name is enough; of one that was cut off, nothing is.
_LONG_PATH = re.compile(r'"/[^"]*/([^"/]+)"|(?<=\s)/\S*/([^\s/]+)')
_CUT_PATH = re.compile(r'\s"/[^"]*$')
Json = dict[str, Any]


@dataclass(frozen=True)
class Acknowledged:
    """How soon a message was seen, and whether that was before a model was asked about it."""

    after_ms: int
    before_the_model: bool


@dataclass(frozen=True)
class ToolCall:
    """A tool that a worker used: which, for what, and what a command printed."""

    name: str
    what: str
    output: str
    failed: bool


class Evidence:
    """Asks; changes nothing."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._slowest_ms = 0

    async def acknowledged(self, text: str, *, sent: Sent) -> Acknowledged | None:
        """When a message got its reaction; None when it has none."""
        calls = await self._stage.user.calls(method="setMessageReaction")
        wanted = str(sent.message_id)
        seen = [one.monotonic for one in calls if str(one.params.get("message_id")) == wanted]
        requests = await self._stage.model.requests()
        asked = [one.monotonic for one in requests if text in one.prompt]
        if not seen:
            return None
        after_ms = round((seen[0] - sent.monotonic) * 1000)
        self._slowest_ms = max(self._slowest_ms, after_ms)
        asked_later = [moment for moment in asked if moment > sent.monotonic]
        return Acknowledged(after_ms, before_the_model=seen[0] < min(asked_later, default=0))

    async def now(self) -> datetime:
        """What the service's clock says, in the owner's zone."""
        status = await self._stage.control("daemon.status")
        return datetime.fromisoformat(status["now"]).astimezone(ZoneInfo(status["timezone"]))

    async def jobs(self) -> list[Json]:
        """All jobs, the newest first."""
        told = await self._stage.control("job.list", limit=_MOST_JOBS)
        found: list[Json] = told["jobs"]
        return found

    async def job(self, title: str) -> Json:
        """The whole story of the newest job with this title. Raises Stuck."""
        for job in await self.jobs():
            if job["title"] == title:
                story: Json = await self._stage.control("job.show", job=job["id"])
                return story
        raise Stuck(f"there is no job “{title}”")

    async def next_reminder(self) -> datetime:
        """When the waiting reminder is due, in the owner's zone. Raises Stuck when none waits."""
        zone = (await self.now()).tzinfo
        for job in await self.jobs():
            if job["kind"] == "reminder" and job["state"] == "queued":
                return datetime.fromisoformat(job["run_at"]).astimezone(zone)
        raise Stuck("no reminder is waiting")

    async def worker_calls(self) -> int:
        """How often a worker has asked the model."""
        return sum("Bash" in one.tools for one in await self._stage.model.requests())

    async def tools_of(self, title: str) -> list[ToolCall]:
        """The tools that the job with this title used, from its transcript."""
        story = await self.job(title)
        file = self._stage.home.job_folder(story["job"]["id"]) / "transcript.jsonl"
        return await asyncio.to_thread(_tools_in, file)

    async def all_done(self) -> bool:
        """Whether every job has come to a good end."""
        return all(job["state"] == "done" for job in await self.jobs())

    async def nobody_left(self) -> bool:
        """Whether no process of this home's workers is left; what there is, is ended."""
        return await asyncio.to_thread(end_orphans, self._stage.home.mark) == 0

    async def totals(self) -> Totals:
        """What all of it took, as far as it came."""
        chat = await self._stage.user.chat()
        requests = await self._stage.model.requests()
        said = [one for one in chat.messages if one.by == "bot"]
        database_file = self._stage.home.database_file
        jobs, used = await asyncio.to_thread(_rows_in, database_file)
        return Totals(
            messages_in=sum(one.by == "user" for one in chat.messages) + len(chat.answers),
            messages_out=len(said),
            files=sum(one.document is not None for one in said),
            jobs=len(jobs),
            tool_calls=sum(len(one.tool_results) for one in requests if "Bash" in one.tools),
            model_calls=len(requests),
            input_tokens=sum(row.input_tokens + row.cache_read_tokens for row in used),
            output_tokens=sum(row.output_tokens for row in used),
            cost_usd=float(sum(row.cost_usd for row in used)),
            slowest_acknowledgement_ms=self._slowest_ms,
        )


def _tools_in(transcript: Path) -> list[ToolCall]:
    try:
        lines = [json.loads(line) for line in transcript.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []
    begun = [line for line in lines if line["kind"] == "tool"]
    ended = [line for line in lines if line["kind"] == "tool_result"]
    return [
        ToolCall(
            name=start["tool"],
            what=_short(start["input"]),
            output=one_line(end["text"]) if start["tool"] == "Bash" else "",
            failed=end["failed"],
        )
        for start, end in zip(begun, ended, strict=False)
    ]


def _short(summary: str) -> str:
    return one_line(_CUT_PATH.sub(" …", _LONG_PATH.sub(r"\1\2", summary)))


def _rows_in(database_file: Path) -> tuple[list[Job], list[Usage]]:
    """The jobs and the ledger. Without a database there is neither, and none is made."""
    if not database_file.exists():
        return [], []
    database = Database(sqlite_url(database_file))
    try:
        with database.read() as connection:
            jobs = rows.newest(connection, Job, limit=_MOST_ROWS)
            return jobs, rows.newest(connection, Usage, limit=_MOST_ROWS)
    finally:
        database.close()
