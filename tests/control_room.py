"""A small daemon for tests of its clients: real rows, real socket, and a desk that does as told.

`python -m tests.control_room` serves the home of AGENTOS_HOME until it is terminated.
"""

import asyncio
import signal
from typing import Any

from agentos.channels.delivery import Deliverer
from agentos.channels.terminal import TerminalChannel
from agentos.config import Config
from agentos.control.server import ControlServer
from agentos.domain.clock import SystemClock
from agentos.domain.ports import Channel
from agentos.domain.states import Actor, JobState, MessageState
from agentos.domain.talk import Card, CardKind, Message
from agentos.domain.work import Job
from agentos.home import Home, default_home
from agentos.store import cards, jobs, messages, outbox
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate

OPTIONS = [{"key": "go", "label": "Go"}, {"key": "drop", "label": "Drop"}]


class PlainDesk:
    """A reception without a model: "work" and "fail" start a job, "card" asks, the rest echoes."""

    def __init__(self, database: Database, *, home: Home) -> None:
        self.database, self.home, self.clock = database, home, SystemClock()
        self.channel: Channel | None = None
        self.errands: set[asyncio.Task[None]] = set()

    async def receive(self, message: Message) -> Message | None:
        stored = await self.database.write(lambda c: messages.receive(c, message))
        if stored is not None:
            errand = asyncio.create_task(self._handle(stored))
            self.errands.add(errand)
            errand.add_done_callback(self.errands.discard)
        return stored

    async def edited(
        self,
        *,
        channel: str,
        external_message_id: str,
        text: str,
        conversation: str | None = None,
    ) -> None:
        """The terminal has no edits."""

    async def tapped(self, *, card_id: int, key: str, via: str) -> str:
        at = self.clock.now()
        first = await self.database.write(lambda c: cards.answer(c, card_id, key, via=via, at=at))
        if not first:
            return "That was answered before."
        card = await self.database.query(lambda c: cards.get(c, card_id))
        await self.say(f"You chose {key}.", key=f"tap:{card_id}", message_id=card.message_id)
        return f"✓ {key}"

    async def say(self, text: str, **more: Any) -> None:
        at = self.clock.now()
        await self.database.write(
            lambda c: outbox.say(c, conversation="terminal:main", text=text, at=at, **more)
        )

    async def _handle(self, message: Message) -> None:
        assert message.id is not None and self.channel is not None
        await self.channel.acknowledge(message)
        word = message.text.split()[0] if message.text.split() else ""
        if word == "slow":
            await asyncio.sleep(60)
        elif word in ("work", "fail"):
            await self._work(message, ends=JobState.done if word == "work" else JobState.failed)
        elif word == "card":
            await self._ask(message)
        else:
            await self.channel.preview(message, text="You sa")
            files = "".join(f" with {one['name']}" for one in message.attachments)
            text = f"You said: **{message.text}**{files}"
            await self.say(text, key=f"answer:{message.id}", message_id=message.id)
            await self._handled(message)

    async def _handled(self, message: Message) -> None:
        at = self.clock.now()
        await self.database.write(
            lambda c: messages.move(c, message.id or 0, MessageState.handled, at=at)
        )

    async def _ask(self, message: Message) -> None:
        at = self.clock.now()
        card = Card(
            kind=CardKind.clarify,
            channel="terminal",
            conversation="terminal:main",
            question="Which?",
            options=OPTIONS,
            message_id=message.id,
            created_at=at,
        )
        made = await self.database.write(lambda c: cards.open_card(c, card))
        buttons = [
            [{"label": one["label"], "data": f"card:{made.id}:{one['key']}"}] for one in OPTIONS
        ]
        await self.say(
            "Which?",
            key=f"card:{made.id}",
            message_id=message.id,
            card_id=made.id,
            buttons=buttons,
        )
        await self._handled(message)

    async def _work(self, message: Message, *, ends: JobState) -> None:
        at = self.clock.now()
        row = Job(
            title=message.text,
            prompt=message.text,
            message_id=message.id,
            conversation="terminal:main",
            created_at=at,
        )
        job = await self.database.write(lambda c: jobs.enqueue(c, row))
        await self.say("On it.", key=f"ack:{message.id}", message_id=message.id, job_id=job.id)
        await self._handled(message)
        await asyncio.sleep(0.3)
        await self._end(job, ends)

    async def _end(self, job: Job, state: JobState) -> None:
        assert job.id is not None
        at, job_id = self.clock.now(), job.id
        folder = self.home.job_folder(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "report.md"
        file.write_text("# The report\n")
        error = "it went wrong" if state is JobState.failed else None
        await self.database.write(
            lambda c: jobs.move(c, job_id, JobState.running, by=Actor.engine, at=at)
        )

        def settle(connection: Any) -> None:
            jobs.move(connection, job_id, state, by=Actor.engine, at=at, error=error)
            outbox.say(
                connection,
                key=f"result:{job_id}",
                conversation="terminal:main",
                text=f"Job {job_id} is {state.value}.",
                at=at,
                job_id=job_id,
                file_path=str(file),
            )

        await self.database.write(settle)


async def serve(home: Home) -> None:
    """Run until SIGTERM."""
    home.make()
    database = Database(sqlite_url(home.database_file))
    migrate(database)
    clock = SystemClock()
    desk = PlainDesk(database, home=home)
    terminal = TerminalChannel(database, clock=clock, reception=desk)
    desk.channel = terminal

    async def status(**_: Any) -> dict[str, Any]:
        return {"model_source": "the plain desk", "pid": 1}

    server = ControlServer(
        home,
        database=database,
        clock=clock,
        config=Config(),
        extra={**terminal.operations(), "daemon.status": status},
    )
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    deliverer = Deliverer(database, clock=clock, channel=terminal)
    tasks = [asyncio.create_task(each()) for each in (server.run, terminal.run, deliverer.run)]
    await stopping.wait()
    for task in (*tasks, *desk.errands):
        task.cancel()
    await asyncio.gather(*tasks, *desk.errands, return_exceptions=True)
    database.close()


if __name__ == "__main__":
    asyncio.run(serve(Home(default_home())))
