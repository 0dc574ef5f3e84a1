"""Cards expire by the clock: no answer came, nothing happens, and what waited goes on without."""

import asyncio

from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.ports import Clock
from agentos.errors import StoreUnusable
from agentos.frontdesk import taps
from agentos.store import cards
from agentos.store.database import Database

log = logs.get(__name__)
# A burst of commits is looked at once; and the clock may jump.
_GATHER_SECONDS = 0.2
_LOOK_AGAIN_SECONDS = 60.0


class Expiry:
    """Ends cards whose time is over, also what became due while nobody ran."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        changed = self._database.listen()
        while True:
            changed.clear()
            try:
                await self._look(changed)
            except StoreUnusable as error:
                log.error("cards_not_expired", problem=str(error))
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _look(self, changed: asyncio.Event) -> None:
        now = self._clock.now()
        due = await self._database.query(cards.next_expiry)
        if due is not None and due <= now:
            await self._database.write(self._expire)
            return
        waits: list[asyncio.Future[object]] = [asyncio.ensure_future(changed.wait())]
        if due is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep_until(due)))
        try:
            await asyncio.wait(
                waits, timeout=_LOOK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in waits:
                each.cancel()
        await asyncio.sleep(_GATHER_SECONDS)

    def _expire(self, connection: Connection) -> None:
        at = self._clock.now()
        for card in cards.list_expired(connection, now=at):
            if taps.expire(connection, card, at=at):
                log.info("card_expired", card_id=card.id)
