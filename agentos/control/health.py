"""How it goes, for a program that watches it: one call without a word of what is talked about."""

from collections.abc import Mapping
from typing import Any

from agentos import log as logs
from agentos.domain.ports import Channel, Clock
from agentos.errors import StoreUnusable
from agentos.loopback.listening import Call, Listener, Reply
from agentos.store import jobs, outbox
from agentos.store.database import Database

log = logs.get(__name__)

PATH = "/healthz"
_WELL = ("connected", "ready")


class Health:
    """Looks at the channels, the queue and the database. It never asks a model: that would cost."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        channels: Mapping[str, Channel],
        model_source: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._channels = channels
        self._model_source = model_source

    def answer_at(self, listener: Listener) -> None:
        """Answer GET /healthz there."""
        listener.add(PATH, self._answer, method="GET")

    async def look(self) -> tuple[bool, dict[str, Any]]:
        """Whether all is well, and how each part is."""
        channels = {name: channel.status for name, channel in self._channels.items()}
        told: dict[str, Any] = {"channels": channels, "model": self._model_source}
        is_well = all(status in _WELL for status in channels.values())
        try:
            told["queue"] = await self._database.query(jobs.count_by_state)
            count, oldest = await self._database.query(outbox.waiting)
            told["database"] = "ok"
        except StoreUnusable as error:
            return False, {**told, "database": str(error)}
        told["unsaid"] = count
        if oldest is not None:
            told["unsaid_seconds"] = max(round((self._clock.now() - oldest).total_seconds()), 0)
        return is_well, told

    async def _answer(self, _call: Call) -> Reply:
        is_well, told = await self.look()
        return Reply(200 if is_well else 503, {"ok": is_well, **told})
