"""The door: the owner and their guests come in, a stranger is told once whose house this is."""

import hmac
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection
from telegram import User

from agentos import log as logs
from agentos.channels.telegram import words
from agentos.channels.telegram.address import conversation_of
from agentos.channels.telegram.formatting import clean
from agentos.domain.people import Person, Role
from agentos.domain.ports import Clock
from agentos.store import knocks, outbox, people
from agentos.store.database import Database

log = logs.get(__name__)

_CHANNEL = "telegram"
_TRIES = 5
_SILENCE = timedelta(hours=1)
# Of all strangers together: after so many wrong codes none pairs any more before the next start.
_MOST_TRIES = 50


class Door:
    """Knows who may talk to one bot. `owner_id` of the settings wins over who was paired."""

    def __init__(
        self, database: Database, *, clock: Clock, owner_id: int | None, pairing_code: str
    ) -> None:
        self._database = database
        self._clock = clock
        self._set = owner_id
        # Empty once it was used: a code pairs one person, once.
        self._code = _plain(pairing_code)
        self._length = len(self._code)
        self._owner = owner_id
        self._tries: dict[int, list[datetime]] = {}
        self._all_tries = 0

    @property
    def owner(self) -> int | None:
        """The owner's user id, which is also their chat's; None before the pairing."""
        return self._owner

    async def look(self) -> None:
        """Read who the owner is, and write down the one whom the settings name."""
        if self._set is None:
            found = await self._database.query(partial(people.find_owner, channel=_CHANNEL))
            self._owner = int(found.external_id) if found else None
            return
        named = str(self._set)
        person = await self._database.query(
            partial(people.find, channel=_CHANNEL, external_id=named)
        )
        if person is None or person.role is not Role.owner:
            await self._database.write(
                partial(
                    people.pair,
                    channel=_CHANNEL,
                    external_id=named,
                    name=person.name if person else "",
                    username=person.username if person else "",
                    at=self._clock.now(),
                )
            )

    async def who(self, user_id: int) -> Person | None:
        """The owner or the guest with this id; None for everybody else."""
        found = await self._database.query(
            partial(people.find, channel=_CHANNEL, external_id=str(user_id))
        )
        if found is not None and found.role in (Role.owner, Role.guest):
            return found
        if user_id != self._set:
            return None
        await self.look()
        return await self.who(user_id)

    async def is_owner(self, user_id: int) -> bool:
        """Whether this is the owner."""
        found = await self.who(user_id)
        return found is not None and found.role is Role.owner

    async def was_pairing(self, text: str, *, update_id: int) -> bool:
        """Whether the owner's message is the one that paired them, delivered again."""
        if self._try(text) is None:
            return False
        key = _paired_key(update_id)
        return await self._database.query(partial(outbox.find_by_key, key=key)) is not None

    async def knock(self, user: User, *, text: str, update_id: int) -> None:
        """Somebody else wrote: pair them if they know the code, else hint once, ever."""
        await self.look()  # paired elsewhere, removed, or before the database could be read
        if self._owner is None and self._knows_code(user.id, text):
            await self._pair(user, update_id=update_id)
            return
        if self._owner is None and self._is_silenced(user.id):
            return
        hint = words.HINT_UNPAIRED if self._owner is None else words.HINT_PAIRED
        await self._database.write(partial(self._hint, user=user, text=hint))
        log.info("stranger_knocked", user_id=user.id)

    async def met(self, user: User) -> None:
        """A stranger called us where others read along: they are listed, and nothing is said."""
        await self._database.write(partial(self._meet, user=user))
        log.info("stranger_called", user_id=user.id)

    def _knows_code(self, user_id: int, text: str) -> bool:
        """Compare in constant time; five wrong tries are the last for an hour, right ones too."""
        tried = self._try(text)
        if tried is None or not self._code or self._is_silenced(user_id):
            return False
        if hmac.compare_digest(tried.encode(), self._code.encode()):
            return True
        self._tries.setdefault(user_id, []).append(self._clock.now())
        self._all_tries += 1
        log.warning("pairing_refused", user_id=user_id, tries=self._all_tries)
        return False

    def _is_silenced(self, user_id: int) -> bool:
        """Whether somebody has guessed too often, or all of them together have."""
        if self._all_tries >= _MOST_TRIES:
            return True
        tries = self._tries.get(user_id, [])
        return len(tries) >= _TRIES and abs(self._clock.now() - tries[-_TRIES]) < _SILENCE

    def _try(self, text: str) -> str | None:
        """The code that a text tries, or None when it is just a text."""
        first, _, rest = text.strip().partition(" ")
        if first == "/start":
            return _plain(rest) or None
        tried = _plain(text)
        return tried if tried and len(tried) == self._length else None

    async def _pair(self, user: User, *, update_id: int) -> None:
        def pair(connection: Connection) -> Person:
            now, name = self._clock.now(), clean(user.first_name)
            person = people.pair(
                connection,
                channel=_CHANNEL,
                external_id=str(user.id),
                name=name,
                username=clean(user.username or ""),
                at=now,
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
        self._code = ""
        log.info("owner_paired", user_id=user.id)

    def _hint(self, connection: Connection, *, user: User, text: str) -> None:
        person = self._meet(connection, user=user)
        if person.role is not Role.stranger:
            return
        outbox.say(
            connection,
            key=f"hint:{_CHANNEL}:{user.id}",
            conversation=conversation_of(user.id),
            text=text,
            at=self._clock.now(),
        )
        if self._owner is not None:
            knocks.tell(connection, person, to=conversation_of(self._owner), at=self._clock.now())

    def _meet(self, connection: Connection, *, user: User) -> Person:
        return people.meet(
            connection,
            channel=_CHANNEL,
            external_id=str(user.id),
            name=clean(user.full_name),
            username=clean(user.username or ""),
            at=self._clock.now(),
        )


def _plain(code: str) -> str:
    """A code as it is compared: phones begin words with a capital, people put in spaces."""
    return "".join(code.split()).replace("-", "").casefold()


def _paired_key(update_id: int) -> str:
    return f"paired:{_CHANNEL}:{update_id}"
