"""The commands there are, in one list: for the menu, for /help, and for who answers them."""

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from agentos.domain.talk import Message

# "/etc/hosts is odd" is a message, not a command.
_COMMAND = re.compile(r"/(?P<name>[a-zA-Z][a-zA-Z0-9_]*)(?:@\w+)?(?:\s+(?P<rest>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One command of the menu; `more` shows in /help what may follow it."""

    name: str
    what: str
    more: str = ""


MENU = (
    Entry("help", "What I can do"),
    Entry("status", "What is going on"),
    Entry("jobs", "The last jobs"),
    Entry("job", "One job, all of it", "/job 12"),
    Entry("stop", "Stop this, or all", "/stop, /stop all, /stop 12"),
    Entry("cards", "What waits for your answer"),
    Entry("project", "The project of this chat", "/project bike"),
    Entry("projects", "Your projects"),
    Entry("plan", "The open plan again"),
    Entry("remember", "Remember something", "/remember Anna is vegetarian"),
    Entry("forget", "Forget something", "/forget Anna, or /forget 12"),
    Entry("why", "What I had in mind", "/why, or /why Anna"),
    Entry("briefing", "What matters now"),
    Entry("cost", "What it has cost"),
    Entry("quiet", "Hold back what can wait", "/quiet 22:00-7:00, /quiet 2h, /quiet off"),
    Entry("pause", "Start nothing new", "/pause, or /pause 30 (minutes)"),
    Entry("resume", "Start work again"),
    Entry("new", "Begin a new talk"),
)


@dataclass(frozen=True)
class Asked:
    """A command of the owner's, and what there is to answer it with."""

    message: Message
    # What follows its name.
    rest: str
    at: datetime
    zone: ZoneInfo
    model_source: str = ""


def parse(text: str) -> tuple[str, str] | None:
    """The name of a slash command and what follows it, or None when the text is not one."""
    match = _COMMAND.fullmatch(text.strip())
    return None if match is None else (match["name"].lower(), (match["rest"] or "").strip())


def menu_help() -> str:
    """All commands, a line each."""
    return "\n".join(f"/{one.name} {one.what.lower()}" for one in MENU)
