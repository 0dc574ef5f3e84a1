"""The intake: one update from Telegram, brought to where it belongs before it is confirmed."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import telegram
from telegram import Bot, CallbackQuery, Update, User
from telegram.constants import ChatType

from agentos import log as logs
from agentos.channels.telegram import words
from agentos.channels.telegram.address import Address
from agentos.channels.telegram.door import Door
from agentos.channels.telegram.groups import Groups, is_group
from agentos.channels.telegram.incoming import text_of, to_message
from agentos.channels.telegram.presence import Presence
from agentos.domain.people import Audience, Person, Role
from agentos.domain.ports import Clock, Reception
from agentos.errors import AgentosError, StoreUnusable

log = logs.get(__name__)

_TOAST_LIMIT = 200


class Intake:
    """Takes updates in. Returns from each when what it said is committed."""

    def __init__(
        self, bot: Bot, *, clock: Clock, door: Door, groups: Groups, presence: Presence
    ) -> None:
        self._bot = bot
        self._clock = clock
        self._door = door
        self._groups = groups
        self._presence = presence
        self._tasks: set[asyncio.Task[None]] = set()
        self.reception: Reception | None = None

    async def take(self, update: Update) -> None:
        """One update. Raises StoreUnusable when it cannot be kept now."""
        if update.message is not None:
            await self._said(update.message, update_id=update.update_id)
        elif update.edited_message is not None:
            await self._edited(update.edited_message)
        elif update.callback_query is not None:
            await self._tapped(update.callback_query)

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _said(self, said: telegram.Message, *, update_id: int) -> None:
        user = said.from_user
        if said.new_chat_members:
            self._groups.look_again(said.chat.id)
        if user is None or user.is_bot:
            return
        grouped = is_group(said.chat)
        if not grouped and said.chat.type != ChatType.PRIVATE:
            log.debug("telegram_not_served", chat_type=said.chat.type)
            return
        person = await self._door.who(user.id)
        if person is None:
            await self._stranger(said, user, update_id=update_id)
            return
        audience = await self._audience(said, person)
        if audience is None:
            return
        message = to_message(said, update_id=update_id, at=self._clock.now())
        if message is None or await self._door.was_pairing(message.text, update_id=update_id):
            return
        message.person_id, message.audience = person.id, audience
        if grouped:
            message.text = self._groups.without_call(message.text)
        await self._received().receive(message)

    async def _stranger(self, said: telegram.Message, user: User, *, update_id: int) -> None:
        """In a group a stranger is only listed: a hint there would be noise to all others."""
        if not is_group(said.chat):
            await self._door.knock(user, text=text_of(said), update_id=update_id)
        elif await self._groups.is_meant(said):
            await self._door.met(user)

    async def _audience(self, said: telegram.Message, person: Person) -> Audience | None:
        """Who hears the answer; None when the message is not meant for us."""
        if not is_group(said.chat):
            return Audience.owner if person.role is Role.owner else Audience.guest
        if person.role is Role.owner and await self._groups.is_alone(said):
            return Audience.owner
        if not await self._groups.is_meant(said):
            return None
        return Audience.shared if person.role is Role.owner else Audience.guest

    async def _edited(self, edited: telegram.Message) -> None:
        user = edited.from_user
        if user is None or await self._door.who(user.id) is None:
            return
        text = text_of(edited)
        await self._received().edited(
            channel="telegram",
            external_message_id=str(edited.message_id),
            text=self._groups.without_call(text) if is_group(edited.chat) else text,
            conversation=Address.of(edited).conversation,
        )

    async def _tapped(self, query: CallbackQuery) -> None:
        """A tap, answered with a few words at the button: whoever tapped waits for them."""
        said = await self._tap(query)
        self._soon(
            self._presence.try_call(
                "answerCallbackQuery",
                lambda: self._bot.answer_callback_query(query.id, said[:_TOAST_LIMIT]),
            )
        )

    async def _tap(self, query: CallbackQuery) -> str:
        if not await self._door.is_owner(query.from_user.id):
            return words.NOT_FOR_YOU
        noun, _, rest = (query.data or "").partition(":")
        row_id, _, key = rest.partition(":")
        if noun not in ("card", "job") or not (row_id.isascii() and row_id.isdigit()) or not key:
            return words.ODD_BUTTON
        reception = self._received()
        try:
            if noun == "job":
                return await reception.pressed(job_id=int(row_id), verb=key, via="telegram")
            return await reception.tapped(card_id=int(row_id), key=key, via="telegram")
        except StoreUnusable:
            raise  # the update stays with Telegram until it can be kept
        except AgentosError as error:
            log.warning("tap_failed", data=query.data, error=str(error))
            return str(error)

    def _received(self) -> Reception:
        assert self.reception is not None, "attach() comes before run()"
        return self.reception

    def _soon(self, work: Coroutine[Any, Any, Any]) -> None:
        async def done() -> None:
            await work

        task = asyncio.create_task(done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
