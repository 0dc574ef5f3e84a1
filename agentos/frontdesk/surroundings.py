"""What surrounds a message: the time, core memory, what was said, what waits, what is under way."""

import asyncio
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.talk import Message, Outgoing
from agentos.domain.work import Job, JobKind
from agentos.errors import NotFound
from agentos.frontdesk.lines import cut
from agentos.frontdesk.replies import Quoted, find_quoted
from agentos.home import Home
from agentos.memory.recollection import Recollection
from agentos.store import cards, jobs, rows, talks
from agentos.store.database import Database
from agentos.store.talks import NOTHING_SAID, Said

_TALK_LINES = 10
# What has been said since the chat's last turn, by whomever, it is told in full as far as it goes.
_NEWS_LINES = 30
_LONGEST_LINE = 600
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_NOT_TOLD = re.compile(r"\((?:not told|none) yet\)$")
_LONGEST_MEMORY = 12_000
# What a row of the outbox is to its job, by the first word of its key.
_WHAT = {
    "result": "result of",
    "artefact": "file of",
    "failed": "failure of",
    "reminder": "reminder",
    "ack": "started",
}
_MOST_CARDS = 8
_MOST_JOBS = 15


@dataclass(frozen=True)
class Surroundings:
    """All of it, ready to be put into a prompt."""

    now: datetime
    zone: ZoneInfo
    core_memory: str
    talk: list[dict[str, str]]
    cards: list[dict[str, Any]]
    work: list[dict[str, Any]]
    # What the owner's message is a reply to, when it is one.
    reply: Quoted | None
    # How far the talk was read: who has been told of it needs only what came after.
    upto: Said = NOTHING_SAID
    # What memory holds about it.
    recalled: list[Recollection] = field(default_factory=list)

    @property
    def replied(self) -> dict[str, Any] | None:
        """The same, as the prompts tell it."""
        return self.reply.told() if self.reply is not None else None

    def times(self) -> dict[str, str]:
        """The values of the line that tells the time."""
        return {
            "now": self.now.isoformat(timespec="seconds"),
            "weekday": self.now.strftime("%A"),
            "zone": self.zone.key,
        }


async def look_around(
    message: Message,
    *,
    database: Database,
    home: Home,
    now: datetime,
    zone: ZoneInfo,
    since: Said | None = None,
) -> Surroundings:
    """Gather it for a message; of the talk, only what was said after `since` when that is given."""
    core_memory = await asyncio.to_thread(read_owner_file, home, "memory/core-memory.md")
    local = now.astimezone(zone)

    def read(connection: Connection) -> Surroundings:
        return Surroundings(
            now=local,
            zone=zone,
            core_memory=told(core_memory)[:_LONGEST_MEMORY],
            talk=_talk(connection, message, now=local, since=since),
            upto=talks.newest(connection, message),
            cards=[
                {"question": cut(card.question, 200), "options": card.options}
                for card in cards.list_open(connection)[-_MOST_CARDS:]
            ],
            work=[
                {"id": job.id, "title": job.title, "state": job.state.value}
                for job in jobs.list_unfinished(connection, limit=_MOST_JOBS)
            ],
            reply=find_quoted(connection, message),
        )

    return await database.query(read)


def read_owner_file(home: Home, name: str) -> str:
    """An editable file of the owner's, or the shipped one; empty when there is neither."""
    try:
        return home.find(name).read_text(encoding="utf-8", errors="replace").strip()
    except (NotFound, OSError):
        return ""


def _talk(
    connection: Connection, message: Message, *, now: datetime, since: Said | None
) -> list[dict[str, str]]:
    assert message.id is not None
    said = talks.recent(
        connection,
        message.conversation,
        before_id=message.id,
        since=since,
        limit=_TALK_LINES if since is None else _NEWS_LINES,
    )
    return [
        {
            "when": _ago(line.at, now=now),
            "who": _who(connection, line.row) if line.row is not None else line.person,
            "text": cut(line.text, _LONGEST_LINE),
        }
        for line in said
        if line.text
    ]


def _who(connection: Connection, row: Outgoing) -> str:
    """Who of us has said it, and what it is."""
    job = rows.find(connection, Job, row.job_id) if row.job_id is not None else None
    if job is None:
        return "agentos"
    what = _WHAT.get(row.key.partition(":")[0], "about")
    if job.kind is JobKind.reminder:
        return f"agentos ({'reminder' if what == 'reminder' else 'about a reminder'})"
    whose = f"the scheduled job {job.template}" if job.template else f"job #{job.id}"
    return f"agentos ({what} {whose})"


def _ago(at: datetime, *, now: datetime) -> str:
    local = at.astimezone(now.tzinfo)
    if now - local < timedelta(hours=18):
        return local.strftime("%H:%M")
    return local.strftime("%a %d %b %H:%M")


def told(core_memory: str) -> str:
    """What the owner has really said in it: no comments, no unfilled lines, no empty sections."""
    said = _COMMENT.sub("", core_memory)
    lines = [line for line in said.splitlines() if not _NOT_TOLD.search(line)]
    sections = re.sub(r"^##+ .*\n\s*(?=##+ |\Z)", "", "\n".join(lines), flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", sections).strip()
