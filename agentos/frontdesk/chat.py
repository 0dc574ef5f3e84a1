"""The chat: one session a conversation that answers, without tools, and remembers the talk."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from agentos import log as logs
from agentos.config import Config
from agentos.domain.frames import Access, Assignment, TurnEnded
from agentos.domain.ledger import Purpose
from agentos.domain.ports import Clock
from agentos.domain.states import MessageState
from agentos.domain.talk import Message
from agentos.domain.work import Worker
from agentos.engine.sessions import Session, Sessions
from agentos.frontdesk import effects, words
from agentos.frontdesk.errands import Resting
from agentos.frontdesk.intake import Intake
from agentos.frontdesk.preview import Preview
from agentos.frontdesk.surroundings import Surroundings, look_around, read_owner_file, told
from agentos.home import Home
from agentos.memory.recollection import Recollection, unknown_to
from agentos.prompts import render
from agentos.store import messages, workers
from agentos.store.database import Database
from agentos.store.talks import Said

log = logs.get(__name__)
TIMEOUT = timedelta(seconds=120)


@dataclass
class _Talk:
    """An open session and the system prompt it was opened with."""

    session: Session
    system_prompt: str
    # The memories that this session was given: it has them still.
    given: set[int] = field(default_factory=set)


class Chat:
    """Answers messages. Its sessions survive a restart: their ids are in the rows."""

    # Begins the names of its workers, each of which keeps the session of one conversation.
    prefix = "chat"

    def __init__(
        self,
        sessions: Sessions,
        *,
        database: Database,
        clock: Clock,
        config: Config,
        home: Home,
        resting: Resting,
    ) -> None:
        self._sessions = sessions
        self._database = database
        self._clock = clock
        self._config = config
        self._home = home
        self._resting = resting
        self._talks: dict[str, _Talk] = {}

    async def answer(
        self,
        message: Message,
        intake: Intake,
        *,
        preview: Preview,
        patience: timedelta = TIMEOUT,
        recalled: Sequence[Recollection] = (),
    ) -> None:
        """Answer a message and be done with it; when no model can, say why."""
        worker = await self._worker(message.conversation)
        talk = await self._talk(message.conversation, worker)
        session = talk.session
        self._resting.busy(session)
        try:
            ended, upto = await self._turn(
                talk, worker, message, intake, preview, patience, recalled
            )
        finally:
            self._resting.idle(session)
            await preview.end()
        at = self._clock.now()
        await self._database.write(
            lambda connection: _say(
                connection, message, ended, worker, session.session_id, upto=upto, at=at
            )
        )

    async def _turn(
        self,
        talk: _Talk,
        worker: Worker,
        message: Message,
        intake: Intake,
        preview: Preview,
        patience: timedelta,
        recalled: Sequence[Recollection],
    ) -> tuple[TurnEnded, Said]:
        """How a turn ended, and how far its session knows the talk now."""
        session = talk.session
        known = session.session_id
        news = unknown_to(talk.given, recalled)
        since = Said(worker.knows_message_id, worker.knows_outbox_id) if known else None
        prompt, upto = await self._prompt(message, intake, since=since, recalled=news)
        ended = await session.turn(prompt, timeout=patience, on_text=preview.show)
        forgot = known is not None and session.lost and session.session_id != known
        if ended.failure is None:
            talk.given.update(one.memory_id for one in news)
        if not forgot or ended.failure is not None:
            return ended, upto
        # The session was gone, and the one in its place was not told what had been said before.
        log.warning("chat_session_lost", conversation=message.conversation)
        talk.given = {one.memory_id for one in recalled}
        prompt, upto = await self._prompt(message, intake, since=None, recalled=recalled)
        return await session.turn(prompt, timeout=patience, on_text=preview.show), upto

    async def _prompt(
        self,
        message: Message,
        intake: Intake,
        *,
        since: Said | None,
        recalled: Sequence[Recollection],
    ) -> tuple[str, Said]:
        around = await look_around(
            message,
            database=self._database,
            home=self._home,
            now=self._clock.now(),
            zone=self._config.owner.zone,
            since=since,
        )
        around = replace(around, recalled=list(recalled))
        return self.turn_prompt(message, intake, around, fresh=since is None), around.upto

    def system_prompt(self, home: Home, *, owner_name: str) -> str:
        """What a session is told at its start. Reads files."""
        return system_prompt_of(home, owner_name=owner_name)

    def turn_prompt(
        self, message: Message, intake: Intake, around: Surroundings, *, fresh: bool
    ) -> str:
        """What it is told for one message."""
        return turn_prompt(intake, around, fresh=fresh)

    async def _worker(self, conversation: str) -> Worker:
        at = self._clock.now()
        model = self._config.models.work
        return await self._database.write(
            lambda connection: workers.desk(
                connection, f"{self.prefix}-{conversation}"[:200], model=model, at=at
            )
        )

    async def _talk(self, conversation: str, worker: Worker) -> _Talk:
        """The session of a conversation; a new child when what it is told at the start changed."""
        system_prompt = await asyncio.to_thread(
            self.system_prompt, self._home, owner_name=self._config.owner.name
        )
        talk = self._talks.get(conversation)
        if talk is not None and talk.system_prompt == system_prompt:
            return talk
        if talk is not None:
            await talk.session.close()
        assignment = Assignment(
            backend=worker.backend,
            model=worker.model,
            system_prompt=system_prompt,
            access=Access.none,
            working_folder=str(self._home.desk),
            session_id=worker.session_id,
            stream_text=True,
        )
        session = self._sessions.open(assignment, title="chat")
        given = talk.given if talk is not None else set()
        self._talks[conversation] = _Talk(session, system_prompt, given)
        return self._talks[conversation]


def system_prompt_of(home: Home, *, owner_name: str) -> str:
    """Who the chat is: SOUL.md, CLAUDE.md, core memory, and how to answer here. Reads files."""
    return render(
        "chat.md.j2",
        owner_name=owner_name,
        soul=read_owner_file(home, "SOUL.md"),
        manual=read_owner_file(home, "CLAUDE.md"),
        core_memory=told(read_owner_file(home, "memory/core-memory.md")),
    )


def turn_prompt(intake: Intake, around: Surroundings, *, fresh: bool) -> str:
    """What the chat reads for one message."""
    return render(
        "chat_turn.md.j2",
        fresh=fresh,
        recalled=around.recalled,
        talk=around.talk,
        work=around.work,
        cards=around.cards,
        files=intake.files,
        reply=around.replied,
        forwarded_from=intake.forwarded_from,
        quoted=intake.quoted,
        text=intake.shown,
        **around.times(),
    )


def _say(
    connection: Connection,
    message: Message,
    ended: TurnEnded,
    worker: Worker,
    session_id: str | None,
    *,
    upto: Said,
    at: datetime,
) -> None:
    assert message.id is not None and worker.id is not None
    if messages.get(connection, message.id).state is MessageState.handled:
        return
    if ended.failure is None:
        text = ended.text.strip() or words.EMPTY_ANSWER
        workers.change(
            connection,
            worker.id,
            session_id=session_id,
            session_job_count=worker.session_job_count + 1,
            knows_message_id=upto.message_id,
            knows_outbox_id=upto.outbox_id,
            last_used_at=at,
        )
    else:
        log.warning("chat_failed", failure=ended.failure.value, problem=ended.problem)
        text = words.no_answer(words.cause(ended))
    effects.record_usage(connection, ended.usage, purpose=Purpose.chat, message=message, at=at)
    effects.reply(connection, message, text, key="answer", at=at)
