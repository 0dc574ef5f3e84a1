"""The door: the owner comes in, a stranger is told once that this is somebody else's."""

import hmac
from functools import partial

from sqlalchemy import Connection
from telegram import User

from agentos import log as logs
from agentos.channels.telegram import words
from agentos.channels.telegram.formatting import clean
from agentos.channels.telegram.incoming import conversation_of
from agentos.domain.people import Person
from agentos.domain.ports import Clock
from agentos.store import outbox, people
from agentos.store.database import Database

log = logs.get(__name__)

_CHANNEL = "telegram"
_TRIES = 5


class Door:
    """Knows the owner of one bot. `owner_id` of the settings wins over who was paired."""

    def __init__(
        self, database: Database, *, clock: Clock, owner_id: int | None, pairing_code: str
    ) -> None:
        self._database = database
        self._clock = clock
        self._set = owner_id
        self._code = _plain(pairing_code)
        self._owner = owner_id
        self._tries: dict[int, int] = {}

    @property
    def owner(self) -> int | None:
        """The owner's user id, which is also their chat's; None before the pairing."""
        return self._owner

    async def look(self) -> None:
        """Read who the owner is, and write down the one whom the settings name."""
        found = await self._database.query(partial(people.find_owner, channel=_CHANNEL))
        if self._set is None:
            self._owner = int(found.external_id) if found else None
        elif found is None or found.external_id != str(self._set):
            await self._database.write(
                partial(
                    people.pair,
                    channel=_CHANNEL,
                    external_id=str(self._set),
                    name="",
                    at=self._clock.now(),
                )
            )

    def admits(self, user_id: int) -> bool:
        """Whether this is the owner."""
        return user_id == self._owner

    async def was_pairing(self, text: str, *, update_id: int) -> bool:
        """Whether the owner's message is the one that paired them, delivered again."""
        if self._try(text) is None:
            return False
        key = _paired_key(update_id)
        return await self._database.query(partial(outbox.find_by_key, key=key)) is not None

    async def knock(self, user: User, *, text: str, update_id: int) -> None:
        """Somebody else wrote: pair them if they know the code, else hint once, ever."""
        if self._owner is None:
            await self.look()  # paired elsewhere, or before the database could be read
            if self.admits(user.id):
                return
        if self._owner is None and self._knows_code(user.id, text):
            await self._pair(user, update_id=update_id)
            return
        hint = words.HINT_UNPAIRED if self._owner is None else words.HINT_PAIRED
        await self._database.write(partial(self._hint, user=user, text=hint))
        log.info("stranger_knocked", user_id=user.id)

    def _knows_code(self, user_id: int, text: str) -> bool:
        """Compare in constant time; five wrong tries are the last, also when the sixth is right."""
        tried = self._try(text)
        if tried is None or not self._code or self._tries.get(user_id, 0) >= _TRIES:
            return False
        if hmac.compare_digest(tried.encode(), self._code.encode()):
            return True
        self._tries[user_id] = self._tries.get(user_id, 0) + 1
        log.warning("pairing_refused", user_id=user_id, tries=self._tries[user_id])
        return False

    def _try(self, text: str) -> str | None:
        """The code that a text tries, or None when it is just a text."""
        first, _, rest = text.strip().partition(" ")
        if first == "/start":
            return _plain(rest) or None
        tried = _plain(text)
        return tried if len(tried) == len(self._code) else None

    async def _pair(self, user: User, *, update_id: int) -> None:
        def pair(connection: Connection) -> Person:
            now, name = self._clock.now(), clean(user.first_name)
            person = people.pair(
                connection, channel=_CHANNEL, external_id=str(user.id), name=name, at=now
            )
            outbox.say(
                connection,
                key=_paired_key(update_id),
                conversation=conversation_of(user.id),
                text=words.paired(name),
                at=now,
            )
            return person

        await self._database.write(pair)
        self._owner = user.id
        log.info("owner_paired", user_id=user.id)

    def _hint(self, connection: Connection, *, user: User, text: str) -> None:
        now = self._clock.now()
        name = clean(user.full_name)
        people.meet(connection, channel=_CHANNEL, external_id=str(user.id), name=name, at=now)
        outbox.say(
            connection,
            key=f"hint:{_CHANNEL}:{user.id}",
            conversation=conversation_of(user.id),
            text=text,
            at=now,
        )


def _plain(code: str) -> str:
    """A code as it is compared: phones begin words with a capital, people put in spaces."""
    return "".join(code.split()).replace("-", "").casefold()


def _paired_key(update_id: int) -> str:
    return f"paired:{_CHANNEL}:{update_id}"
