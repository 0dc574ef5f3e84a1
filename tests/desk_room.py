"""The front desk for a test: real database, real sessions, the stand-in model, a plain channel."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentos.backends.claude_access import standin_access
from agentos.config import Config
from agentos.domain.ports import Channel
from agentos.domain.progress import Mark
from agentos.domain.states import FINISHED_JOBS, Actor, JobState, MessageState
from agentos.domain.talk import Card, Message, Outgoing
from agentos.domain.work import Job, Plan
from agentos.engine.environment import child_environment
from agentos.engine.forks import ForkServer
from agentos.engine.sessions import Sessions
from agentos.errors import BadRequest
from agentos.frontdesk.desk import FrontDesk
from agentos.home import Home
from agentos.memory.room import MemoryRoom
from agentos.standins.clock import VirtualClock
from agentos.standins.messages_control import MessagesControl
from agentos.standins.script import Rule
from agentos.store import cards, jobs, messages, plans, rows
from agentos.store.database import Database

TALK = "telegram:42"


class PlainChannel:
    """A channel that keeps what it is given. Its files are texts in a dictionary."""

    edits_in_place = True

    def __init__(self, name: str = "telegram") -> None:
        self.name = name
        self.acknowledged: list[int] = []
        self.previews: list[str] = []
        self.files: dict[str, bytes] = {}
        self.marks: list[tuple[int, Mark]] = []
        self.shown: list[str] = []

    async def run(self) -> None:
        """Nothing comes in by itself."""

    async def acknowledge(self, message: Message) -> None:
        """Keep its id."""
        self.acknowledged.append(message.id or 0)

    async def preview(self, message: Message, *, text: str) -> None:
        """Keep the text."""
        self.previews.append(text)

    async def mark(self, message: Message, mark: Mark) -> None:
        """Keep it."""
        self.marks.append((message.id or 0, mark))

    async def progress(self, row: Outgoing, *, text: str) -> bool:
        """Keep the text."""
        self.shown.append(text)
        return True

    async def fetch(self, attachment: dict[str, Any], *, folder: Path) -> Path:
        """Write one of its files."""
        name = attachment["name"]
        if name not in self.files:
            raise BadRequest(problem=f"{name} is not there any more.")
        path: Path = folder / name
        path.write_bytes(self.files[name])
        return path

    async def ready(self, conversation: str) -> None:
        """Always."""

    async def deliver(self, row: Outgoing) -> str | None:
        """What is said is looked up in the rows."""
        return str(row.id)


class DeskRoom(AbstractAsyncContextManager["DeskRoom"]):
    """A front desk that is open, and short ways to talk to it and to look at what it did."""

    def __init__(
        self,
        database: Database,
        *,
        clock: VirtualClock,
        home: Home,
        url: str,
        config: Config | None = None,
        memory: MemoryRoom | None = None,
    ) -> None:
        self.database, self.clock, self.home = database, clock, home
        self.config = config or Config.model_validate(
            {"owner": {"timezone": "Europe/Berlin"}, "talk": {"debounce_seconds": 0}}
        )
        self.channel = PlainChannel()
        self._memory = memory
        self.model = MessagesControl(url)
        access = standin_access(url, config_folder=home.claude_config)
        self._forks = ForkServer(
            home=home.root,
            environment=lambda mark: child_environment(access, home=home.root, mark=mark),
            mark=home.mark,
        )
        self.sessions = Sessions(self._forks, logs_folder=home.logs)
        self.desk = self._new_desk()
        self._loop: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)

    def _new_desk(self) -> FrontDesk:
        channels: dict[str, Channel] = {"telegram": self.channel}
        return FrontDesk(
            self.database,
            clock=self.clock,
            config=self.config,
            home=self.home,
            sessions=self.sessions,
            channels=channels,
            model_source="the built-in stand-in model",
            memory=self._memory,
        )

    async def __aenter__(self) -> Self:
        self.open()
        return self

    def open(self) -> None:
        """Let the desk begin."""
        self._loop = asyncio.create_task(self.desk.run())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        await self.sessions.close()
        await self._forks.close()
        await self.model.close()

    async def stop(self) -> None:
        """Let the desk fall where it stands, as a crash would."""
        assert self._loop is not None
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)

    async def restart(self) -> None:
        """A new desk on the same rows."""
        await self.stop()
        self.desk = self._new_desk()
        self.open()

    async def reopen_after(self, *texts: str) -> None:
        """A new desk that is told something before it has begun."""
        await self.stop()
        self.desk = self._new_desk()
        for text in texts:
            await self.say(text)
        self.open()

    async def plays(self, **rule: Any) -> None:
        """Give the model a rule."""
        await self.model.add_rules([Rule.model_validate(rule)])

    async def decides(self, prompt: str, decision: dict[str, Any], **more: Any) -> None:
        """Let triage decide so when the prompt matches."""
        answer = {"reason": "as scripted", "decision": decision}
        await self.plays(
            when={"prompt": prompt, "schema_property": "decision"},
            turn=[{"blocks": [{"structured": answer}]}],
            **more,
        )

    async def say(self, text: str, *, conversation: str = TALK, **more: Any) -> Message:
        """The owner says something; returns when it is stored."""
        number = next(self._numbers)
        message = Message(
            channel=conversation.partition(":")[0],
            conversation=conversation,
            external_id=str(more.pop("external_id", number)),
            external_message_id=str(1000 + number),
            text=text,
            received_at=self.clock.now(),
            **more,
        )
        stored = await self.desk.receive(message)
        assert stored is not None
        return stored

    async def talk(self, text: str, **more: Any) -> list[Outgoing]:
        """The owner says something; returns what was said to it when it is handled."""
        return await self.handled(await self.say(text, **more))

    async def handled(self, message: Message, *, seconds: float = 40) -> list[Outgoing]:
        """Wait until a message is handled; returns what was said to it."""

        async def done() -> bool:
            return (await self.message(message.id)).state is MessageState.handled

        await self.until(done, seconds=seconds)
        return [row for row in await self.said() if row.message_id == message.id]

    async def until(self, true: Callable[[], Any], *, seconds: float = 30) -> Any:
        """Wait until something holds; returns it."""
        async with asyncio.timeout(seconds):
            while not (found := await true()):
                await asyncio.sleep(0.02)
        return found

    async def said_under(self, key: str) -> Outgoing:
        """Wait for the outbox row with this key."""

        async def find() -> Outgoing | None:
            return next((row for row in await self.said() if row.key == key), None)

        row: Outgoing = await self.until(find)
        return row

    async def message(self, message_id: int | None) -> Message:
        """A message as it is now."""
        return await self.database.query(lambda c: messages.get(c, message_id or 0))

    async def messages(self) -> list[Message]:
        """All messages, oldest first."""
        found = await self.database.query(lambda c: rows.newest(c, Message, limit=100))
        return found[::-1]

    async def said(self) -> list[Outgoing]:
        """All that was said, oldest first."""
        found = await self.database.query(lambda c: rows.newest(c, Outgoing, limit=1000))
        return found[::-1]

    async def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        return (await self.database.query(lambda c: jobs.list_all(c)))[::-1]

    async def card(self) -> Card:
        """The card that is open."""
        (card,) = await self.database.query(lambda c: cards.list_open(c))
        return card

    async def plan(self, plan_id: int = 1) -> Plan:
        """A plan as it is now."""
        return await self.database.query(lambda c: plans.get(c, plan_id))

    async def tap(self, key: str, *, card: Card | None = None, via: str = "telegram") -> str:
        """The owner taps an option of the open card, or of another."""
        card_id = (card or await self.card()).id or 0
        return await self.desk.tapped(card_id=card_id, key=key, via=via)

    async def end_jobs(self, state: JobState = JobState.done, **values: Any) -> None:
        """Play the engine: all jobs that have not ended come to their end."""

        def end(connection: Any) -> None:
            for job in jobs.list_unfinished(connection):
                if job.state not in FINISHED_JOBS:
                    at = self.clock.now()
                    jobs.move(connection, job.id or 0, state, by=Actor.engine, at=at, **values)

        await self.database.write(end)
