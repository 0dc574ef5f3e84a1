"""Answers and decisions while the daemon runs: the owner's alone; the desk goes on with them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from agentos.config import Config
from agentos.control.operations import cards as asked
from agentos.control.operations import policy
from agentos.control.operations.operation import Here, Params, validated
from agentos.control.peer import Peer
from agentos.domain.ports import Clock
from agentos.errors import BadRequest
from agentos.home import Home
from agentos.store import cards
from agentos.store.database import Database

P = TypeVar("P", bound=Params)


class Desk(Protocol):
    """Where a tap goes."""

    async def tapped(
        self, *, card_id: int, key: str, via: str, own_words: str | None = None
    ) -> str:
        """Answer a card."""
        ...


class AnsweringOperations:
    """Card answers go through the desk, so that what follows from them begins at once."""

    def __init__(
        self, database: Database, *, home: Home, config: Config, clock: Clock, desk: Desk
    ) -> None:
        self._database = database
        self._home = home
        self._config = config
        self._clock = clock
        self._desk = desk

    def operations(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """By name, as the control server takes them."""
        return {"card.answer": self.answer, "policy.revoke": self.revoke}

    async def answer(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        """Answer a card. Raises WrongState when it has ended before."""
        words = await self._of_owner(peer, asked.CardAnswer, params, op="card.answer")
        card = await self._database.query(lambda c: cards.get(c, words.card))
        key, own_words = asked.answer_in(card, words)
        await self._desk.tapped(card_id=words.card, key=key, via=asked.VIA, own_words=own_words)
        here = self._here()
        return await self._database.query(lambda c: asked.answered(c, words, here))

    async def revoke(self, *, peer: Peer, **params: Any) -> dict[str, Any]:
        """Take a decision back."""
        words = await self._of_owner(peer, policy.PolicyRevoke, params, op="policy.revoke")
        here = self._here()
        return await self._database.write(lambda c: policy.revoke(c, words, here))

    async def _of_owner(self, peer: Peer, kind: type[P], params: dict[str, Any], *, op: str) -> P:
        """The words of an operation. Raises BadRequest for a worker: who asks does not answer."""
        if await asyncio.to_thread(peer.is_worker, self._home.mark):
            raise BadRequest(problem=f"{op} is the owner's alone")
        return validated(kind, params, op=op)

    def _here(self) -> Here:
        return Here(at=self._clock.now(), home=self._home, config=self._config)
