"""The front desk: takes messages in, has each decided and answered, and hands out the work.

It never does work itself. Within a conversation messages are handled one after the other;
commands, taps and acknowledgements do not wait for them.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
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
from agentos.frontdesk import effects, memory_commands, presses, taps, words
from agentos.frontdesk.bursts import Line
from agentos.frontdesk.commands import catalogue
from agentos.frontdesk.commands.known import Commands
from agentos.frontdesk.commands.picture import draw
from agentos.frontdesk.ends import Ends
from agentos.frontdesk.errands import Errands, Resting
from agentos.frontdesk.handling import Handling
from agentos.frontdesk.intake import folder_of
from agentos.frontdesk.watching import Watching
from agentos.home import Home
from agentos.memory.room import MemoryRoom
from agentos.store import messages, plans
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
        steered: Callable[[int], None] | None = None,
    ) -> None:
        """`outlook` tells what jobs do and why they wait; without one, nobody knows.

        `steered` is called when a job that may be under way was told something.
        """
        self._database = database
        self._clock = clock
        self._home = home
        self._channels = channels
        self._errands = Errands()
        self._ways = effects.Ways.of(config)
        self._commands = Commands(
            zone=config.owner.zone, model_source=model_source, slots=config.engine.slots
        )
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
            steered=steered,
        )
        self._watching = Watching(
            database, clock=clock, channels=channels, errands=self._errands, outlook=outlook
        )
        self._pause = timedelta(seconds=config.talk.debounce_seconds)
        self._lines: dict[str, Line] = {}
        # What is being handled in its turn, for whoever stops it.
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._known: set[int] = set()
        # What came before the recovery was done waits for it: older messages go first.
        self._recovered = False
        self._early: list[Message] = []
        self._ends = Ends(database, clock=clock)

    async def run(self) -> None:
        """Go on where a crash left off, then see plans to their end, until cancelled."""
        changed = self._database.listen()
        try:
            await self._recover()
            self._errands.send(self._handling.warm(), name="warm triage")
            self._errands.send(self._watching.run(), name="watch over work")
            while True:
                changed.clear()
                await self._ends.look()
                await _wait(changed)
        finally:
            await self._errands.call_off()
            self._lines.clear()
            self._under_way.clear()
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
            self._ends.await_plan(tapped.started_plan)
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
        for plan in unclosed:
            self._ends.await_plan(plan.id or 0)
        early, self._early = self._early, []
        self._recovered = True
        new = {message.id for message in early}
        for message in found:
            if message.id not in new:
                log.info("message_recovered", message_id=message.id, state=message.state.value)
                self._acknowledge(message)
            self._take_up(message, is_new=False)
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

    def _take_up(self, message: Message, *, is_new: bool = True) -> None:
        assert message.id is not None
        if not self._recovered:
            self._early.append(message)
            return
        if message.id in self._known:
            return
        self._known.add(message.id)
        if catalogue.parse(message.text) is not None:
            self._errands.send(self._handle(message.id), name="command")
            return
        line = self._lines.get(message.conversation)
        if line is None:
            line = self._lines[message.conversation] = Line(pause=self._pause)
            self._errands.send(self._attend(line), name=f"talk on {message.conversation}")
        line.put(message, is_new=is_new)

    async def _attend(self, line: Line) -> None:
        while True:
            burst = [message.id or 0 for message in await line.next()]
            for message_id in await self._merged(burst):
                task = self._errands.send(self._handle(message_id), name="handle a message")
                self._under_way[message_id] = task
                await asyncio.wait({task})
                del self._under_way[message_id]
                self._known.discard(message_id)

    async def _merged(self, burst: list[int]) -> list[int]:
        """The ids to handle: of several quick messages the last, which stands for all of them."""
        if len(burst) == 1:
            return burst
        try:
            await self._database.write(lambda connection: messages.merge(connection, burst))
            open_ = await self._database.query(messages.list_open)
        except StoreUnusable as error:
            log.error("messages_not_merged", messages=burst, problem=str(error))
            return burst
        self._known.difference_update(burst[:-1])
        still = {message.id for message in open_}
        return [message_id for message_id in burst if message_id in still]

    async def _call_off_what_is_stopped(self) -> None:
        """End the handling of messages that were just stopped: their rows say that it is over."""
        open_ = await self._database.query(messages.list_open)
        left = {message.id for message in open_}
        for message_id, task in list(self._under_way.items()):
            if message_id not in left:
                task.cancel()

    async def _handle(self, message_id: int) -> None:
        """Handle a message to its end; a full disk is waited out, a fault of ours is told."""
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            try:
                message = await self._database.query(
                    lambda connection: messages.whole(connection, message_id)
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
        parsed = catalogue.parse(message.text)
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
        picture = await self._draw(message, at=at) if parsed[0] == "status" else None
        await self._database.write(
            lambda connection: self._commands.answer(connection, message, at=at, picture=picture)
        )
        if parsed[0] == "stop":
            await self._call_off_what_is_stopped()

    async def _draw(self, message: Message, *, at: datetime) -> Path | None:
        """A picture of the system, where a channel can show one."""
        if message.channel == "terminal":
            return None
        sections = await self._database.query(
            lambda connection: self._commands.sections(connection, message, at=at)
        )
        local = at.astimezone(self._ways.zone)
        try:
            content = await asyncio.to_thread(draw, f"agentos, {local:%a %d %b, %H:%M}", sections)
            folder = folder_of(self._home, message.id)
            return await asyncio.to_thread(_kept, folder / "status.png", content)
        except OSError as error:
            log.warning("status_not_drawn", problem=str(error))
            return None

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


async def _wait(changed: asyncio.Event) -> None:
    """Until the rows change, or a while later as a safety net."""
    await asyncio.sleep(_GATHER.total_seconds())
    try:
        # Not wait_for: before Python 3.12 it can swallow a cancel that comes with the event.
        async with asyncio.timeout(_LOOK_AGAIN.total_seconds()):
            await changed.wait()
    except TimeoutError:
        return


def _kept(file: Path, content: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


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
