"""Slash commands: answered at once from the rows, without a model."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.domain.cards import age, block_of, buttons_of
from agentos.domain.states import JOBS, TASKS, Actor, JobState, TaskState, allowed
from agentos.domain.talk import Message
from agentos.domain.work import Job, JobKind
from agentos.errors import NotFound
from agentos.frontdesk import effects, nights, rooms, words
from agentos.frontdesk.lines import cut
from agentos.store import cards, jobs, memories, outbox, tasks

# "/etc/hosts is odd" is a message, not a command.
_COMMAND = re.compile(r"/(?P<name>[a-zA-Z][a-zA-Z0-9_]*)(?:@\w+)?(?:\s+(?P<rest>.*))?", re.DOTALL)
_MARKS = {
    JobState.queued: "⏳",
    JobState.running: "⚙",
    JobState.parked: "⏸",
    JobState.done: "✅",
    JobState.failed: "⚠",
    JobState.cancelled: "✕",
}
_HELP = """Just write what you want, as you would to a person.

- Ask or chat, and I answer.
- Ask for work, and I come back with something to open.
- Ask for something big, and I show you a plan first.
- Say "remind me tomorrow at 9 to …", and I do.

/status what is going on
/jobs the last ten jobs
/cards what waits for your answer
/project bike lets this chat or topic belong to a project
/remember Anna is vegetarian
/forget Anna, or /forget 12
/why shows what I had in mind, /why Anna what I know
/quiet 22-7 holds back what can wait
/stop stops the newest work, /stop all everything, /stop 12 job #12"""
_WELCOME = (
    "Hello! I'm agentos, and I'm all yours. Write me what you want done, or just say hi.\n\n"
    "/help shows what I can do."
)


def parse(text: str) -> tuple[str, str] | None:
    """The name of a slash command and what follows it, or None when the text is not one."""
    match = _COMMAND.fullmatch(text.strip())
    return None if match is None else (match["name"].lower(), (match["rest"] or "").strip())


class Commands:
    """The commands there are."""

    def __init__(self, *, zone: ZoneInfo, model_source: str) -> None:
        self._zone = zone
        self._model_source = model_source
        self._known: dict[str, Callable[[Connection, Message, str, datetime], str]] = {
            "start": lambda *_: _WELCOME,
            "help": lambda *_: _HELP,
            "status": self._status,
            "jobs": self._jobs,
            "cards": self._cards,
            "stop": self._stop,
            "quiet": lambda connection, _, rest, at: nights.quiet(
                connection, rest, zone=self._zone, at=at
            ),
            "project": rooms.project,
        }

    def answer(self, connection: Connection, message: Message, *, at: datetime) -> None:
        """Do what a command asks, say so, and be done with the message: one transaction."""
        name, rest = parse(message.text) or ("", "")
        command = self._known.get(name)
        if command is None:
            text = f"I don't know /{cut(name, 40)}. /help shows what there is."
        else:
            text = command(connection, message, rest, at)
        effects.reply(connection, message, text, key="command", at=at)

    def _status(self, connection: Connection, message: Message, rest: str, at: datetime) -> str:
        unfinished = jobs.list_unfinished(connection)
        running = [job for job in unfinished if job.state is JobState.running]
        reminders = [job for job in unfinished if job.kind is JobKind.reminder]
        queued = [
            job
            for job in unfinished
            if job.state is JobState.queued and job.kind is not JobKind.reminder
        ]
        waiting = cards.list_open(connection)
        lines = [f"Running: {len(running)}"]
        lines += [f"- {_line(job)}" for job in running[:5]]
        lines.append(f"In line: {len(queued)}")
        lines += [f"- {_line(job)}" for job in queued[:5]]
        if reminders:
            soonest = min(reminders, key=lambda job: job.run_at or at)
            lines.append(f"Reminders: {len(reminders)}, the next {self._due(soonest, at)}")
        if remembered := memories.tally(connection).count:
            lines.append(f"Remembered: {words.counted(remembered, 'thing')}")
        lines.append(f"Waiting for you: {len(waiting)}" + (" (/cards)" if waiting else ""))
        if self._model_source:
            lines.append(f"Model: {self._model_source}")
        return "\n".join(lines)

    def _jobs(self, connection: Connection, message: Message, rest: str, at: datetime) -> str:
        newest = jobs.list_all(connection, limit=10)
        if not newest:
            return "No jobs yet. Ask me for something!"
        lines = []
        for job in newest:
            due = f", {self._due(job, at)}" if job.run_at and job.state is JobState.queued else ""
            lines.append(f"{_MARKS[job.state]} {_line(job)}{due}")
        return "\n".join(lines)

    def _cards(self, connection: Connection, message: Message, rest: str, at: datetime) -> str:
        waiting = cards.list_open(connection)
        for card in waiting[:10]:
            block = f"\n\n{block_of(card.detail)}" if card.detail else ""
            outbox.say(
                connection,
                key=f"card:{message.id}:{card.id}",
                conversation=message.conversation,
                text=f"⏳ {age(card, now=at)} · {card.question}{block}",
                at=at,
                buttons=buttons_of(card, side_by_side=False),
                card_id=card.id,
                job_id=card.job_id,
            )
        if not waiting:
            return "Nothing waits for you."
        more = f" The oldest {len(waiting[:10])} are above." if len(waiting) > 10 else ""
        return f"{words.counted(len(waiting), 'question')} waiting for your tap.{more}"

    def _stop(self, connection: Connection, message: Message, rest: str, at: datetime) -> str:
        if rest and rest.lower() != "all":
            return self._stop_one(connection, rest, at)
        conversation = None if rest else message.conversation
        agents = [
            job
            for job in jobs.list_unfinished(connection, conversation=conversation, limit=10_000)
            if job.kind is JobKind.agent
        ]
        chosen = agents if rest else _newest_work(agents)
        for job in chosen:
            _cancel(connection, job, at=at)
        if not chosen:
            return "Nothing is running."
        if len(chosen) == 1:
            return f"Stopped: {_line(chosen[0])}"
        states = Counter(
            "was running" if job.state is JobState.running else "waited" for job in chosen
        )
        told = ", ".join(f"{number} {state}" for state, number in states.items())
        return f"Stopped {words.counted(len(chosen), 'job')} ({told})."

    def _stop_one(self, connection: Connection, name: str, at: datetime) -> str:
        number = name.lstrip("#")
        if not (number.isascii() and number.isdigit() and len(number) < 12):
            return "Say /stop, /stop all, or /stop with the number of a job, such as /stop 12."
        try:
            job = jobs.get(connection, int(number))
        except NotFound:
            return f"There is no job #{number}. /jobs shows the last ones."
        if not allowed(JOBS, job.state, JobState.cancelled, by=Actor.owner):
            return f"#{number} is not running: it is {job.state.value}."
        _cancel(connection, job, at=at)
        return f"Stopped: {_line(job)}"

    def _due(self, job: Job, now: datetime) -> str:
        assert job.run_at is not None
        return words.moment(job.run_at.astimezone(self._zone), now=now.astimezone(self._zone))


def _newest_work(agents: list[Job]) -> list[Job]:
    """The jobs of the newest message or plan among these, the newest first."""
    if not agents:
        return []
    newest = agents[0]
    if newest.message_id is None:
        return [newest]
    return [job for job in agents if job.message_id == newest.message_id]


def _cancel(connection: Connection, job: Job, *, at: datetime) -> None:
    """Cancel in the rows; the engine sees it and ends the worker."""
    assert job.id is not None
    jobs.move(connection, job.id, JobState.cancelled, by=Actor.owner, at=at)
    if job.task_id is not None:
        task = tasks.get(connection, job.task_id)
        if allowed(TASKS, task.state, TaskState.cancelled, by=Actor.owner):
            tasks.move(connection, job.task_id, TaskState.cancelled, by=Actor.owner, at=at)


def _line(job: Job) -> str:
    return f"#{job.id} {cut(job.title, 80)}"
