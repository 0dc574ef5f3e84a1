"""What a judge reads: lines of a talk, of a job or of a day, and whose word each of them is.

What came from outside never stands beside what did not: it is judged apart, so that it can make
nothing of what the owner said, and nothing that is made of it looks like the owner's.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from sqlalchemy import Connection

from agentos.domain.memory import Capture, CaptureKind, Memory, Origin, Trust
from agentos.domain.people import Audience
from agentos.domain.talk import Message
from agentos.domain.work import Artefact, Job, Worker
from agentos.errors import NotFound
from agentos.home import Home
from agentos.memory.episodes import Episodes, number_of
from agentos.memory.judge import Line
from agentos.store import captures, jobs, memories, memory_given, needs, rows, runs

# So many episodes are read in one go; with long lines it is several.
MOST_EPISODES = 30
_LONGEST_LINE = 2_000
_MOST_CHARACTERS = 16_000
_MOST_TRANSCRIPT = 5_000_000
REPORT = "consolidation"
# Tools that bring in nothing from outside. Whatever else was used may have.
_INWARD = frozenset({"Write", "Edit", "MultiEdit", "NotebookEdit", "TodoWrite"})


@dataclass(frozen=True)
class Part:
    """Lines that are judged together."""

    about: str
    lines: tuple[Line, ...]
    project_id: int | None = None

    @property
    def outside(self) -> bool:
        """Whether it is somebody else's word."""
        return any(line.trust is Trust.outside for line in self.lines)


def of_piece(
    connection: Connection, piece: Capture, *, home: Home, episodes: Episodes
) -> list[Part]:
    """What a piece holds, in parts of one trust; none when there is nothing to read."""
    match piece.kind:
        case CaptureKind.talk:
            return _parts("a conversation with the owner", _talk(connection, piece))
        case CaptureKind.job:
            return _job(connection, piece, home=home)
        case CaptureKind.episodes:
            lines = _day(connection, piece, episodes)
            return _parts(f"what happened on {piece.source}", lines)
        case CaptureKind.begin:
            return []


def given_to(connection: Connection, piece: Capture) -> list[Memory]:
    """What of memory a piece had before its eyes: that is no news from it."""
    match piece.kind:
        case CaptureKind.talk:
            found = [
                memory_id
                for message in captures.list_messages(connection, piece)
                for memory_id in memory_given.list_ids(connection, message_id=message.id)
            ]
        case CaptureKind.job:
            job_id = int(piece.source.partition(":")[2])
            found = memory_given.list_ids(connection, job_id=job_id)
        case CaptureKind.episodes | CaptureKind.begin:
            found = []
    return list(memories.by_ids(connection, list(dict.fromkeys(found))).values())


def without(parts: Iterable[Part], forgotten: Sequence[Memory]) -> list[Part]:
    """The same without the lines that what was forgotten came from, or that hold it."""
    refs = {row.source_ref for row in forgotten if row.source_ref}
    texts = [row.text.casefold() for row in forgotten if row.text.strip()]
    kept = []
    for part in parts:
        lines = tuple(line for line in part.lines if not _holds(line, refs=refs, texts=texts))
        if lines:
            kept.append(replace(part, lines=lines))
    return kept


def _holds(line: Line, *, refs: Collection[str], texts: Sequence[str]) -> bool:
    said = line.text.casefold()
    return line.ref in refs or any(text in said for text in texts)


def _parts(about: str, lines: Iterable[Line], *, project_id: int | None = None) -> list[Part]:
    found = [replace(line, text=_cut(line.text)) for line in lines if line.text.strip()]
    made = []
    for outside in (False, True):
        some = [line for line in found if (line.trust is Trust.outside) is outside]
        named = f"{about}, of which this was handed on" if outside else about
        made += [Part(named, tuple(group), project_id) for group in _groups(some)]
    return made


def _groups(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """As many lines as can be read in one go."""
    group: list[Line] = []
    length = 0
    for line in lines:
        if group and length + len(line.text) > _MOST_CHARACTERS:
            yield group
            group, length = [], 0
        group.append(line)
        length += len(line.text)
    if group:
        yield group


def _talk(connection: Connection, piece: Capture) -> list[Line]:
    lines, handed_on, guests = [], set(), set()
    for message in captures.list_messages(connection, piece):
        if message.audience is Audience.guest:
            guests.add(message.id)
            continue  # what a guest says, and what they are told, is not learned from
        ref, writer = f"message:{message.id}", forwarded_from(message)
        if message.attachments:
            handed_on.add(message.id)
        if message.text.startswith("/"):
            continue  # a command
        trust = Trust.owner if writer is None else Trust.outside
        who = "owner" if writer is None else f"forwarded from {writer}"
        lines.append(Line(who, message.received_at, message.text, trust, Origin.message, ref))
    for said in captures.list_said(connection, piece):
        if said.message_id in guests:
            continue
        # An answer to what came from outside tells of it.
        trust = Trust.outside if said.message_id in handed_on else Trust.self
        ref = f"message:{said.message_id}" if said.message_id else f"said:{said.id}"
        lines.append(Line("agentos", said.created_at, said.text, trust, Origin.message, ref))
    return sorted(lines, key=lambda line: line.at)


def _job(connection: Connection, piece: Capture, *, home: Home) -> list[Part]:
    try:
        job = jobs.get(connection, int(piece.source.partition(":")[2]))
    except NotFound:  # tidied away
        return []
    trust = Trust.self if _is_inward(connection, job, home=home) else Trust.outside
    at, ref = job.finished_at or job.created_at, f"job:{job.id}"
    outcome = job.result if job.result is not None else job.error
    made = rows.newest(connection, Artefact, limit=20, job_id=job.id)
    told = [
        ("what was asked", job.created_at, f"{job.title}. {job.prompt}"),
        (f"how it ended ({job.state.value})", at, outcome or ""),
        ("files it made", at, ", ".join(one.name for one in made)),
    ]
    lines = [Line(who, when, text, trust, Origin.job, ref) for who, when, text in told if text]
    # Whatever it read is in its result, and its prompt may quote what was handed on.
    return _parts("a piece of work", lines, project_id=job.project_id)


def _is_inward(connection: Connection, job: Job, *, home: Home) -> bool:
    """Whether a job had nothing from outside before its eyes, as far as can be known."""
    if job.message_id is not None:
        message = rows.find(connection, Message, job.message_id)
        if message is None or message.attachments:
            return False
    if needs.edges_from(connection, [job.id or 0]):
        return False  # what others brought it
    for run in runs.list_for_job(connection, job.id or 0):
        worker = rows.find(connection, Worker, run.worker_id)
        if worker is None or worker.persistent or worker.backend != "claude":
            return False  # its session knows more than this job
    return _tools_used(home.job_folder(job.id or 0) / "transcript.jsonl") <= _INWARD


def _tools_used(transcript: Path) -> set[str]:
    """The names of the tools that a transcript tells of; "unknown" when it cannot be read."""
    used = set()
    try:
        if transcript.stat().st_size > _MOST_TRANSCRIPT:
            return {"unknown"}
        for line in transcript.read_text("utf-8", errors="replace").splitlines():
            told = json.loads(line)
            if told.get("kind") == "tool":
                used.add(str(told.get("tool")))
    except (OSError, ValueError, AttributeError):
        return {"unknown"}
    return used


def _day(connection: Connection, piece: Capture, episodes: Episodes) -> list[Line]:
    lines = []
    for one in episodes.read(date.fromisoformat(piece.source)):
        if one.kind == REPORT or not piece.after < number_of(one.ref) <= piece.upto:
            continue
        if one.source is not None and captures.is_read(connection, one.source):
            continue  # by day, where it was said and done
        trust = Trust(one.trust) if one.trust in set(Trust) else Trust.outside
        lines.append(Line(one.kind, one.at, one.text, trust, Origin.episode, one.ref))
    return lines


def forwarded_from(message: Message) -> str | None:
    """Who wrote it, when the owner only handed it on."""
    for attachment in message.attachments:
        if attachment.get("kind") == "forward":
            return str(attachment.get("from") or "somebody else")
    return None


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 1] + "…"
