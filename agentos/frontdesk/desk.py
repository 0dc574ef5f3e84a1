"""The front desk: takes messages in, has each decided and answered, and hands out the work.

It never does work itself. Within a conversation messages are handled one after the other;
commands, taps and acknowledgements do not wait for them.
"""

import asyncio
import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from agentos import log as logs
from agentos.config import Config
from agentos.domain.ports import Channel, Clock
from agentos.domain.states import MessageState
from agentos.domain.talk import Message
from agentos.domain.work import Plan
from agentos.engine.outlook import Outlook
from agentos.engine.sessions import Sessions
from agentos.errors import StoreUnusable
from agentos.frontdesk import (
    closing,
    commands,
    effects,
    memory_commands,
    nights,
    presses,
    taps,
    words,
)
from agentos.frontdesk.errands import Errands, Resting
from agentos.frontdesk.handling import Handling
from agentos.frontdesk.watching import Watching
from agentos.home import Home
from agentos.memory.room import MemoryRoom
from agentos.store import messages, outbox, plans
from agentos.store.database import Database

log = logs.get(__name__)
# How long to wait before a message is tried again when the database cannot be written.
_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
_LOOK_AGAIN = timedelta(seconds=10)
# A burst of commits is looked at once.
_GATHER = timedelta(milliseconds=100)


class FrontDesk:
    """The `Reception` of all channels."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        config: Config,
        home: Home,
        sessions: Sessions,
        channels: Mapping[str, Channel],
        model_source: str = "",
        memory: MemoryRoom | None = None,
        outlook: Outlook | None = None,
    ) -> None:
        """`outlook` tells what jobs do and why they wait; without one, nobody knows."""
        self._database = database
        self._clock = clock
        self._home = home
        self._channels = channels
        self._errands = Errands()
        self._ways = effects.Ways.of(config)
        self._commands = commands.Commands(zone=config.owner.zone, model_source=model_source)
        self._memory_commands: memory_commands.MemoryCommands | None = None
        if memory is not None:
            self._memory_commands = memory_commands.MemoryCommands(
                database,
                clock=clock,
                remembering=memory.remembering,
                zone=config.owner.zone,
                forget=self._ways.forget,
            )
        self._handling = Handling(
            database,
            clock=clock,
            config=config,
            home=home,
            sessions=sessions,
            channels=channels,
            ways=self._ways,
            errands=self._errands,
            resting=Resting(self._errands, after=timedelta(seconds=config.engine.warm_seconds)),
            recollections=memory.recollections if memory is not None else None,
        )
        self._watching = Watching(
            database, clock=clock, channels=channels, errands=self._errands, outlook=outlook
        )
        self._lines: dict[str, asyncio.Queue[int]] = {}
        self._known: set[int] = set()
        # What came before the recovery was done waits for it: older messages go first.
        self._recovered = False
        self._early: list[Message] = []
        self._open_plans: set[int] = set()

    async def run(self) -> None:
        """Go on where a crash left off, then see plans to their end, until cancelled."""
        changed = self._database.listen()
        try:
            await self._recover()
            self._errands.send(self._handling.warm(), name="warm triage")
            self._errands.send(self._watching.run(), name="watch over work")
            while True:
                changed.clear()
                await self._close_plans()
                await self._end_quiet()
                await _wait(changed)
        finally:
            await self._errands.call_off()
            self._lines.clear()
            self._known.clear()
            self._recovered = False

    async def receive(self, message: Message) -> Message | None:
        """Store a message; it is acknowledged and handled afterwards. None when it was known."""
        message.text = _storable(message.text)
        stored = await self._database.write(
            lambda connection: messages.receive(connection, message)
        )
        if stored is not None:
            log.info("message_received", message_id=stored.id, channel=stored.channel)
            self._acknowledge(stored)
            self._take_up(stored)
        return stored

    async def edited(
        self,
        *,
        channel: str,
        external_message_id: str,
        text: str,
        conversation: str | None = None,
    ) -> None:
        """Change a message that is not decided yet; for one that is, ask for a new message."""
        at = self._clock.now()
        await self._database.write(
            lambda connection: _edit(
                connection,
                channel=channel,
                external_message_id=external_message_id,
                text=_storable(text),
                conversation=conversation,
                at=at,
            )
        )

    async def tapped(
        self, *, card_id: int, key: str, via: str, own_words: str | None = None
    ) -> str:
        """Answer a card; returns a few words for the button."""
        at = self._clock.now()
        tapped = await self._database.write(
            lambda connection: taps.tap(
                connection,
                card_id,
                key,
                via=via,
                home=self._home,
                ways=self._ways,
                at=at,
                own_words=own_words,
            )
        )
        log.info("card_tapped", card_id=card_id, key=key, toast=tapped.toast)
        if tapped.message is not None:
            self._take_up(tapped.message)
        if tapped.started_plan is not None:
            self._open_plans.add(tapped.started_plan)
        return tapped.toast

    async def pressed(self, *, job_id: int, verb: str, via: str) -> str:
        """Do what a button at a job's message says; returns a few words for it."""
        at = self._clock.now()
        said = await self._database.write(
            lambda connection: presses.press(connection, job_id, verb, at=at)
        )
        log.info("button_pressed", job_id=job_id, verb=verb, via=via, said=said)
        return said

    async def _recover(self) -> None:
        """Take up what was open when the daemon ended, in the order it came."""
        found, unclosed = await self._what_is_open()
        self._open_plans.update(plan.id for plan in unclosed if plan.id is not None)
        early, self._early = self._early, []
        self._recovered = True
        new = {message.id for message in early}
        for message in found:
            if message.id not in new:
                log.info("message_recovered", message_id=message.id, state=message.state.value)
                self._acknowledge(message)
            self._take_up(message)
        for message in early:
            self._take_up(message)

    async def _what_is_open(self) -> tuple[list[Message], list[Plan]]:
        """Open messages and plans; rows that cannot be read now are read later."""
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            try:
                unclosed = await self._database.query(plans.list_unclosed)
                return await self._database.query(messages.list_open), unclosed
            except StoreUnusable as error:
                log.error("recovery_postponed", problem=str(error))
            await asyncio.sleep(pause)
        raise AssertionError("it repeats without end")

    def _acknowledge(self, message: Message) -> None:
        channel = self._channels.get(message.channel)
        if channel is not None:
            self._errands.send(channel.acknowledge(message), name="acknowledge")

    def _take_up(self, message: Message) -> None:
        assert message.id is not None
        if not self._recovered:
            self._early.append(message)
            return
        if message.id in self._known:
            return
        self._known.add(message.id)
        if commands.parse(message.text) is not None:
            self._errands.send(self._handle(message.id), name="command")
            return
        line = self._lines.get(message.conversation)
        if line is None:
            line = self._lines[message.conversation] = asyncio.Queue()
            self._errands.send(self._attend(line), name=f"talk on {message.conversation}")
        line.put_nowait(message.id)

    async def _attend(self, line: asyncio.Queue[int]) -> None:
        while True:
            await self._handle(await line.get())

    async def _handle(self, message_id: int) -> None:
        """Handle a message to its end; a full disk is waited out, a fault of ours is told."""
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            try:
                message = await self._database.query(
                    lambda connection: messages.get(connection, message_id)
                )
                await self._answer(message)
                break
            except StoreUnusable as error:
                log.error("message_postponed", message_id=message_id, problem=str(error))
            except Exception:
                # The loop's edge: one message that trips us must not stop those behind it.
                log.exception("message_failed", message_id=message_id)
                if await self._apologise(message_id):
                    break
            await asyncio.sleep(pause)
        self._known.discard(message_id)

    async def _answer(self, message: Message) -> None:
        if message.state is MessageState.handled:
            return
        parsed = commands.parse(message.text)
        if parsed is None:
            await self._handling.handle(message)
            return
        private = await self._handling.private_command(message)
        if private is None:
            return
        message = private
        if self._memory_commands is not None and parsed[0] in memory_commands.NAMES:
            await self._memory_commands.answer(message, *parsed)
            return
        at = self._clock.now()
        await self._database.write(
            lambda connection: self._commands.answer(connection, message, at=at)
        )

    async def _apologise(self, message_id: int) -> bool:
        """Say that something broke; False when not even that can be stored now."""
        at = self._clock.now()

        def reply(connection: Connection) -> None:
            message = messages.get(connection, message_id)
            if message.state is not MessageState.handled:
                effects.reply(connection, message, words.OUR_FAULT, key="answer", at=at)

        try:
            await self._database.write(reply)
        except StoreUnusable as error:
            log.error("message_postponed", message_id=message_id, problem=str(error))
            return False
        except Exception:  # the loop's edge, again: those behind it are still to be answered
            log.exception("apology_failed", message_id=message_id)
            return False
        return True

    async def _close_plans(self) -> None:
        for plan_id in sorted(self._open_plans):
            try:
                await self._close_plan(plan_id)
            except StoreUnusable as error:
                log.error("plan_not_closed", plan_id=plan_id, problem=str(error))

    async def _end_quiet(self) -> None:
        """Say what was held back, once the quiet hours are over."""
        try:
            if not await self._database.query(outbox.any_held):
                return
            at = self._clock.now()
            said = await self._database.write(
                lambda connection: outbox.release(connection, digest=nights.digest, at=at)
            )
        except StoreUnusable as error:
            log.error("quiet_not_ended", problem=str(error))
            return
        if said:
            log.info("quiet_ended", said=said)

    async def _close_plan(self, plan_id: int) -> None:
        if not await self._database.query(
            lambda connection: closing.has_ended(connection, plan_id)
        ):
            return
        at = self._clock.now()
        await self._database.write(lambda connection: closing.close(connection, plan_id, at=at))
        self._open_plans.discard(plan_id)


async def _wait(changed: asyncio.Event) -> None:
    """Until the rows change, or a while later as a safety net."""
    await asyncio.sleep(_GATHER.total_seconds())
    try:
        # Not wait_for: before Python 3.12 it can swallow a cancel that comes with the event.
        async with asyncio.timeout(_LOOK_AGAIN.total_seconds()):
            await changed.wait()
    except TimeoutError:
        return


def _storable(text: str) -> str:
    """Without what some database refuses: halves of surrogate pairs, zero characters."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def _edit(
    connection: Connection,
    *,
    channel: str,
    external_message_id: str,
    text: str,
    conversation: str | None,
    at: datetime,
) -> None:
    meant: dict[str, Any] = {
        "channel": channel,
        "external_message_id": external_message_id,
        "conversation": conversation,
    }
    if messages.edit(connection, text=text, **meant):
        return
    message = messages.find_by_external_message(connection, **meant)
    # Channels tell of edits that change no word, such as the preview of a link.
    if message is not None and message.text != text:
        effects.say(connection, message, words.EDITED_TOO_LATE, key="edited", at=at)
