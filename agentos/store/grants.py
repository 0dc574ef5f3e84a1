"""Grants: what the owner allowed or refused workers to do, used up and revoked."""

from datetime import datetime

from sqlalchemy import Connection, and_, or_, select, update

from agentos.domain.rules import Granted
from agentos.domain.talk import Grant, Scope
from agentos.domain.work import Job
from agentos.errors import NotFound
from agentos.store import events, rows

GRANT = rows.table_of(Grant)


def add(connection: Connection, grant: Grant) -> Grant:
    """Write down a decision."""
    made = rows.add(connection, grant)
    _record(connection, made, "allowed" if grant.allowed else "refused", at=grant.decided_at)
    return made


def list_for(connection: Connection, job: Job) -> list[Granted]:
    """What holds for a run of a job now; a refusal comes before what is allowed."""
    own = and_(GRANT.c.job_id == job.id, GRANT.c.scope != Scope.project)
    its = and_(GRANT.c.project_id == job.project_id, GRANT.c.scope == Scope.project)
    statement = (
        select(GRANT)
        .where(
            GRANT.c.revoked_at.is_(None),
            GRANT.c.used_at.is_(None),
            own if job.project_id is None else or_(own, its),
        )
        .order_by(GRANT.c.allowed, GRANT.c.id)
    )
    return [
        Granted(
            id=grant.id or 0,
            tool=grant.tool,
            pattern=grant.pattern,
            digest=grant.digest,
            allowed=grant.allowed,
            once=grant.scope is Scope.once,
        )
        for grant in rows.fetch(connection, Grant, statement)
    ]


def use(connection: Connection, grant_id: int, *, job_id: int, at: datetime) -> bool:
    """Use up what was allowed once; False when that is no longer so. To be told before the use."""
    result = connection.execute(
        update(GRANT)
        .where(
            GRANT.c.id == grant_id,
            GRANT.c.job_id == job_id,
            GRANT.c.scope == Scope.once,
            GRANT.c.allowed.is_(True),
            GRANT.c.used_at.is_(None),
            GRANT.c.revoked_at.is_(None),
        )
        .values(used_at=at)
    )
    if result.rowcount != 1:
        return False
    _record(connection, rows.get(connection, Grant, grant_id), "used", at=at)
    return True


def revoke(connection: Connection, grant_id: int, *, at: datetime) -> Grant:
    """Take a decision back: from the next turn on it is asked again. Raises NotFound."""
    grant = rows.find(connection, Grant, grant_id)
    if grant is None:
        raise NotFound(noun="policy", name=grant_id)
    if grant.revoked_at is None:
        rows.change(connection, Grant, grant_id, revoked_at=at)
        _record(connection, grant, "revoked", at=at)
    return rows.get(connection, Grant, grant_id)


def list_all(connection: Connection, *, limit: int) -> list[Grant]:
    """The newest decisions first."""
    return rows.newest(connection, Grant, limit=limit)


def _record(connection: Connection, grant: Grant, what: str, *, at: datetime) -> None:
    events.record(
        connection,
        f"tool_{what}",
        at=at,
        job_id=grant.job_id,
        grant_id=grant.id,
        card_id=grant.card_id,
        tool=grant.tool,
        pattern=grant.pattern[:1000],
        scope=grant.scope.value,
        via=grant.via,
    )
