"""What there is to be used: the pools of the backends, the five-minute window, the machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.capacity import Pool, Span
from agentos.engine.lanes import Limits, Supply
from agentos.engine.routes import Routes
from agentos.settings import Capacity
from agentos.store import jobs, pauses, pools, usage

WINDOW = timedelta(minutes=5)


@dataclass(frozen=True)
class Level:
    """How full a pool is, from 0 up; 1 is all of it."""

    pool: Pool
    share: float


def limits_of(config: Config) -> Limits:
    """The limits that the owner has set."""
    return Limits(
        slots=config.engine.slots,
        project_slots=config.engine.project_slots,
        template_slots=config.engine.template_slots,
        window_tokens=config.capacity.window_tokens,
        backpressure=config.capacity.backpressure,
        deep_queue=config.capacity.deep_queue,
    )


def survey(
    connection: Connection,
    *,
    config: Config,
    routes: Routes,
    now: datetime,
    strain: str = "",
    draining: bool = False,
) -> Supply:
    """Look at the rows: what was used, what is left, how deep the queue is."""
    known = pools.list_all(connection)
    zone = config.owner.zone
    spared = spared_pools(known, config.capacity, now=now, zone=zone)
    limits = limits_of(config)
    used = usage.tokens_between(connection, now - WINDOW, now) if limits.window_tokens else 0
    deep = limits.deep_queue
    resting = resting_backends(known, config.capacity, now=now, zone=zone)
    return Supply(
        now=now,
        resting={**routes.coming(), **resting},
        detours=routes.detours(resting),
        spared=spared,
        window_used=used,
        depth=jobs.count_ready(connection, now=now, limit=deep) if limits.window_tokens else 0,
        strain=strain,
        draining=draining,
        paused=_paused(connection, now=now, zone=zone),
    )


def _paused(connection: Connection, *, now: datetime, zone: ZoneInfo) -> str:
    """That the owner has paused it, and until when; empty when not."""
    pause = pauses.find(connection, now=now)
    if pause is None:
        return ""
    if pause.until is None:
        return "the owner has paused it, until /resume"
    return f"the owner has paused it until {shown(pause.until, now=now, zone=zone)}"


def levels(known: Sequence[Pool], capacity: Capacity, *, now: datetime) -> list[Level]:
    """How full each pool with a limit is, by tokens or by turns, whichever is more."""
    found = []
    for pool in known:
        tokens, turns = _limits_of(pool.span, capacity)
        if not (tokens or turns) or not _lasts(pool, now=now):
            continue
        by_tokens = pool.tokens / tokens if tokens else 0.0
        by_turns = pool.turns / turns if turns else 0.0
        found.append(Level(pool, max(by_tokens, by_turns)))
    return found


def resting_backends(
    known: Sequence[Pool], capacity: Capacity, *, now: datetime, zone: ZoneInfo
) -> dict[str, str]:
    """Backends that take nothing: they said so, or all that they may use is used."""
    reasons = []
    for level in levels(known, capacity, now=now):
        if level.share >= 1:
            words = f"the {level.pool.span.words} pool of {level.pool.backend} is empty"
            reasons.append((level.pool.resets_at, level.pool.backend, words))
    for pool in known:
        if pools.rests(pool, now=now) and pool.rests_until is not None:
            words = f"{pool.backend} has reached its limit and rests"
            reasons.append((pool.rests_until, pool.backend, words))
    return _latest(reasons, now=now, zone=zone)


def spared_pools(
    known: Sequence[Pool], capacity: Capacity, *, now: datetime, zone: ZoneInfo
) -> dict[str, str]:
    """Backends whose rest is kept for the owner."""
    reasons = []
    for level in levels(known, capacity, now=now):
        if level.share >= capacity.pause_at:
            pool = level.pool
            used = f"{level.share:.0%} of the {pool.span.words} pool of {pool.backend} is used"
            words = f"{used}: the rest is kept for urgent work"
            reasons.append((pool.resets_at, pool.backend, words))
    return _latest(reasons, now=now, zone=zone)


def next_reset(known: Sequence[Pool], capacity: Capacity, *, now: datetime) -> datetime | None:
    """When the next backend takes work again that does not now, or None."""
    moments = [
        level.pool.resets_at
        for level in levels(known, capacity, now=now)
        if level.share >= capacity.pause_at
    ]
    moments += [
        pool.rests_until for pool in known if pool.rests_until and pools.rests(pool, now=now)
    ]
    return min(moments, default=None)


def _limits_of(span: Span, capacity: Capacity) -> tuple[int, int]:
    if span is Span.five_hours:
        return capacity.five_hour_tokens, capacity.five_hour_turns
    return capacity.weekly_tokens, capacity.weekly_turns


def _lasts(pool: Pool, *, now: datetime) -> bool:
    return pool.began_at <= now < pool.resets_at


def _latest(
    reasons: list[tuple[datetime, str, str]], *, now: datetime, zone: ZoneInfo
) -> dict[str, str]:
    """For each backend, the reason that lasts longest, and until when."""
    return {
        backend: f"{words} until {shown(until, now=now, zone=zone)}"
        for until, backend, words in sorted(reasons)
    }


def shown(moment: datetime, *, now: datetime, zone: ZoneInfo) -> str:
    """A time as the owner is told it, with the day when that is another one."""
    at, today = moment.astimezone(zone), now.astimezone(zone).date()
    return f"{at:%H:%M}" if at.date() == today else f"{at:%a %d %b, %H:%M}"
