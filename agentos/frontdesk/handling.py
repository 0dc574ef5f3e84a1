"""One message, from its intake to what follows from it: decide, then answer, plan or be done."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from pydantic import ValidationError
from sqlalchemy import Connection

from agentos import log as logs
from agentos.config import Config
from agentos.domain.people import Audience
from agentos.domain.ports import Channel, Clock
from agentos.domain.states import MessageState
from agentos.domain.talk import Message
from agentos.domain.triage import BigWork, Clarify, Defer, QuickWork, Respond, Triage
from agentos.domain.work import Plan
from agentos.engine.sessions import Sessions
from agentos.frontdesk import effects, intake, own_words, plans, taps, words
from agentos.frontdesk.chat import TIMEOUT, Chat
from agentos.frontdesk.company import Company
from agentos.frontdesk.effects import Ways
from agentos.frontdesk.errands import Errands, Resting
from agentos.frontdesk.hearing import Hearing, has_only_unheard
from agentos.frontdesk.intake import Intake
from agentos.frontdesk.plans import Planner
from agentos.frontdesk.preview import Preview
from agentos.frontdesk.surroundings import Surroundings, look_around
from agentos.frontdesk.triage import MOST_QUESTIONS, Decided, Triager, unstuck
from agentos.home import Home
from agentos.memory.recollection import Recollection, Recollections
from agentos.store import bindings, messages
from agentos.store import plans as plan_rows
from agentos.store.database import Database
from agentos.transcriber import Transcriber

log = logs.get(__name__)
# When triage just found the model down, the chat does not wait for it as long as usual.
_ALBUM_SILENCE = timedelta(seconds=1)
_SHORT_PATIENCE = timedelta(seconds=30)


class Handling:
    """What happens to a message. It can be repeated at any point: what is done stays done."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        config: Config,
        home: Home,
        sessions: Sessions,
        channels: Mapping[str, Channel],
        ways: Ways,
        errands: Errands,
        resting: Resting,
        recollections: Recollections | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._home = home
        self._channels = channels
        self._ways = ways
        self._errands = errands
        self._recollections = recollections
        self._triager = Triager(sessions, config=config, home=home, clock=clock)
        self._planner = Planner(sessions, config=config, home=home, resting=resting)
        self._hearing = Hearing(database, clock=clock, transcriber=Transcriber(config.voice))
        self._company = Company(
            database,
            clock=clock,
            config=config,
            home=home,
            sessions=sessions,
            triager=self._triager,
            errands=errands,
            resting=resting,
        )
        self._chat = Chat(
            sessions,
            database=database,
            clock=clock,
            config=config,
            home=home,
            resting=resting,
        )

    async def warm(self) -> None:
        """Have triage ready ahead of the first message."""
        await self._triager.warm()

    async def private_command(self, message: Message) -> Message | None:
        """A command where others read along: as it is answered in private, or None when done."""
        if message.audience is Audience.owner:
            return message
        done = await self._company.command(message)
        return None if done else await self._as_it_stands(message)

    async def handle(self, message: Message) -> None:
        """Handle a message to its end. Raises StoreUnusable when it has to be tried again."""
        while not await self._handled(message):
            log.info("message_changed_meanwhile", message_id=message.id)
            message = await self._as_it_stands(message)

    async def _handled(self, message: Message) -> bool:
        """Handle a message as it stands; False when the owner changed it before it was decided."""
        channel = self._channels.get(message.channel)
        if message.album is not None:
            message = await self._whole(message)
        taken = await intake.take(message, channel=channel, home=self._home)
        if await self._hearing.listen(message, taken):
            return False
        if has_only_unheard(message):
            await self._be_done(message, taken)
            return True
        if taken.is_empty:
            await self._say_what_is_missing(message, taken)
            return True
        if message.audience is not Audience.owner:
            return await self._company.handle(message, taken, channel=channel)
        if (answered := await self._answers_a_card(message, taken)) is not None:
            if answered.message is not None:
                await self.handle(answered.message)
            return True
        recalled = await self._recall(message, taken)
        changing = await self._plan_being_changed(message)
        if changing is not None:
            await self._redraft(message, taken, changing, recalled)
            return True
        kept = _kept_decision(message)
        decided = kept or await self._decide(message, taken, recalled)
        if kept is None and not await self._keep(message, taken, decided):
            return False
        match decided.triage.decision:
            case Respond():
                preview = Preview(channel, message, errands=self._errands)
                patience = TIMEOUT if decided.cause is None else _SHORT_PATIENCE
                await self._chat.answer(
                    message, taken, preview=preview, patience=patience, recalled=recalled
                )
            case BigWork() as work:
                await self._draft(message, taken, work, recalled)
            case QuickWork() | Clarify() | Defer():
                pass  # all of it was written with the decision
            case _:
                assert_never(decided.triage.decision)
        return True

    async def _whole(self, message: Message) -> Message:
        """An album with all its parts: they come one by one, and none after a second of silence.

        Counted from here, so that after a restart those that were not confirmed come first.
        """
        while message.state is MessageState.received:
            await asyncio.sleep(_ALBUM_SILENCE.total_seconds())
            now = await self._as_it_stands(message)
            if now.attachments == message.attachments:
                return now
            message = now
        return message

    async def _be_done(self, message: Message, taken: Intake) -> None:
        """All there is to say about a message was said."""
        at = self._clock.now()

        def finish(connection: Connection) -> None:
            effects.make_excuses(connection, message, taken.excuses, at=at)
            effects.finish(connection, message, at=at)

        await self._database.write(finish)

    async def _decide(
        self, message: Message, taken: Intake, recalled: list[Recollection]
    ) -> Decided:
        around = await self._look_around(message, recalled)
        decided = await self._triager.decide(taken, around)
        if not isinstance(decided.triage.decision, Clarify):
            return decided
        rounds = await self._database.query(
            lambda connection: effects.rounds_of_questions(connection, message)
        )
        return decided if rounds < MOST_QUESTIONS else unstuck(decided, taken, now=around.now)

    async def _keep(self, message: Message, taken: Intake, decided: Decided) -> bool:
        at = self._clock.now()
        stored = await self._database.write(
            lambda connection: effects.decide(
                connection, message, decided, taken, ways=self._ways, at=at
            )
        )
        if stored:
            outcome = decided.triage.decision.outcome
            log.info("message_triaged", message_id=message.id, outcome=outcome, by=decided.by)
            if decided.tell:
                self._triager.outage_told()
        return stored

    async def _draft(
        self, message: Message, taken: Intake, work: BigWork, recalled: list[Recollection]
    ) -> None:
        around = await self._look_around(message, recalled)
        drafted = await self._planner.draft(work.request, files=taken.files, around=around)
        at, model = self._clock.now(), self._ways.model
        await self._database.write(
            lambda connection: plans.propose(connection, message, work, drafted, model=model, at=at)
        )

    async def _redraft(
        self, message: Message, taken: Intake, plan: Plan, recalled: list[Recollection]
    ) -> None:
        """The message says what to change about a plan."""
        assert plan.id is not None
        plan_id = plan.id
        at = self._clock.now()
        if plans.changed_plan_of(message) is None:
            await self._database.write(
                lambda connection: plans.remember_change(
                    connection, message, plan, excuses=taken.excuses, at=at
                )
            )
        around = await self._look_around(message, recalled)
        drafted = await self._planner.draft(
            plan.request, files=taken.files, around=around, before=plan, change=taken.shown
        )
        at, model = self._clock.now(), self._ways.model
        await self._database.write(
            lambda connection: plans.propose_changed(
                connection, message, plan_id, drafted, model=model, at=at
            )
        )

    async def _answers_a_card(self, message: Message, taken: Intake) -> taps.Tapped | None:
        """What came of it when the message is the answer to a card, in words."""
        if message.triage is not None:
            return None
        at = self._clock.now()
        return await self._database.write(
            lambda connection: own_words.take(
                connection, message, taken, home=self._home, ways=self._ways, at=at
            )
        )

    async def _plan_being_changed(self, message: Message) -> Plan | None:
        """The plan that waits for the words of this message, or None."""

        def find(connection: Connection) -> Plan | None:
            plan_id = plans.changed_plan_of(message)
            if plan_id is not None:
                return plan_rows.get(connection, plan_id)
            if message.triage is not None:
                return None
            if message.external_id.startswith("card:"):
                return None  # it answers a question of its own
            plan = plan_rows.find_changing(connection, message.conversation)
            # What was said before the tap on Change was not meant as one.
            return plan if plan is not None and message.received_at >= plan.updated_at else None

        return await self._database.query(find)

    async def _say_what_is_missing(self, message: Message, taken: Intake) -> None:
        """There is nothing to go on: no words, and no file that could be taken."""
        at = self._clock.now()

        def say(connection: Connection) -> None:
            effects.make_excuses(connection, message, taken.excuses, at=at)
            if taken.excuses:
                effects.finish(connection, message, at=at)
            else:
                text = words.no_words(message.attachments)
                effects.reply(connection, message, text, key="answer", at=at)

        await self._database.write(say)

    async def _as_it_stands(self, message: Message) -> Message:
        return await self._database.query(
            lambda connection: messages.get(connection, message.id or 0)
        )

    async def _look_around(self, message: Message, recalled: list[Recollection]) -> Surroundings:
        around = await look_around(
            message,
            database=self._database,
            home=self._home,
            now=self._clock.now(),
            zone=self._ways.zone,
        )
        return replace(around, recalled=recalled)

    async def _recall(self, message: Message, taken: Intake) -> list[Recollection]:
        """Once a message: what triage, the chat and a plan are given."""
        if self._recollections is None:
            return []
        project_id = await self._database.query(
            lambda connection: bindings.find_id(connection, message.conversation)
        )
        return await self._recollections.for_message(
            taken.shown, message_id=message.id or 0, project_id=project_id
        )


def _kept_decision(message: Message) -> Decided | None:
    """The decision from before a crash; None when there is none that can be read."""
    if message.triage is None:
        return None
    try:
        triage = Triage.model_validate(message.triage)
    except ValidationError:
        return None
    return Decided(triage=triage, by=message.triaged_by or "")
