"""The engine from outside: what runs, what waits and why, what is left to be used; the events.

With the daemon up, it answers `engine.status` itself, because it knows more than the rows.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection

from agentos.control.operations.operation import Here, Operation, Params, RowId
from agentos.control.operations.shown import shown
from agentos.control.operations.workers import worker_line
from agentos.domain.capacity import Pool
from agentos.domain.states import FINISHED_JOBS, JobState
from agentos.domain.work import Job, Lane
from agentos.engine.capacity import levels, limits_of, survey
from agentos.engine.claiming import Preview
from agentos.engine.lanes import Choice, Under, holds
from agentos.engine.routes import Routes
from agentos.engine.waiting import Cause, Explainer, Waiting
from agentos.store import events, jobs, pools, queue, workers

_LOOK_AHEAD = 200


class EngineStatus(Params):
    """All of it, with so many of those that wait; or one job."""

    job: RowId | None = None
    waiting: Annotated[int, Field(ge=0, le=1000)] = 20


class EngineEvents(Params):
    """The events after one; `newest` tells only where the stream ends now."""

    since: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    limit: Annotated[int, Field(ge=1, le=5000)] = 1000
    newest: bool = False


@dataclass(frozen=True)
class Alive:
    """What only a running daemon knows."""

    pid: int
    preview: Preview
    # What each live job does, in words.
    doing: Mapping[int, str] = field(default_factory=dict)
    # Workers whose process is kept between jobs.
    warm: Collection[int] = ()
    # Backends that cannot be used here, and how that is mended.
    missing: Mapping[str, str] = field(default_factory=dict)


def status(connection: Connection, params: EngineStatus, here: Here) -> dict[str, Any]:
    """How the engine stands, as far as the rows know."""
    return picture(connection, params, here, alive=None)


def picture(
    connection: Connection, params: EngineStatus, here: Here, *, alive: Alive | None
) -> dict[str, Any]:
    """How the engine stands; without a daemon nothing runs, and all waits for one."""
    preview = _preview(connection, here) if alive is None else alive.preview
    explainer = Explainer(
        connection,
        now=here.at,
        zone=here.config.owner.zone,
        held=None if alive is None else preview.choice.held,
        startable=[job.id or 0 for job in preview.choice.start],
    )
    if params.job is not None:
        job = jobs.get(connection, params.job)
        return {"job": _job(connection, job, explainer, preview, alive=alive)}
    depths = queue.depths(connection, now=here.at)
    waiting = queue.list_waiting(connection, limit=params.waiting)
    reminders, next_reminder = queue.reminders(connection)
    all_waiting = sum(depth.waiting + depth.later for depth in depths.values())
    return {
        "daemon": None if alive is None else {"pid": alive.pid},
        "now": here.at.isoformat(),
        "slots": _slots(preview),
        "draining": preview.supply.draining,
        "paused": preview.supply.paused,
        "machine": preview.supply.strain,
        "lanes": [{"lane": lane.name, **asdict(depth)} for lane, depth in depths.items()],
        "reminders": {"count": reminders, "next": _iso(next_reminder)},
        "parked": queue.count_parked(connection),
        "running": [_running(live, alive) for live in queue.list_live(connection)],
        "waiting": [_waiting(job, _why(job, explainer, preview, alive)) for job in waiting],
        "waiting_beyond": max(0, all_waiting - len(waiting)),
        "window": _window(preview, here),
        "pools": _pools(connection, here),
        "resting": dict(preview.supply.resting),
        "spared": dict(preview.supply.spared),
        "in_use": ["claude", *here.config.backends.use],
        "missing": {} if alive is None else dict(alive.missing),
        "workers": _workers(connection, here, alive),
    }


def list_events(connection: Connection, params: EngineEvents, here: Here) -> dict[str, Any]:
    """Events in the order of their ids. `last` is where to go on, also when there are none."""
    if params.newest:
        return {"events": [], "last": events.newest_id(connection), "more": False}
    found = events.stream(connection, since=params.since, limit=params.limit)
    return {
        "events": [shown(event) for event in found],
        "last": found[-1].id if found else params.since,
        "more": len(found) == params.limit,
    }


def _preview(connection: Connection, here: Here) -> Preview:
    """What there is to be used while no daemon runs."""
    supply = survey(connection, config=here.config, routes=Routes(models={}), now=here.at)
    return Preview(Under(), supply, limits_of(here.config), Choice([], [], Under()))


def _why(job: Job, explainer: Explainer, preview: Preview, alive: Alive | None) -> Waiting:
    """Why a queued job waits; one that is too far down to be looked at is asked by itself."""
    waiting = explainer.why(job)
    if waiting.cause is not Cause.turn or alive is None:
        return waiting
    held = holds(job, under=preview.under, supply=preview.supply, limits=preview.limits)
    return waiting if held is None else Waiting(Cause.held, held.words, hold=held.hold.value)


def _job(
    connection: Connection,
    job: Job,
    explainer: Explainer,
    preview: Preview,
    *,
    alive: Alive | None,
) -> dict[str, Any]:
    if job.state is JobState.queued:
        return _waiting(job, _why(job, explainer, preview, alive))
    told = _line(job)
    if job.state is JobState.running:
        runs = [live for live in queue.list_live(connection) if live.job.id == job.id]
        return {**told, "why": "it runs", **(_running(runs[0], alive) if runs else {})}
    why = "it waits for your answer" if job.state is JobState.parked else ""
    if job.state in FINISHED_JOBS:
        why = f"it is {job.state.value}" + (f": {job.error}" if job.error else "")
    return {**told, "why": why}


def _line(job: Job) -> dict[str, Any]:
    lane = Lane(job.lane).name
    return {
        "id": job.id,
        "title": job.title,
        "state": job.state.value,
        "lane": lane,
        "priority": job.priority,
    }


def _waiting(job: Job, waiting: Waiting) -> dict[str, Any]:
    return {
        **_line(job),
        "why": waiting.words,
        "cause": waiting.cause.value,
        "hold": waiting.hold,
        "until": _iso(waiting.until),
    }


def _running(live: queue.Live, alive: Alive | None) -> dict[str, Any]:
    doing = "" if alive is None else alive.doing.get(live.run.job_id, "")
    return {
        **_line(live.job),
        "worker": live.worker.name,
        "backend": live.worker.backend,
        "model": live.run.model,
        "run": live.run.number,
        "since": _iso(live.run.started_at),
        "doing": doing,
    }


def _slots(preview: Preview) -> dict[str, Any]:
    """The urgent slot is one beside these: it is free until more run than there are."""
    running, limits = preview.under.running, preview.limits
    return {
        "all": limits.slots,
        "running": running,
        "free": max(0, limits.slots - running),
        "urgent_free": running <= limits.slots,
    }


def _window(preview: Preview, here: Here) -> dict[str, Any] | None:
    limit = preview.limits.window_tokens
    if not limit:
        return None
    under = preview.under
    used = preview.supply.window_used
    return {
        "limit": limit,
        "used": used,
        "reserved": under.tokens,
        "share": round((used + under.tokens) / limit, 4),
        "pause_at": here.config.capacity.backpressure,
    }


def _pools(connection: Connection, here: Here) -> list[dict[str, Any]]:
    """What was used of each backend in the pools that last now, and when they begin anew."""
    known = pools.list_all(connection)
    shares = {
        (level.pool.backend, level.pool.span): level.share
        for level in levels(known, here.config.capacity, now=here.at)
    }
    return [
        _pool(pool, shares.get((pool.backend, pool.span)), here)
        for pool in sorted(known, key=lambda pool: (pool.backend, pool.span))
        if pool.began_at <= here.at < pool.resets_at or pools.rests(pool, now=here.at)
    ]


def _pool(pool: Pool, share: float | None, here: Here) -> dict[str, Any]:
    rests = pools.rests(pool, now=here.at)
    return {
        "backend": pool.backend,
        "span": pool.span.value,
        "words": pool.span.words,
        "tokens": pool.tokens,
        "turns": pool.turns,
        "share": None if share is None else round(share, 4),
        "pause_at": here.config.capacity.pause_at,
        "resets_at": _iso(pool.resets_at),
        "rests_until": _iso(pool.rests_until) if rests else None,
    }


def _workers(connection: Connection, here: Here, alive: Alive | None) -> list[dict[str, Any]]:
    busy = workers.at_work(connection)
    warm = () if alive is None else alive.warm
    return [
        {**worker_line(worker, busy=busy, here=here), "warm": worker.id in warm}
        for worker in workers.list_here(connection, limit=200)
    ]


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


ENGINE_OPERATIONS = (
    Operation(name="engine.status", writes=False, params=EngineStatus, run=status),
    Operation(name="engine.events", writes=False, params=EngineEvents, run=list_events),
)
