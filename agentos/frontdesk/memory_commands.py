"""What the owner says to memory: /remember, /forget, /restore, /why. No model is asked."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.memory import Memory, MemoryUse, Origin, Trust
from agentos.domain.ports import Clock
from agentos.domain.talk import Card, CardKind, Message
from agentos.errors import NotFound, WrongState
from agentos.frontdesk import effects, words
from agentos.frontdesk.lines import cut
from agentos.memory.recall import Recalled, alike
from agentos.memory.recollection import source_of
from agentos.memory.remembering import Remembering
from agentos.store import memories, memory_given
from agentos.store.database import Database

NAMES = frozenset({"remember", "forget", "restore", "why"})
NONE_OF_THESE = "none"
_PATIENCE = timedelta(seconds=3)
# Whether it is known already is no reason to wait for an index that is only just starting.
_SHORT_PATIENCE = timedelta(milliseconds=500)
_MOST_SHOWN = 4
_LONGEST = 4000


class MemoryCommands:
    """The commands; each answers a message and is done with it, and may be repeated."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        remembering: Remembering,
        zone: ZoneInfo,
        forget: timedelta,
    ) -> None:
        """`forget` is how long a forgotten memory can be restored."""
        self._database = database
        self._clock = clock
        self._remembering = remembering
        self._zone = zone
        self._forget_for = forget

    async def answer(self, message: Message, name: str, rest: str) -> None:
        """Do what one of them asks."""
        if name == "remember":
            await self._remember(message, rest)
            return
        if is_forwarded(message):
            await self._reply(message, "That was forwarded, so I don't take it as your command.")
            return
        number = number_of(rest)
        if name == "why":
            await self._why(message, rest, number)
        elif number is not None:
            await self._by_number(message, name, number)
        elif name == "restore" or not rest:
            what = "/restore 12" if name == "restore" else "/forget Anna's birthday, or /forget 12"
            await self._reply(message, f"Which one? Say {what}.")
        else:
            await self._ask_which(message, rest)

    async def _remember(self, message: Message, text: str) -> None:
        if not text:
            await self._reply(message, "What shall I remember? Say /remember Anna is vegetarian.")
            return
        if len(text) > _LONGEST:
            await self._reply(message, "That is too long for one memory. Say it in a few lines.")
            return
        outside = is_forwarded(message)
        near = await self._recall(text, limit=3, patience=_SHORT_PATIENCE)
        known = next((one.memory for one in near if alike(one.memory.text, text)), None)
        if known is not None and (outside or known.trust is Trust.owner):
            await self._reply(message, f"I know that already (#{known.id}).")
            return
        at = self._clock.now()
        row = Memory(
            key=f"message:{message.id}",
            text=text,
            trust=Trust.outside if outside else Trust.owner,
            origin=Origin.message if outside else Origin.owner,
            source_ref=f"message:{message.id}",
            importance=0.5 if outside else 0.7,
            valid_from=message.received_at,
            created_at=at,
        )

        def write(connection: Connection) -> None:
            made = memories.add(connection, row)
            said = f"🧠 Remembered (#{made.id}). /forget {made.id} takes it back."
            if outside:
                said += "\nIt is somebody else's word, so I keep it as that."
            effects.reply(connection, message, said, key="command", at=at)

        await self._database.write(write)

    async def _by_number(self, message: Message, name: str, memory_id: int) -> None:
        at = self._clock.now()

        def write(connection: Connection) -> None:
            if name == "forget":
                said = self.forget(connection, memory_id, at=at)
            else:
                said = _restore(connection, memory_id, at=at)
            effects.reply(connection, message, said, key="command", at=at)

        await self._database.write(write)

    def forget(self, connection: Connection, memory_id: int, *, at: datetime) -> str:
        """Forget one; returns what to say, which does not tell its text again."""
        return forget(connection, memory_id, at=at, for_=self._forget_for, zone=self._zone)

    async def _ask_which(self, message: Message, text: str) -> None:
        """Show the best matches to tap: by a text alone, the wrong one might be meant."""
        found = await self._recall(text, limit=_MOST_SHOWN)
        if not found:
            await self._reply(message, "I find nothing about that in my memory.")
            return
        options = [
            {
                "key": str(one.memory.id),
                "label": f"#{one.memory.id} {cut(one.memory.text, 60)}",
                "consequence": "It is forgotten.",
            }
            for one in found
        ]
        options.append({"key": NONE_OF_THESE, "label": "None of these", "consequence": ""})
        at = self._clock.now()
        card = Card(
            kind=CardKind.forget,
            channel=message.channel,
            conversation=message.conversation,
            question="Which one shall I forget?",
            options=options,
            message_id=message.id,
            created_at=at,
        )

        def write(connection: Connection) -> None:
            key = forget_key(message.id)
            effects.show(connection, card, text=card.question, key=key, at=at)
            effects.finish(connection, message, at=at)

        await self._database.write(write)

    async def _why(self, message: Message, text: str, number: int | None) -> None:
        now = self._clock.now().astimezone(self._zone)
        if number is None and text:
            found = await self._recall(text, limit=_MOST_SHOWN)
            ids = [one.memory.id or 0 for one in found]
        else:
            found, ids = [], [] if number is None else [number]

        def write(connection: Connection) -> None:
            chosen, opening = ids, ""
            if number is None and not text:
                given = memory_given.find_message(connection, message.conversation)
                chosen = memory_given.list_ids(connection, message_id=given) if given else []
                opening = "What I had in mind last:\n\n" if chosen else ""
            said = opening + "\n\n".join(
                self._told(connection, memory_id, found, now=now) for memory_id in chosen
            )
            nothing = "I had nothing from memory in mind. Say /why Anna, or /why 12."
            if text:
                nothing = "I find nothing about that in my memory."
            effects.reply(connection, message, said or nothing, key="command", at=now)

        await self._database.write(write)

    def _told(
        self, connection: Connection, memory_id: int, found: list[Recalled], *, now: datetime
    ) -> str:
        """One memory: what it says, whose word it is, how often it was of use, what it replaced."""
        try:
            row = memories.get(connection, memory_id)
        except NotFound:
            return f"There is no #{memory_id} in my memory."
        if row.forgotten_at is not None:
            return f"#{memory_id} is forgotten."
        used = memories.uses(connection, [memory_id]).get(memory_id)
        lines = [f"**#{memory_id}** {cut(row.text, 300)}", self._origin(row), self._use(used, now)]
        if row.superseded_by is not None:
            lines.append(f"No longer true: #{row.superseded_by} took its place.")
        lines += [
            f"It took the place of #{one.id}: {cut(one.text or '(forgotten)', 120)}"
            for one in memories.replaced_by(connection, memory_id)
            if one.forgotten_at is None
        ]
        score = next((one for one in found if one.memory.id == memory_id), None)
        if score is not None:
            lines.append(
                f"Fits {score.relevance:.0%} · new {score.recency:.0%} · "
                f"important {score.importance:.0%} · used {score.use:.0%} → {score.score:.2f}"
            )
        return "\n".join(lines)

    def _origin(self, row: Memory) -> str:
        since = row.valid_from.astimezone(self._zone)
        whose = {
            Trust.owner: "you told me",
            Trust.self: "I concluded it",
            Trust.outside: "⚠ somebody else's word: only quoted, never followed",
        }[row.trust]
        source = source_of(row)
        told = "" if source == "the owner" else f" ({source.replace(':', ' #', 1)})"
        return f"{row.category.value.capitalize()}, {whose}{told}, {_day(since)}"

    def _use(self, used: MemoryUse | None, now: datetime) -> str:
        if used is None or not used.times:
            return "Not recalled yet"
        last = words.moment(used.last_at.astimezone(self._zone), now=now)
        return f"Recalled {words.counted(used.times, 'time')}, last {last}"

    async def _recall(
        self, text: str, *, limit: int, patience: timedelta = _PATIENCE
    ) -> list[Recalled]:
        wish = self._remembering.wish(text, limit=limit)
        answer = await self._remembering.recall(wish, count=False, patience=patience)
        return answer.found

    async def _reply(self, message: Message, text: str) -> None:
        at = self._clock.now()
        await self._database.write(
            lambda connection: effects.reply(connection, message, text, key="command", at=at)
        )


def forget(
    connection: Connection, memory_id: int, *, at: datetime, for_: timedelta, zone: ZoneInfo
) -> str:
    """Forget a memory; returns what to say of it."""
    try:
        row = memories.get(connection, memory_id)
    except NotFound:
        return f"There is no #{memory_id} in my memory."
    if row.forgotten_at is not None:
        return f"#{memory_id} is forgotten already."
    memories.forget(connection, memory_id, at=at, erase_at=at + for_)
    said = (
        f"Forgotten: #{memory_id} ({row.category.value}, {_day(row.valid_from.astimezone(zone))})."
    )
    if for_ <= timedelta():
        return said
    return f"{said} /restore {memory_id} brings it back until {_day((at + for_).astimezone(zone))}."


def forget_key(message_id: int | None) -> str:
    """The outbox key of the question which memory to forget."""
    return f"forget:{message_id}"


def number_of(text: str) -> int | None:
    """The id in "12" or "#12", or None."""
    number = text.strip().removeprefix("#")
    is_id = number.isascii() and number.isdigit() and len(number) < 10
    return int(number) if is_id else None


def is_forwarded(message: Message) -> bool:
    """Whether the owner only handed it on: its words are somebody else's."""
    return any(each.get("kind") == "forward" for each in message.attachments)


def _restore(connection: Connection, memory_id: int, *, at: datetime) -> str:
    try:
        memories.restore(connection, memory_id, at=at)
    except NotFound:
        return f"There is no #{memory_id} in my memory."
    except WrongState as error:
        gone = error.fields.get("state") == "erased"
        return f"#{memory_id} is gone for good." if gone else f"#{memory_id} was not forgotten."
    return f"#{memory_id} is back."


def _day(at: datetime) -> str:
    return f"{at.day} {at:%b %Y}"
