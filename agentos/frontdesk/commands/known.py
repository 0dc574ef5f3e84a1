"""Slash commands: answered at once from the rows, without a model."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.talk import Message, OutboxKind
from agentos.frontdesk import effects, rooms
from agentos.frontdesk.commands import costs, engine, looks, stop, talk, work
from agentos.frontdesk.commands.catalogue import MENU, Asked, menu_help, parse
from agentos.frontdesk.commands.picture import Section
from agentos.frontdesk.lines import cut
from agentos.store import outbox

Command = Callable[[Connection, Asked], str]
_HELP = """Just write what you want, as you would to a person.

- Ask or chat, and I answer.
- Ask for work, and I start it and come back with something to open.
- Ask for something big, and I show you a plan first.
- Say "remind me tomorrow at 9 to …", and I do.
- Reply to anything of mine: "cancel that", "again, but shorter", "why?". A reply to work that runs is told to it.
"""  # noqa: E501 - a line of it is a line on the phone
_WELCOME = (
    "Hello! I'm agentos, and I'm all yours. Write me what you want done, or just say hi.\n\n"
    "/help shows what I can do."
)
KNOWN: Mapping[str, Command] = MappingProxyType(
    {
        "start": lambda connection, asked: _WELCOME,
        "help": lambda connection, asked: f"{_HELP}\n{menu_help()}",
        "status": looks.status,
        "jobs": work.jobs_,
        "job": work.job_,
        "stop": stop.stop,
        "cards": looks.cards_,
        "projects": looks.projects_,
        "project": lambda connection, asked: rooms.project(
            connection, asked.message, asked.rest, asked.at
        ),
        "plan": looks.plan,
        "briefing": looks.briefing,
        "cost": costs.cost,
        "pause": engine.pause,
        "resume": engine.resume,
        "new": talk.new,
    }
)


class Commands:
    """Answers commands. A new one is a function, an entry of the menu and a line above."""

    def __init__(
        self,
        *,
        zone: ZoneInfo,
        model_source: str,
        slots: int = 1,
        more: Mapping[str, Command] | None = None,
    ) -> None:
        """`slots` is how many jobs run at once; `more` are commands of other nouns."""
        self._zone = zone
        self._model_source = model_source
        self._slots = slots
        self._known = {**KNOWN, **(more or {})}

    def sections(self, connection: Connection, message: Message, *, at: datetime) -> list[Section]:
        """What a picture of the system shows."""
        asked = Asked(message, "", at, self._zone, self._model_source)
        return looks.sections(connection, asked, slots=self._slots)

    def answer(
        self,
        connection: Connection,
        message: Message,
        *,
        at: datetime,
        picture: Path | None = None,
    ) -> None:
        """Do what a command asks, say so, and be done with the message: one transaction.

        With a picture, what is said stands below it.
        """
        name, rest = parse(message.text) or ("", "")
        command = self._known.get(name)
        if command is not None:
            asked = Asked(message, rest, at, self._zone, self._model_source)
            text = command(connection, asked)
        elif any(one.name == name for one in MENU):
            text = f"/{name} does not work here yet. /help shows what does."
        else:
            text = f"I don't know /{cut(name, 40)}. /help shows what there is."
        if picture is None:
            effects.reply(connection, message, text, key="command", at=at)
            return
        outbox.say(
            connection,
            key=f"command:{message.id}",
            conversation=message.conversation,
            text=text,
            kind=OutboxKind.photo,
            file_path=str(picture),
            at=at,
            message_id=message.id,
        )
        effects.finish(connection, message, at=at)
