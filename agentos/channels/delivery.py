"""Delivery: what a channel's outbox holds, said in order, until each row is said or given up.

One task a conversation, so that a stuck one holds up only itself. When to try again is counted
here, by the machine's steady clock; `next_attempt_at` in the rows is for people to read. So a
jump of the wall clock delays nothing, and a new start tries everything at once.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from agentos import log as logs
from agentos.domain.ports import Channel, Clock
from agentos.domain.talk import Outgoing
from agentos.errors import BadRequest, ChannelDown, StoreUnusable
from agentos.store import outbox
from agentos.store.database import Database

log = logs.get(__name__)

# Commits wake the loop; this only bounds the harm of a wake-up that was missed.
_SAFETY_NET_SECONDS = 5.0
_EVER = timedelta(days=36_500)
_SURPRISES_BORNE = 5


class Deliverer:
    """Delivers the outbox rows of one channel.

    `outbox.recover` is the caller's, once at start and before any deliverer runs: rows that were
    being sent when the last process ended may have arrived, and are said again with a note.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        channel: Channel,
        first_pause: timedelta = timedelta(seconds=1),
        longest_pause: timedelta = timedelta(seconds=60),
    ) -> None:
        self._database = database
        self._clock = clock
        self._channel = channel
        self._first_pause = first_pause.total_seconds()
        self._longest_pause = longest_pause.total_seconds()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._surprises: dict[int, int] = {}

    async def run(self) -> None:
        """Deliver until cancelled. A channel that is down for hours is tried on and on."""
        changed = self._database.listen()
        try:
            while True:
                changed.clear()
                for conversation in await self._waiting():
                    self._start(conversation, changed=changed)
                # Not wait_for: in Python 3.11 it may swallow a cancellation.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SAFETY_NET_SECONDS):
                        await changed.wait()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, conversation: str, *, changed: asyncio.Event) -> None:
        if conversation in self._tasks:
            return

        def ended(_task: asyncio.Task[None]) -> None:
            del self._tasks[conversation]
            # What was committed while the task was ending has woken nobody.
            changed.set()

        task = asyncio.create_task(self._drain(conversation))
        self._tasks[conversation] = task
        task.add_done_callback(ended)

    async def _waiting(self) -> list[str]:
        """The conversations that have something to be said."""
        try:
            return [row.conversation for row in await self._heads()]
        except StoreUnusable as error:
            log.warning("outbox_unreadable", channel=self._channel.name, error=str(error))
        except Exception:  # the channel edge: delivery outlives whatever it meets
            log.exception("outbox_unreadable", channel=self._channel.name)
        return []

    async def _heads(self) -> list[Outgoing]:
        name, then = self._channel.name, self._clock.now() + _EVER
        return await self._database.query(partial(outbox.list_due, channel=name, now=then))

    async def _drain(self, conversation: str) -> None:
        """Say the rows of a conversation one after the other, until there are no more."""
        failures = 0
        while True:
            try:
                heads = await self._heads()
                row = next((one for one in heads if one.conversation == conversation), None)
                if row is None:
                    return
                await self._channel.ready(conversation)
                pause = await self._deliver(row, failures=failures)
            except StoreUnusable as error:
                log.warning(
                    "delivery_waits_for_store", channel=self._channel.name, error=str(error)
                )
                pause = self._pause(failures)
            except Exception:  # the channel edge: delivery outlives whatever it meets
                log.exception("delivery_stumbled", conversation=conversation)
                pause = self._pause(failures)
            failures = 0 if pause is None else failures + 1
            if pause is not None:
                await asyncio.sleep(pause)

    async def _deliver(self, row: Outgoing, *, failures: int) -> float | None:
        """Say one row and settle it; the seconds to wait when it has to be tried again."""
        assert row.id is not None
        supersede = partial(outbox.supersede, row=row)
        if self._channel.edits_in_place and row.edits_id and await self._database.write(supersede):
            log.info("superseded", outbox_id=row.id, key=row.key)
            return None
        if not await self._database.write(partial(outbox.mark_sending, outbox_id=row.id)):
            return self._pause(failures)
        try:
            external_id = await self._channel.deliver(row)
        except (ChannelDown, StoreUnusable) as error:
            return await self._postpone(row, error=error, failures=failures)
        except BadRequest as error:
            await self._give_up(row, error=str(error))
            return None
        except Exception as error:  # noqa: BLE001 - the channel edge
            return await self._surprised(row, error=error, failures=failures)
        now = self._clock.now()
        await self._settle(
            partial(outbox.mark_sent, outbox_id=row.id, external_id=external_id, at=now)
        )
        self._surprises.pop(row.id, None)
        log.info("delivered", outbox_id=row.id, key=row.key, attempt=row.attempts + 1)
        return None

    async def _postpone(
        self, row: Outgoing, *, error: Exception, failures: int, uncertain: bool = False
    ) -> float:
        assert row.id is not None
        pause = self._pause(failures)
        if isinstance(error, ChannelDown):
            uncertain = error.uncertain
            if error.retry_after is not None:
                pause = max(error.retry_after, 0.0)
        log.warning(
            "delivery_postponed",
            outbox_id=row.id,
            key=row.key,
            seconds=round(pause, 1),
            uncertain=uncertain,
            error=str(error),
        )
        await self._settle(
            partial(
                outbox.mark_retry,
                outbox_id=row.id,
                at=self._clock.now() + timedelta(seconds=pause),
                error=logs.redact(str(error)),
                uncertain=uncertain,
            )
        )
        return pause

    async def _surprised(self, row: Outgoing, *, error: Exception, failures: int) -> float | None:
        """A fault of ours: tried a few times, since the next row must not wait for a mend."""
        assert row.id is not None
        log.exception("delivery_surprised", outbox_id=row.id, key=row.key)
        count = self._surprises[row.id] = self._surprises.get(row.id, 0) + 1
        if count >= _SURPRISES_BORNE:
            await self._give_up(row, error=f"{type(error).__name__}: {error}")
            return None
        return await self._postpone(row, error=error, failures=failures, uncertain=True)

    async def _give_up(self, row: Outgoing, *, error: str) -> None:
        assert row.id is not None
        log.error("delivery_failed", outbox_id=row.id, key=row.key, error=error)
        await self._settle(partial(outbox.mark_failed, outbox_id=row.id, error=logs.redact(error)))
        self._surprises.pop(row.id, None)

    async def _settle(self, mark: Callable[[Connection], Any]) -> None:
        """Write down how a send ended, waiting out a full disk: a lost one says things twice."""
        failures = 0
        while True:
            try:
                await self._database.write(mark)
                return
            except StoreUnusable as error:
                log.warning("settle_waits_for_store", error=str(error))
            except Exception:  # the channel edge
                log.exception("settle_stumbled")
            await asyncio.sleep(self._pause(failures))
            failures += 1

    def _pause(self, failures: int) -> float:
        """Seconds: doubling from the first pause to the longest, with a fifth of jitter."""
        pause = min(self._first_pause * 2.0 ** min(failures, 16), self._longest_pause)
        return pause * random.uniform(0.8, 1.2)  # noqa: S311 - it spreads load, it hides nothing
