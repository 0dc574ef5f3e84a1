"""getUpdates."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from agentos.standins.bot.params import Params
from agentos.standins.bot.refusal import Refused
from agentos.standins.bot.world import World

Json = dict[str, Any]

_WEBHOOK_ACTIVE = (
    "can't use getUpdates method while webhook is active; use deleteWebhook to delete the "
    "webhook first"
)
_TIMEOUT_MOST = 50


async def get_updates(
    world: World, params: Params, *, gone: Callable[[], Awaitable[bool]]
) -> list[Json]:
    """The next updates, waiting up to `timeout` seconds. allowed_updates stays until changed."""
    if world.webhook:
        raise Refused(409, _WEBHOOK_ACTIVE)
    wanted = params.decoded("allowed_updates")
    if wanted is not None:
        world.updates.allowed = frozenset(wanted)
    timeout = min(params.integer("timeout", default=0) or 0, _TIMEOUT_MOST)
    limit = params.integer("limit", default=100) or 100
    return await world.updates.poll(
        offset=params.integer("offset", default=0) or 0,
        limit=max(1, min(limit, 100)),
        wait=timedelta(seconds=timeout),
        gone=gone,
    )
