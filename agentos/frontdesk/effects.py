"""What follows from a decision: rows, written in one transaction each. No model, no waiting.

Every key is made of the message's id, so that doing the same again after a crash adds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from agentos.config import Config
from agentos.domain.cards import buttons_of
from agentos.domain.frames import TurnUsage
from agentos.domain.ledger import Purpose, Usage
from agentos.domain.states import MessageState
from agentos.domain.talk import Card, CardKind, Message
from agentos.domain.triage import Clarify, Defer, QuickWork
from agentos.domain.work import Job, JobKind, Plan, Task
from agentos.frontdesk import presses, words
from agentos.frontdesk.intake import File, Intake
from agentos.prompts import render
from agentos.store import bindings, cards, jobs, messages, outbox, progress, rows, tasks, usage

# A brief carries the owner's own words up to this length; longer ones are in a file.
_LONGEST_WORDS = 6_000


@dataclass(frozen=True)
class Ways:
    """How work is done here: the model, how long a job may take, and the owner's zone."""

    model: str
    timeout: timedelta
    zone: ZoneInfo
    # How long a forgotten memory can be restored.
    forget: timedelta = timedelta(days=30)

    @classmethod
    def of(cls, config: Config) -> "Ways":
        """As the settings say."""
        return cls(
            model=config.models.work,
            timeout=timedelta(seconds=config.engine.job_timeout_seconds),
            zone=config.owner.zone,
            forget=timedelta(days=config.memory.forget_days),
        )


def say(connection: Connection, message: Message, text: str, *, key: str, at: datetime) -> None:
    """Say something about a message; `key` tells what it is."""
    outbox.say(
        connection,
        key=f"{key}:{message.id}",
        conversation=message.conversation,
        text=text,
        at=at,
        message_id=message.id,
    )


def finish(connection: Connection, message: Message, *, at: datetime) -> None:
    """Nothing is left to do for a message; again is the same as once."""
    assert message.id is not None
    if messages.get(connection, message.id).state is not MessageState.handled:
        messages.move(connection, message.id, MessageState.handled, at=at)


def reply(connection: Connection, message: Message, text: str, *, key: str, at: datetime) -> None:
    """Say the one thing there is to say, and be done with the message."""
    say(connection, message, text, key=key, at=at)
    finish(connection, message, at=at)


def make_excuses(
    connection: Connection, message: Message, excuses: Sequence[str], *, at: datetime
) -> None:
    """Tell what of a message could not be taken."""
    for number, excuse in enumerate(excuses, start=1):
        say(connection, message, excuse, key=f"excuse-{number}", at=at)


def record_usage(
    connection: Connection,
    used: TurnUsage | None,
    *,
    purpose: Purpose,
    message: Message,
    at: datetime,
) -> None:
    """Write down what a turn of a model used, when it used anything."""
    if used is None or not (used.input_tokens or used.output_tokens or used.cost_usd):
        return
    row = Usage(
        purpose=purpose, backend="claude", message_id=message.id, at=at, **used.model_dump()
    )
    usage.record(connection, row)


def record_triage(
    connection: Connection, used: TurnUsage | None, *, message: Message, at: datetime
) -> None:
    """Write down what deciding a message used."""
    record_usage(connection, used, purpose=Purpose.triage, message=message, at=at)


def start_steps(
    connection: Connection, plan: Plan, *, files: Sequence[File], ways: Ways, at: datetime
) -> list[Job]:
    """Make a task and a job of each step of a plan."""
    made: list[Job] = []
    project_id = bindings.find_id(connection, plan.conversation)
    for number, step in enumerate(plan.steps, start=1):
        brief = render(
            "brief.md.j2",
            prompt=step["prompt"],
            goal=plan.goal,
            number=number,
            total=len(plan.steps),
            words=None,
            forwarded_from=None,
            quoted="",
            files=files,
        )
        task = Task(
            project_id=project_id,
            plan_id=plan.id,
            title=step["title"],
            kind=step["kind"],
            brief=step["prompt"],
            created_at=at,
            updated_at=at,
        )
        job = Job(
            key=f"plan:{plan.id}:{number - 1}",
            title=step["title"],
            prompt=brief,
            priority=1,
            project_id=project_id,
            task_id=tasks.add(connection, task).id,
            plan_id=plan.id,
            message_id=plan.message_id,
            conversation=plan.conversation,
            model=ways.model,
            timeout_seconds=int(ways.timeout.total_seconds()),
            created_at=at,
        )
        needs = [made[needed].id or 0 for needed in step["after"]]
        made.append(jobs.enqueue(connection, job, needs=needs))
    return made


def start_work(
    connection: Connection,
    message: Message,
    work: QuickWork,
    intake: Intake,
    *,
    ways: Ways,
    at: datetime,
) -> None:
    """A task and its job, and a word that it was begun."""
    project_id = bindings.find_id(connection, message.conversation)
    task = Task(
        project_id=project_id,
        title=work.title,
        kind=work.kind,
        brief=work.prompt,
        created_at=at,
        updated_at=at,
    )
    job = Job(
        key=f"message:{message.id}",
        title=work.title,
        prompt=brief_of(work, intake),
        priority=1,
        project_id=project_id,
        task_id=tasks.add(connection, task).id,
        message_id=message.id,
        conversation=message.conversation,
        model=ways.model,
        timeout_seconds=int(ways.timeout.total_seconds()),
        created_at=at,
    )
    tell_begun(connection, message, jobs.enqueue(connection, job), at=at)
    finish(connection, message, at=at)


def tell_begun(
    connection: Connection, message: Message, job: Job, *, at: datetime, text: str = ""
) -> None:
    """Say that a job was begun; what is said shows from then on how the job gets on."""
    said = outbox.say(
        connection,
        key=f"ack:{message.id}",
        conversation=message.conversation,
        text=text or words.on_it(job.title, job.id),
        at=at,
        buttons=presses.buttons_of(job),
        message_id=message.id,
        job_id=job.id,
    )
    progress.open_(connection, said.id or 0, job_id=job.id)


def brief_of(work: QuickWork, intake: Intake) -> str:
    """What the worker of a quick piece of work reads."""
    own_words = intake.shown[:_LONGEST_WORDS]
    return render(
        "brief.md.j2",
        prompt=work.prompt,
        goal=None,
        number=1,
        total=1,
        words=own_words if own_words and own_words != work.prompt else None,
        forwarded_from=intake.forwarded_from,
        quoted=intake.quoted,
        files=intake.files,
    )


def ask(connection: Connection, message: Message, clarify: Clarify, *, at: datetime) -> None:
    """A question with options to tap."""
    options = [
        {"key": key, "label": label, "consequence": ""}
        for key, label in zip("abcd", clarify.options, strict=False)
    ]
    card = Card(
        kind=CardKind.clarify,
        channel=message.channel,
        conversation=message.conversation,
        question=clarify.question,
        options=options,
        other=True,
        message_id=message.id,
        created_at=at,
    )
    show(connection, card, text=clarify.question, key=f"clarify:{message.id}", at=at)
    finish(connection, message, at=at)


def show(
    connection: Connection,
    card: Card,
    *,
    text: str,
    key: str,
    at: datetime,
    side_by_side: bool = False,
) -> Card:
    """Open a card, and say it with its buttons: each in a row of its own, or all in one."""
    opened = cards.open_card(connection, card)
    outbox.say(
        connection,
        key=key,
        conversation=opened.conversation,
        text=text,
        at=at,
        buttons=buttons_of(opened, side_by_side=side_by_side),
        card_id=opened.id,
        message_id=opened.message_id,
    )
    return opened


def settle_shown(connection: Connection, *, key: str, text: str, at: datetime) -> None:
    """Let what was said with buttons show how it was decided, without them."""
    shown = outbox.find_by_key(connection, key)
    if shown is not None:
        outbox.settle(connection, shown, text=text, at=at)


def remind_later(
    connection: Connection, message: Message, defer: Defer, *, zone: ZoneInfo, at: datetime
) -> None:
    """A job that says something at its time."""
    job = Job(
        key=f"message:{message.id}",
        kind=JobKind.reminder,
        title=f"Reminder: {defer.reminder}",
        prompt=defer.reminder,
        priority=0,
        project_id=bindings.find_id(connection, message.conversation),
        run_at=defer.at,
        message_id=message.id,
        conversation=message.conversation,
        created_at=at,
    )
    queued = jobs.enqueue(connection, job)
    due = defer.at.astimezone(zone)
    outbox.say(
        connection,
        key=f"ack:{message.id}",
        conversation=message.conversation,
        text=words.reminded(defer.reminder, at=due, now=at.astimezone(zone)),
        at=at,
        message_id=message.id,
        job_id=queued.id,
    )
    finish(connection, message, at=at)


def rounds_of_questions(connection: Connection, message: Message) -> int:
    """How many questions about the same request came right before a message."""
    rounds = 0
    current: Message | None = message
    while current is not None and rounds < 10:
        current = _before(connection, current)
        outcome = ((current.triage or {}).get("decision") or {}) if current else {}
        if outcome.get("outcome") != "clarify":
            break
        rounds += 1
    return rounds


def _before(connection: Connection, message: Message) -> Message | None:
    """The message that led to this one: the one that a card was about, or the one just before."""
    assert message.id is not None
    kind, _, card_id = message.external_id.partition(":")
    if kind == "card" and card_id.isdigit():
        card = rows.find(connection, Card, int(card_id))
        if card is None or card.message_id is None:
            return None
        return messages.get(connection, card.message_id)
    return messages.find_before(connection, message.conversation, before_id=message.id)
