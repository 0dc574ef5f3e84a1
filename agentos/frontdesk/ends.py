"""Ends: what is told when something is over, the last job of a plan or the quiet hours."""

from agentos import log as logs
from agentos.domain.ports import Clock
from agentos.errors import StoreUnusable
from agentos.frontdesk import closing, nights
from agentos.store import outbox
from agentos.store.database import Database

log = logs.get(__name__)


class Ends:
    """What is waited for. Each look finds what is over by now, and tells it once."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._plans: set[int] = set()

    def await_plan(self, plan_id: int) -> None:
        """Tell the end of this plan, too, when it comes."""
        self._plans.add(plan_id)

    async def look(self) -> None:
        """Tell what is over; rows that cannot be written now are written at a later look."""
        for plan_id in sorted(self._plans):
            try:
                await self._close_plan(plan_id)
            except StoreUnusable as error:
                log.error("plan_not_closed", plan_id=plan_id, problem=str(error))
        try:
            await self._end_quiet()
        except StoreUnusable as error:
            log.error("quiet_not_ended", problem=str(error))

    async def _close_plan(self, plan_id: int) -> None:
        if not await self._database.query(
            lambda connection: closing.has_ended(connection, plan_id)
        ):
            return
        at = self._clock.now()
        await self._database.write(lambda connection: closing.close(connection, plan_id, at=at))
        self._plans.discard(plan_id)

    async def _end_quiet(self) -> None:
        """Say what was held back, once the quiet hours are over."""
        if not await self._database.query(outbox.any_held):
            return
        at = self._clock.now()
        said = await self._database.write(
            lambda connection: outbox.release(connection, digest=nights.digest, at=at)
        )
        if said:
            log.info("quiet_ended", said=said)
