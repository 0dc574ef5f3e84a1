"""Company: talk with guests, and with the owner where others read along. Words only, no work.

Nothing of the owner's is in any prompt here: no core memory, no memories, no jobs, no cards, no
other conversation. What is not told to a model cannot be coaxed out of it. What the owner asks for
among others and is work goes on in the private chat, with its plan, its questions and its result.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from agentos import log as logs
from agentos.config import Config
from agentos.domain.people import Audience, Person
from agentos.domain.ports import Channel, Clock
from agentos.domain.states import MessageState
from agentos.domain.talk import Message
from agentos.domain.triage import BigWork, Clarify, Defer, QuickWork, Respond, Triage
from agentos.engine.sessions import Sessions
from agentos.frontdesk import effects, words
from agentos.frontdesk.chat import Chat
from agentos.frontdesk.errands import Errands, Resting
from agentos.frontdesk.intake import Intake
from agentos.frontdesk.lines import cut
from agentos.frontdesk.preview import Preview
from agentos.frontdesk.replies import Quoted
from agentos.frontdesk.surroundings import Surroundings, look_around, read_owner_file
from agentos.frontdesk.triage import Decided, Triager
from agentos.home import Home
from agentos.prompts import render
from agentos.store import messages, outbox, people
from agentos.store.database import Database

log = logs.get(__name__)
_HOUR = timedelta(hours=1)
_MOST_AN_HOUR = 40
_RESPOND = Respond(outcome="respond")


class CompanyChat(Chat):
    """The chat, told nothing of the owner's; with sessions of its own."""

    prefix = "company"

    def system_prompt(self, home: Home, *, owner_name: str) -> str:
        """Who it is among others. Reads files."""
        return render("guest.md.j2", owner_name=owner_name, soul=read_owner_file(home, "SOUL.md"))

    def turn_prompt(
        self, message: Message, intake: Intake, around: Surroundings, *, fresh: bool
    ) -> str:
        """What it is told for one message: the talk of this conversation, and the message."""
        return render(
            "guest_turn.md.j2",
            talk=around.talk,
            reply_to=around.reply.text if around.reply is not None else None,
            quoted=intake.quoted,
            author="A guest" if message.audience is Audience.guest else "Your owner",
            text=intake.shown,
            **around.times(),
        )


class Company:
    """What happens to a message whose answer others than the owner hear."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        config: Config,
        home: Home,
        sessions: Sessions,
        triager: Triager,
        errands: Errands,
        resting: Resting,
    ) -> None:
        self._database = database
        self._clock = clock
        self._home = home
        self._zone = config.owner.zone
        self._triager = triager
        self._errands = errands
        self._chat = CompanyChat(
            sessions, database=database, clock=clock, config=config, home=home, resting=resting
        )

    async def handle(self, message: Message, taken: Intake, *, channel: Channel | None) -> bool:
        """Handle a message to its end; False when it is to be handled anew, as it stands then."""
        if await self._talks_too_much(message):
            await self._reply(message, words.GUEST_ENOUGH)
            return True
        if message.state is not MessageState.answering:
            decided = await self._decide(message, taken)
            if not isinstance(decided.triage.decision, Respond | Clarify):
                return await self._decline(message, decided)
            if not await self._keep(message, taken, decided):
                return False
        preview = Preview(channel, message, errands=self._errands)
        await self._chat.answer(message, taken, preview=preview)
        return True

    async def command(self, message: Message) -> bool:
        """A command: a guest has none, and the owner's is answered in private (False: anew)."""
        if message.audience is Audience.guest:
            await self._reply(message, words.GUEST_COMMAND)
            return True
        await self._go_private(message)
        return False

    async def _talks_too_much(self, message: Message) -> bool:
        """Each answer to a guest is paid by the owner, so there is an end to it."""
        if message.audience is not Audience.guest or message.state is MessageState.answering:
            return False
        since = self._clock.now() - _HOUR
        said = await self._database.query(
            lambda connection: messages.count_of(connection, message.person_id, since=since)
        )
        return said > _MOST_AN_HOUR

    async def _decide(self, message: Message, taken: Intake) -> Decided:
        around = await look_around(
            message,
            database=self._database,
            home=self._home,
            now=self._clock.now(),
            zone=self._zone,
        )
        return await self._triager.decide(taken, bare(around))

    async def _keep(self, message: Message, taken: Intake, decided: Decided) -> bool:
        """Note that it is answered; False when it was changed meanwhile."""
        at = self._clock.now()
        answered = Triage(reason=decided.triage.reason, decision=_RESPOND)

        def keep(connection: Connection) -> bool:
            now = messages.get(connection, message.id or 0)
            if now.text != message.text or now.attachments != message.attachments:
                return False
            triage = answered.model_dump(mode="json")
            messages.set_triage(connection, message.id or 0, triage, by=decided.by, at=at)
            effects.record_triage(connection, decided.usage, message=message, at=at)
            effects.make_excuses(connection, message, taken.excuses, at=at)
            messages.move(connection, message.id or 0, MessageState.answering, at=at)
            return True

        return await self._database.write(keep)

    async def _decline(self, message: Message, decided: Decided) -> bool:
        """It is work: the owner's goes on in private, a guest's is refused and told of."""
        if message.audience is not Audience.guest:
            await self._go_private(message)
            return False
        wish = _wish(decided)
        at = self._clock.now()

        def refuse(connection: Connection) -> None:
            effects.record_triage(connection, decided.usage, message=message, at=at)
            person = people.get(connection, message.person_id or 0)
            _tell_owner(connection, person, wish, at=at)
            effects.reply(connection, message, words.GUEST_WORK, key="answer", at=at)

        await self._database.write(refuse)
        log.info("guest_work_refused", message_id=message.id)
        return True

    async def _go_private(self, message: Message) -> None:
        at = self._clock.now()

        def move(connection: Connection) -> None:
            assert message.id is not None
            person = people.get(connection, message.person_id or 0)
            effects.say(connection, message, words.GONE_PRIVATE, key="private", at=at)
            conversation = f"{person.channel}:{person.external_id}"
            messages.turn_private(connection, message.id, conversation=conversation)

        await self._database.write(move)

    async def _reply(self, message: Message, text: str) -> None:
        at = self._clock.now()
        await self._database.write(
            lambda connection: effects.reply(connection, message, text, key="answer", at=at)
        )


def bare(around: Surroundings) -> Surroundings:
    """What surrounds a message, without anything of the owner's."""
    reply = around.reply
    said = Quoted(text=reply.text, ours=reply.ours) if reply is not None else None
    return replace(around, core_memory="", cards=[], work=[], recalled=[], reply=said)


def _wish(decided: Decided) -> str:
    match decided.triage.decision:
        case QuickWork(title=title) | BigWork(title=title):
            return title
        case Defer(reminder=reminder):
            return reminder
    return ""


def _tell_owner(connection: Connection, person: Person, wish: str, *, at: datetime) -> None:
    """A note, at most one an hour about each guest."""
    owner = people.find_owner(connection, person.channel)
    if owner is None:
        return
    outbox.say(
        connection,
        key=f"guest-wish:{person.id}:{at:%Y-%m-%dT%H}",
        conversation=f"{owner.channel}:{owner.external_id}",
        text=words.guest_wish(person.name, cut(wish, 120)),
        at=at,
        silent=True,
    )
