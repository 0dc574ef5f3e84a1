"""Capture for a test: real rows, recall by the rows alone, and a judge that reads from a script."""

import itertools
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from agentos.domain.frames import TurnEnded, TurnUsage
from agentos.domain.memory import Capture, Memory
from agentos.domain.states import MessageState
from agentos.domain.talk import Message
from agentos.home import Home
from agentos.memory.capture import Capturing
from agentos.memory.client import IndexProcess
from agentos.memory.consolidate import Consolidating
from agentos.memory.core import Core
from agentos.memory.episodes import Episodes
from agentos.memory.forgetting import Forgetting
from agentos.memory.judge import Question, Verdict, read_verdict, user_prompt
from agentos.memory.remembering import Remembering
from agentos.settings import Memory as Settings
from agentos.standins.clock import VirtualClock
from agentos.store import captures, memories, messages, outbox, rows
from agentos.store.database import Database

TALK = "telegram:42"
ZONE = ZoneInfo("Europe/Berlin")
USED = TurnUsage(model="haiku", input_tokens=900, output_tokens=100)
Proposals = list[dict[str, Any]]


class ScriptedJudge:
    """Answers what the script makes of a question; what it answers is read as a model's is."""

    def __init__(self, script: Callable[[Question], Proposals | Verdict]) -> None:
        self.script = script
        self.questions: list[Question] = []
        self.prompts: list[str] = []
        self.rested = 0

    async def judge(self, question: Question) -> Verdict:
        self.questions.append(question)
        self.prompts.append(user_prompt(question))
        told = self.script(question)
        if isinstance(told, Verdict):
            return told
        ended = TurnEnded(turn_id="t", structured={"memories": told}, usage=USED)
        return read_verdict(ended)

    async def rest(self) -> None:
        self.rested += 1


def proposal(text: str, **more: Any) -> dict[str, Any]:
    plain = {"action": "add", "category": "fact", "importance": 0.5, "lines": [1]}
    nothing = {"instead_of": [], "valid_from": None, "valid_to": None}
    return {"text": text, **plain, **nothing, **more}


def no_index(home: Home) -> IndexProcess:
    """An index process that cannot start: recall goes by the rows, as after a crash."""
    return IndexProcess(
        folder=home.memory_index,
        lock=home.memory_lock,
        log_file=home.root / "missing" / "memory.log",
        embedder="",
        rest=timedelta(hours=1),
    )


class CaptureRoom:
    """One home with its capture, and short ways to talk and to look."""

    def __init__(
        self,
        database: Database,
        *,
        home: Home,
        clock: VirtualClock,
        script: Callable[[Question], Proposals | Verdict] = lambda question: [],
        index: IndexProcess | None = None,
        **settings: Any,
    ) -> None:
        self.database, self.home, self.clock = database, home, clock
        self.settings = Settings(**{"embedder": "", **settings})
        self.judge = ScriptedJudge(script)
        self.episodes = Episodes(home, zone=ZONE)
        self.remembering = Remembering(
            database,
            clock=clock,
            index=index or no_index(home),
            settings=self.settings,
            zone=ZONE,
        )
        self.given: Collection[Memory] = ()
        self.capturing = self.reopened()
        self._numbers = itertools.count(1)

    def reopened(self) -> Capturing:
        """Capture as a start of the daemon makes it."""
        self.capturing = Capturing(
            self.database,
            clock=self.clock,
            home=self.home,
            settings=self.settings,
            remembering=self.remembering,
            episodes=self.episodes,
            judge=self.judge,
            zone=ZONE,
            injected=lambda connection, piece: self.given,
        )
        return self.capturing

    def forgetting(self) -> Forgetting:
        return Forgetting(
            self.database,
            clock=self.clock,
            home=self.home,
            remembering=self.remembering,
            episodes=self.episodes,
        )

    def consolidating(self) -> Consolidating:
        return Consolidating(
            self.database,
            clock=self.clock,
            settings=self.settings,
            zone=ZONE,
            core=Core(self.home),
            remembering=self.remembering,
            episodes=self.episodes,
            capturing=self.capturing,
            forgetting=self.forgetting(),
        )

    def says(self, text: str, *, forwarded_from: str | None = None, **more: Any) -> Message:
        """The owner says something, or hands it on."""
        number = next(self._numbers)
        handed_on = [{"kind": "forward", "from": forwarded_from}] if forwarded_from else []
        row = Message(
            **{
                "channel": "telegram",
                "conversation": TALK,
                "external_id": f"{id(self)}-{number}",
                "text": text,
                "attachments": handed_on,
                "state": MessageState.handled,
                "received_at": self.clock.now(),
                **more,
            }
        )
        with self.database.begin() as connection:
            made = messages.receive(connection, row)
        assert made is not None
        return made

    def answers(self, message: Message, text: str) -> None:
        with self.database.begin() as connection:
            outbox.say(
                connection,
                key=f"answer:{message.id}",
                conversation=message.conversation,
                text=text,
                at=self.clock.now(),
                message_id=message.id,
            )

    async def lull(self, minutes: float = 11) -> int:
        """Nobody speaks for a while; how many pieces were read then."""
        self.clock.advance(timedelta(minutes=minutes))
        return await self.capturing.look()

    def memories(self) -> list[Memory]:
        """All of them, closed ones too, in the order they were made."""
        with self.database.read() as connection:
            return memories.list_all(connection, everything=True, limit=1000)

    def current(self) -> list[str]:
        return [row.text for row in self.memories() if row.current]

    def pieces(self) -> list[Capture]:
        with self.database.read() as connection:
            found = rows.newest(connection, Capture, limit=1000)
        return [piece for piece in found[::-1] if piece.key != "begin"]

    def counts(self) -> dict[str, int]:
        with self.database.read() as connection:
            return captures.counts(connection)
