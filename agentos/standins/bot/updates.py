"""The queue of updates: numbered, kept until confirmed, read by one poll at a time."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from agentos.standins.bot.refusal import Refused
from agentos.standins.changes import Changes

Json = dict[str, Any]

_ALWAYS_ASKED_FOR = frozenset({"message_reaction", "message_reaction_count", "chat_member"})
_CONFLICT = (
    "terminated by other getUpdates request; make sure that only one bot instance is running"
)
_LOOK_AT_CLIENT = timedelta(seconds=1)
_FIRST_ID = 500_000_001


class PollAbandoned(Exception):
    """The client of a long poll went away."""


class UpdateQueue:
    """What the bot has not confirmed yet. Polling never takes anything out, confirming does."""

    def __init__(self) -> None:
        self.pending: list[Json] = []
        self.last: Json | None = None
        self.allowed: frozenset[str] = frozenset()
        self.changed = Changes()
        self._next_id = _FIRST_ID
        self._poll = 0
        self._again: list[Json] = []
        self._ended = False

    def put(self, kind: str, content: Json) -> Json | None:
        """Queue an update; None when the bot does not want this kind."""
        wanted = kind in self.allowed if self.allowed else kind not in _ALWAYS_ASKED_FOR
        if not wanted:
            return None
        update = {"update_id": self._next_id, kind: content}
        self._next_id += 1
        self.pending.append(update)
        self.last = update
        self.changed.fire()
        return update

    def repeat_last(self) -> Json | None:
        """Deliver the last update once more with the same id, even when it was confirmed."""
        if self.last is not None:
            self._again.append(self.last)
            self.changed.fire()
        return self.last

    def take_again(self) -> Json | None:
        """The next update to deliver a second time, once."""
        return self._again.pop(0) if self._again else None

    def successor(self) -> "UpdateQueue":
        """An empty queue whose numbers go on, so that a bot's offset stays right.

        The poll that waits here ends with nothing.
        """
        self._ended = True
        self.changed.fire()
        queue = UpdateQueue()
        queue._next_id = self._next_id
        return queue

    def confirm(self, offset: int) -> None:
        """A positive offset confirms all below it; a negative keeps only that many, the newest."""
        if offset > 0:
            self.pending = [one for one in self.pending if one["update_id"] >= offset]
        elif offset < 0:
            self.pending = self.pending[offset:]

    async def poll(
        self,
        *,
        offset: int,
        limit: int,
        wait: timedelta,
        gone: Callable[[], Awaitable[bool]],
    ) -> list[Json]:
        """Updates from `offset` on, waiting up to `wait` for the first.

        A newer poll ends this one with 409, as Telegram does.
        """
        self.confirm(offset)
        self._poll += 1
        mine = self._poll
        self.changed.fire()
        deadline = time.monotonic() + wait.total_seconds()
        while True:
            if mine != self._poll:
                raise Refused(409, _CONFLICT)
            if self._ended:
                return []
            left = timedelta(seconds=deadline - time.monotonic())
            if self._again or self.pending or left <= timedelta(0):
                again, self._again = self._again, []
                return (again + [one for one in self.pending if one not in again])[:limit]
            seen = self.changed.version
            await self.changed.wait(seen=seen, within=min(left, _LOOK_AT_CLIENT))
            if await gone():
                raise PollAbandoned
