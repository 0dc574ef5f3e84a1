"""Webhooks: the updates carried to the bot, in order, each until it is taken."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import httpx

from agentos.standins.bot.params import Params
from agentos.standins.bot.refusal import bad
from agentos.standins.bot.world import World

Json = dict[str, Any]

_SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
_RETRY_FIRST = 0.2
_RETRY_MOST = 5.0
_FOREVER = timedelta(days=1)


class Carrier:
    """Posts updates to the webhook of a world while one is set."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def set_webhook(self, world: World, params: Params) -> bool:
        """setWebhook. Plain http is taken too: it never leaves this machine."""
        url = params.text("url")
        if not url:
            return await self.delete_webhook(world, params)
        if not url.startswith(("http://", "https://")):
            raise bad("bad webhook: An HTTPS URL must be provided for webhook")
        await self.stop()
        wanted = params.decoded("allowed_updates")
        if wanted is not None:
            world.updates.allowed = frozenset(wanted)
        if params.flag("drop_pending_updates"):
            world.updates.pending.clear()
        world.webhook = {"url": url, "secret": params.text("secret_token")}
        self._task = asyncio.create_task(_carry(world))
        return True

    async def delete_webhook(self, world: World, params: Params) -> bool:
        """deleteWebhook."""
        await self.stop()
        world.webhook = {}
        if params.flag("drop_pending_updates"):
            world.updates.pending.clear()
        return True

    async def get_webhook_info(self, world: World, params: Params) -> Json:
        """getWebhookInfo."""
        told: Json = {
            "url": world.webhook.get("url", ""),
            "has_custom_certificate": False,
            "pending_update_count": len(world.updates.pending),
        }
        if world.updates.allowed:
            told["allowed_updates"] = sorted(world.updates.allowed)
        errors = ("last_error_date", "last_error_message")
        return told | {name: world.webhook[name] for name in errors if name in world.webhook}

    async def stop(self) -> None:
        """Carry nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None


async def _carry(world: World) -> None:
    headers = {_SECRET_HEADER: world.webhook["secret"]} if world.webhook["secret"] else {}
    pause = _RETRY_FIRST
    async with httpx.AsyncClient(trust_env=False, timeout=30, headers=headers) as client:
        while True:
            seen = world.updates.changed.version
            update = world.updates.take_again() or next(iter(world.updates.pending), None)
            if update is None:
                await world.updates.changed.wait(seen=seen, within=_FOREVER)
                continue
            problem = await _deliver(client, url=world.webhook["url"], update=update)
            if problem is None:
                world.updates.confirm(update["update_id"] + 1)
                pause = _RETRY_FIRST
                continue
            world.webhook |= {"last_error_date": int(time.time()), "last_error_message": problem}
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RETRY_MOST)


async def _deliver(client: httpx.AsyncClient, *, url: str, update: Json) -> str | None:
    """Post one update; None when it was taken, else why not."""
    try:
        response = await client.post(url, json=update)
    except httpx.HTTPError as failed:
        return f"Connection failed: {type(failed).__name__}"
    if response.is_success:
        return None
    return f"Wrong response from the webhook: {response.status_code} {response.reason_phrase}"
