"""What surrounds a message: the time, core memory, what was said, what waits, what is under way."""

import asyncio
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.talk import Message
from agentos.errors import NotFound
from agentos.home import Home
from agentos.memory.recollection import Recollection
from agentos.store import cards, jobs, messages, outbox
from agentos.store.database import Database

_TALK_LINES = 10
_LONGEST_LINE = 600
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_NOT_TOLD = re.compile(r"\((?:not told|none) yet\)$")
_LONGEST_MEMORY = 12_000
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
    reply_to: str | None
    # What memory holds about it.
    recalled: list[Recollection] = field(default_factory=list)

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
    since: datetime | None = None,
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
            cards=[
                {"question": cut(card.question, 200), "options": card.options}
                for card in cards.list_open(connection)[-_MOST_CARDS:]
            ],
            work=[
                {"id": job.id, "title": job.title, "state": job.state.value}
                for job in jobs.list_unfinished(connection, limit=_MOST_JOBS)
            ],
            reply_to=_reply_to(connection, message),
        )

    return await database.query(read)


def read_owner_file(home: Home, name: str) -> str:
    """An editable file of the owner's, or the shipped one; empty when there is neither."""
    try:
        return home.find(name).read_text(encoding="utf-8", errors="replace").strip()
    except (NotFound, OSError):
        return ""


def cut(text: str, longest: int) -> str:
    """At most so many characters, on one line, with a mark where something is missing."""
    plain = " ".join(text[: longest * 2].split())
    whole = len(plain) <= longest and len(text) <= longest * 2
    return plain if whole else plain[: longest - 1].rstrip() + "…"


def _talk(
    connection: Connection, message: Message, *, now: datetime, since: datetime | None
) -> list[dict[str, str]]:
    assert message.id is not None
    said = messages.recent_talk(
        connection, message.conversation, before_id=message.id, limit=_TALK_LINES
    )
    return [
        {"when": _ago(at, now=now), "who": who, "text": cut(text, _LONGEST_LINE)}
        for at, who, text in said
        if text and (since is None or at > since)
    ]


def _ago(at: datetime, *, now: datetime) -> str:
    local = at.astimezone(now.tzinfo)
    if now - local < timedelta(hours=18):
        return local.strftime("%H:%M")
    return local.strftime("%a %d %b %H:%M")


def _reply_to(connection: Connection, message: Message) -> str | None:
    external_id = message.reply_to_external_id
    if external_id is None:
        return None
    ours = outbox.find_by_external(
        connection, conversation=message.conversation, external_id=external_id
    )
    if ours is not None:
        return cut(ours.text, _LONGEST_LINE)
    theirs = messages.find_by_external_message(
        connection,
        channel=message.channel,
        external_message_id=external_id,
        conversation=message.conversation,
    )
    return cut(theirs.text, _LONGEST_LINE) if theirs is not None else None


def told(core_memory: str) -> str:
    """What the owner has really said in it: no comments, no unfilled lines, no empty sections."""
    said = _COMMENT.sub("", core_memory)
    lines = [line for line in said.splitlines() if not _NOT_TOLD.search(line)]
    sections = re.sub(r"^##+ .*\n\s*(?=##+ |\Z)", "", "\n".join(lines), flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", sections).strip()
