"""Pieces of talk, work and episodes that are looked through for memories, each exactly once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_, select

from agentos.domain.memory import Capture, CaptureKind, CaptureState
from agentos.domain.states import LIVE_RUNS, JobState
from agentos.domain.talk import Message, Outgoing
from agentos.domain.work import Job, JobKind, Run
from agentos.store import rows

CAPTURE = rows.table_of(Capture)
MESSAGE = rows.table_of(Message)
OUTBOX = rows.table_of(Outgoing)
RUN = rows.table_of(Run)
JOB = rows.table_of(Job)
# More is another piece: a model has to read it in one go.
MOST_MESSAGES = 10
_BEGIN = "begin"
_COUNTS = ("captured", "superseded", "ignored", "duplicate", "refused", "failed")
# What is to be tried again later than this was written down by a clock that was ahead.
_LONGEST_WAIT = timedelta(days=1)


@dataclass(frozen=True)
class Begin:
    """The ids after which everything is looked through: capture was off, or not there, before."""

    message: int
    said: int
    run: int


def begin(connection: Connection, *, on: bool, at: datetime) -> Begin:
    """Where capture begins. While it is off the beginning moves along, so nothing is caught up."""
    found = rows.fetch_one(connection, Capture, select(CAPTURE).where(CAPTURE.c.key == _BEGIN))
    # What was off when it was last looked at was off until now.
    if found is None or not on or found.problem == "off":
        here: dict[str, Any] = {
            "after": _newest(connection, MESSAGE),
            "after_said": _newest(connection, OUTBOX),
            "upto": _newest(connection, RUN),
            "problem": "" if on else "off",
        }
        if found is None:
            row = Capture(
                key=_BEGIN,
                kind=CaptureKind.begin,
                source="",
                state=CaptureState.done,
                created_at=at,
                **here,
            )
            found = rows.add_once(connection, row, unique=("key",)) or row
        else:
            rows.change(connection, Capture, found.id or 0, **here)
            found = rows.get(connection, Capture, found.id or 0)
    return Begin(found.after, found.after_said, found.upto)


def open_talks(
    connection: Connection, start: Begin, *, quiet: timedelta, at: datetime
) -> tuple[int, bool]:
    """Write down a piece for each conversation that has gone quiet.

    Returns how many, and whether all that was said after `start` is in pieces now.
    """
    newest = (
        select(MESSAGE.c.conversation, func.max(MESSAGE.c.id))
        .where(MESSAGE.c.id > start.message)
        .group_by(MESSAGE.c.conversation)
    )
    made, all_done = 0, True
    for conversation, last in connection.execute(newest).all():
        after, after_said = _cursor(connection, conversation, start)
        if last <= after:
            continue
        if not _is_quiet(connection, conversation, quiet=quiet, at=at):
            all_done = False
            continue
        made += _open_talk(connection, conversation, after=after, after_said=after_said, at=at)
        all_done = all_done and last <= _cursor(connection, conversation, start)[0]
    return made, all_done


def open_jobs(
    connection: Connection, start: Begin, *, rest: timedelta, at: datetime
) -> tuple[int, int]:
    """Write down a piece for each job that ended a while ago; one that was tried again is another.

    Returns how many, and the id of the run up to which there is nothing more to find.
    """
    ended_jobs = (
        select(JOB.c.id, func.max(RUN.c.id), func.max(RUN.c.finished_at))
        .join(RUN, RUN.c.job_id == JOB.c.id)
        .where(
            RUN.c.id > start.run,
            JOB.c.kind == JobKind.agent,
            JOB.c.state.in_((JobState.done, JobState.failed)),
        )
        .group_by(JOB.c.id)
    )
    is_job = (CAPTURE.c.kind == CaptureKind.job, CAPTURE.c.upto > start.run)
    known = {run_id for (run_id,) in connection.execute(select(CAPTURE.c.upto).where(*is_job))}
    live = connection.execute(
        select(func.min(RUN.c.id)).where(RUN.c.id > start.run, RUN.c.state.in_(LIVE_RUNS))
    ).scalar()
    open_, made = [] if live is None else [int(live)], 0
    for job_id, run_id, ended in connection.execute(ended_jobs).all():
        if run_id in known:
            continue
        if ended is not None and at - rest < ended <= at:
            open_.append(run_id)
            continue
        made += _add(connection, CaptureKind.job, f"job:{job_id}", after=0, upto=run_id, at=at)
    return made, (min(open_) - 1 if open_ else max(_newest(connection, RUN), start.run))


def open_episodes(connection: Connection, day: str, *, last: int, most: int, at: datetime) -> int:
    """Write down pieces for what a day has beyond those there are; returns how many."""
    made = 0
    after = _upto(connection, day, CaptureKind.episodes)
    while after < last:
        upto = min(after + most, last)
        made += _add(connection, CaptureKind.episodes, day, after=after, upto=upto, at=at)
        after = upto
    return made


def list_waiting(
    connection: Connection, *, at: datetime, source: str | None = None, limit: int = 20
) -> list[Capture]:
    """What is to be looked through now, oldest first."""
    due = or_(
        CAPTURE.c.retry_at.is_(None),
        CAPTURE.c.retry_at <= at,
        CAPTURE.c.retry_at > at + _LONGEST_WAIT,
    )
    statement = select(CAPTURE).where(CAPTURE.c.state == CaptureState.waiting, due)
    if source is not None:
        statement = statement.where(CAPTURE.c.source == source)
    return rows.fetch(connection, Capture, statement.order_by(CAPTURE.c.id).limit(limit))


def list_waiting_of(connection: Connection, kind: CaptureKind) -> list[Capture]:
    """All of one kind that waits, also for its next try."""
    where = (CAPTURE.c.kind == kind, CAPTURE.c.state == CaptureState.waiting)
    return rows.fetch(connection, Capture, select(CAPTURE).where(*where).order_by(CAPTURE.c.id))


def find(connection: Connection, capture_id: int) -> Capture | None:
    """A piece as it is now, or None."""
    return rows.find(connection, Capture, capture_id)


def change(connection: Connection, capture_id: int, **values: Any) -> None:
    """Write down how it went with a piece."""
    rows.change(connection, Capture, capture_id, **values)


def newest_message(connection: Connection) -> int:
    """The id of the newest message, 0 before the first."""
    return _newest(connection, MESSAGE)


def unfinished_days(connection: Connection) -> set[str]:
    """The days of episodes that have not been looked through to their end."""
    statement = select(CAPTURE.c.source).where(
        CAPTURE.c.kind == CaptureKind.episodes, CAPTURE.c.state == CaptureState.waiting
    )
    return {day for (day,) in connection.execute(statement.distinct())}


def seen_upto(connection: Connection, day: str) -> int:
    """The number of the last episode of a day that is in a piece."""
    return _upto(connection, day, CaptureKind.episodes)


def counts_since(connection: Connection, kind: CaptureKind, at: datetime) -> dict[str, int]:
    """What came of the pieces of one kind that ended since then."""
    sums = [func.coalesce(func.sum(CAPTURE.c[name]), 0) for name in _COUNTS]
    where = (CAPTURE.c.kind == kind, CAPTURE.c.ended_at >= at)
    found = connection.execute(select(*sums).where(*where)).one()
    return dict(zip(_COUNTS, map(int, found), strict=True))


def counts(connection: Connection) -> dict[str, int]:
    """What came of it, over all time, and what waits."""
    sums = [func.coalesce(func.sum(CAPTURE.c[name]), 0) for name in _COUNTS]
    told = dict(zip(_COUNTS, map(int, connection.execute(select(*sums)).one()), strict=True))
    pieces = CAPTURE.c.kind != CaptureKind.begin
    by_state = select(CAPTURE.c.state, func.count()).where(pieces).group_by(CAPTURE.c.state)
    states = {str(state): int(number) for state, number in connection.execute(by_state)}
    told["pieces"] = sum(states.values())
    told["waiting"] = states.get("waiting", 0)
    told["given_up"] = states.get("failed", 0)
    return told


def is_read(connection: Connection, source: str) -> bool:
    """Whether "message:7" or "job:12" is in a piece of its own, which was read or will be."""
    kind, _, number = source.partition(":")
    if not number.isdecimal():
        return False
    is_there = select(CAPTURE.c.id).where(CAPTURE.c.state != CaptureState.failed).limit(1)
    match kind:
        case "job":
            is_there = is_there.where(CAPTURE.c.kind == CaptureKind.job, CAPTURE.c.source == source)
        case "message":
            is_there = is_there.join(MESSAGE, MESSAGE.c.conversation == CAPTURE.c.source).where(
                CAPTURE.c.kind == CaptureKind.talk,
                MESSAGE.c.id == int(number),
                CAPTURE.c.after < MESSAGE.c.id,
                CAPTURE.c.upto >= MESSAGE.c.id,
            )
        case _:
            return False
    return connection.execute(is_there).first() is not None


def _newest(connection: Connection, table: Any) -> int:
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one())


def _upto(connection: Connection, source: str, kind: CaptureKind) -> int:
    statement = select(func.coalesce(func.max(CAPTURE.c.upto), 0))
    where = (CAPTURE.c.source == source, CAPTURE.c.kind == kind)
    return int(connection.execute(statement.where(*where)).scalar_one())


def _cursor(connection: Connection, conversation: str, start: Begin) -> tuple[int, int]:
    statement = select(
        func.coalesce(func.max(CAPTURE.c.upto), 0), func.coalesce(func.max(CAPTURE.c.upto_said), 0)
    ).where(CAPTURE.c.source == conversation, CAPTURE.c.kind == CaptureKind.talk)
    upto, said = connection.execute(statement).one()
    return max(int(upto), start.message), max(int(said), start.said)


def _is_quiet(connection: Connection, conversation: str, *, quiet: timedelta, at: datetime) -> bool:
    """Nobody has spoken for a while. What was said in the future was said by a clock set back."""
    for table, moment in ((MESSAGE, MESSAGE.c.received_at), (OUTBOX, OUTBOX.c.created_at)):
        where = (table.c.conversation == conversation, moment > at - quiet, moment <= at)
        if connection.execute(select(table.c.id).where(*where).limit(1)).first() is not None:
            return False
    return True


def _open_talk(
    connection: Connection, conversation: str, *, after: int, after_said: int, at: datetime
) -> int:
    """Pieces for all that is new in a conversation."""
    made = 0
    while True:
        new = (MESSAGE.c.conversation == conversation, MESSAGE.c.id > after)
        found = connection.execute(
            select(MESSAGE.c.id, MESSAGE.c.received_at)
            .where(*new)
            .order_by(MESSAGE.c.id)
            .limit(MOST_MESSAGES + 1)
        ).all()
        if not found:
            return made
        last, more = found[:MOST_MESSAGES][-1].id, found[MOST_MESSAGES:]
        upto_said = _said_before(
            connection, conversation, after_said, until=more[0].received_at if more else None
        )
        made += _add(
            connection,
            CaptureKind.talk,
            conversation,
            after=after,
            upto=last,
            after_said=after_said,
            upto_said=upto_said,
            at=at,
        )
        after, after_said = last, upto_said


def _said_before(
    connection: Connection, conversation: str, after: int, *, until: datetime | None
) -> int:
    statement = select(func.coalesce(func.max(OUTBOX.c.id), after)).where(
        OUTBOX.c.conversation == conversation, OUTBOX.c.id > after
    )
    if until is not None:
        statement = statement.where(OUTBOX.c.created_at < until)
    return int(connection.execute(statement).scalar_one())


def _add(
    connection: Connection,
    kind: CaptureKind,
    source: str,
    *,
    after: int,
    upto: int,
    at: datetime,
    **more: Any,
) -> int:
    """Write a piece down; 0 when it is there already."""
    key = f"{source}:{upto}" if kind is CaptureKind.job else f"{kind.value}:{source}:{upto}"
    row = Capture(key=key, kind=kind, source=source, after=after, upto=upto, created_at=at, **more)
    return int(rows.add_once(connection, row, unique=("key",)) is not None)


def list_messages(connection: Connection, piece: Capture) -> Sequence[Message]:
    """What the owner said in a piece of talk, oldest first."""
    where = (
        MESSAGE.c.conversation == piece.source,
        MESSAGE.c.id > piece.after,
        MESSAGE.c.id <= piece.upto,
    )
    return rows.fetch(connection, Message, select(MESSAGE).where(*where).order_by(MESSAGE.c.id))


def list_said(connection: Connection, piece: Capture) -> Sequence[Outgoing]:
    """What the owner was told in a piece of talk, oldest first; of jobs, their own pieces tell."""
    where = (
        OUTBOX.c.conversation == piece.source,
        OUTBOX.c.id > piece.after_said,
        OUTBOX.c.id <= piece.upto_said,
        OUTBOX.c.job_id.is_(None),
        OUTBOX.c.edits_id.is_(None),
    )
    return rows.fetch(connection, Outgoing, select(OUTBOX).where(*where).order_by(OUTBOX.c.id))
