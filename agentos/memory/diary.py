"""The diary: writes episodes of what has happened, behind the work, and never in its way.

It follows the events from where it left off: a kill at any point costs no line and doubles none, a
full disk makes them late.
"""

import asyncio
import os
from datetime import timedelta

from agentos import log as logs
from agentos.domain.memory import Trust
from agentos.domain.people import Audience
from agentos.domain.talk import Message
from agentos.domain.work import Job
from agentos.errors import AgentosError
from agentos.home import Home
from agentos.memory.episodes import Episode, Episodes
from agentos.store import events, happenings
from agentos.store.database import Database
from agentos.store.happenings import Happening

log = logs.get(__name__)
_LOOK_AGAIN = timedelta(seconds=30)
_GATHER = timedelta(seconds=1)
_PAUSE = timedelta(seconds=5)
_LONGEST_WORDS, _LONGEST_ANSWER, _LONGEST_RESULT = 4000, 1500, 1500
# What is no file and nobody else's word: a place, a card with a name on it.
_OWN = frozenset({"contact", "dice", "location", "poll", "sticker", "venue"})

# How answers to commands begin their keys.
_COMMANDS = ("command:", "forget:")


class Diary:
    """The episodes of one home, kept up with its rows."""

    def __init__(
        self,
        database: Database,
        *,
        home: Home,
        episodes: Episodes,
        gather: timedelta = _GATHER,
        pause: timedelta = _PAUSE,
    ) -> None:
        """What happens within `gather` shares one wait for the disk; `pause` is for a full one."""
        self._database = database
        self._home = home
        self._episodes = episodes
        self._gather = gather.total_seconds()
        self._pause = pause.total_seconds()
        # The last event that is told; None before it is known.
        self._told: int | None = None
        self._is_stuck = False

    async def run(self) -> None:
        """Follow what happens, until cancelled."""
        changed = self._database.listen()
        while True:
            changed.clear()
            try:
                more = await self.catch_up()
            except (AgentosError, OSError) as error:
                if not self._is_stuck:
                    log.warning("episodes_late", problem=str(error))
                self._is_stuck = True
                await asyncio.sleep(self._pause)
                continue
            self._is_stuck = False
            if not more:
                await _changed(changed)
                await asyncio.sleep(self._gather)

    async def catch_up(self) -> bool:
        """Write what has happened since; whether there is still more. Raises HomeUnusable."""
        if self._told is None:
            self._told = await self._left_off()
        told = self._told
        found, upto, more = await self._database.query(lambda c: happenings.since(c, told))
        lines = [line for each in found for line in lines_of(each)]
        if lines:
            await asyncio.to_thread(self._episodes.append_all, lines)
        if upto != told:
            # Behind the lines: what is written twice after a kill is known by its words.
            await asyncio.to_thread(self._keep, upto)
            self._told = upto
        return more

    async def _left_off(self) -> int:
        """The last event that was told; 0 when that is not known, for no line is told twice."""
        newest = await self._database.query(events.newest_id)
        try:
            kept = int(await asyncio.to_thread(self._home.episodes_seen.read_text, "ascii"))
        except (OSError, ValueError):
            return 0
        # Another database counts from its own beginning.
        return kept if kept <= newest else 0

    def _keep(self, event_id: int) -> None:
        file = self._home.episodes_seen
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        with self._home.written():
            draft.write_text(str(event_id), "ascii")
            draft.replace(file)


def lines_of(happening: Happening) -> list[Episode]:
    """The episodes of one thing that happened; none of a command, which is for the machine."""
    message, job = happening.message, happening.job
    outside = message is not None and is_outside(message)
    if job is not None:
        trust = Trust.outside if outside else Trust.self
        return [_line(happening, "job", _ended(job), trust=trust, source=f"job:{job.id}")]
    if message is None or message.audience is Audience.guest:
        return []
    if any(one.key.startswith(_COMMANDS) for one in happening.answers):
        return []
    source = f"message:{message.id}"
    said = Episode(
        ref="",
        at=message.received_at,
        kind="message",
        text=_said(message),
        trust=(Trust.outside if outside else Trust.owner).value,
        source=source,
    )
    answered = " / ".join(one.text for one in happening.answers if one.text.strip())
    if not answered:
        return [said]
    trust = Trust.outside if outside else Trust.self
    text = _cut(answered, _LONGEST_ANSWER)
    return [said, _line(happening, "answer", text, trust=trust, source=source)]


def is_outside(message: Message) -> bool:
    """Whether a message carries words that are not its sender's: handed on, or in a file."""
    return any(str(each.get("kind")) not in _OWN for each in message.attachments)


def _line(happening: Happening, kind: str, text: str, *, trust: Trust, source: str) -> Episode:
    return Episode("", happening.at, kind, text, trust.value, source)


def _said(message: Message) -> str:
    parts = [_cut(message.text, _LONGEST_WORDS)]
    for each in message.attachments:
        kind = str(each.get("kind"))
        if kind == "forward":
            parts.insert(0, f"[forwarded from {each.get('from') or 'somebody else'}]")
        elif kind not in _OWN:
            parts.append(f"[{each.get('name') or kind}]")
    return " ".join(part for part in parts if part)


def _ended(job: Job) -> str:
    told = job.result if job.state.value == "done" else job.error
    tail = f": {_cut(told.strip(), _LONGEST_RESULT)}" if told and told.strip() else ""
    return f"{job.title} ({job.state.value}){tail}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


async def _changed(changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_LOOK_AGAIN.total_seconds()):
            await changed.wait()
    except TimeoutError:
        return
