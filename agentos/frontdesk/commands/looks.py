"""/status, /cards, /projects, /plan, /briefing: how things stand, from the rows."""

from datetime import timedelta

from sqlalchemy import Connection

from agentos.domain.cards import age, block_of, buttons_of
from agentos.domain.states import JobState, ProjectState
from agentos.domain.work import JobKind
from agentos.frontdesk import stopping, words
from agentos.frontdesk.commands.catalogue import Asked
from agentos.frontdesk.commands.engine import paused_words
from agentos.frontdesk.commands.picture import Section
from agentos.frontdesk.commands.work import MARKS, due
from agentos.frontdesk.lines import cut
from agentos.store import cards, jobs, memories, outbox, projects, usage
from agentos.store import plans as plan_rows

_SOON = timedelta(hours=24)


def status(connection: Connection, asked: Asked) -> str:
    """The system on one screen."""
    unfinished = jobs.list_unfinished(connection)
    running = [job for job in unfinished if job.state is JobState.running]
    parked = [job for job in unfinished if job.state is JobState.parked]
    reminders = [job for job in unfinished if job.kind is JobKind.reminder]
    queued = [
        job
        for job in unfinished
        if job.state is JobState.queued and job.kind is not JobKind.reminder
    ]
    waiting = cards.list_open(connection)
    lines = [paused] if (paused := paused_words(connection, asked)) else []
    lines.append(f"Running: {len(running)}")
    lines += [f"- {stopping.named(job)}" for job in running[:5]]
    lines.append(f"In line: {len(queued)}")
    lines += [f"- {stopping.named(job)}" for job in queued[:5]]
    if parked:
        lines.append(f"Waiting for an answer: {len(parked)}")
    if reminders:
        soonest = min(reminders, key=lambda job: job.run_at or asked.at)
        when = due(soonest, now=asked.at, zone=asked.zone)
        lines.append(f"Reminders: {len(reminders)}, the next {when}")
    if remembered := memories.tally(connection).count:
        lines.append(f"Remembered: {words.counted(remembered, 'thing')}")
    lines.append(f"Waiting for you: {len(waiting)}" + (" (/cards)" if waiting else ""))
    if asked.model_source:
        lines.append(f"Model: {asked.model_source}")
    return "\n".join(lines)


def sections(connection: Connection, asked: Asked, *, slots: int) -> list[Section]:
    """The same for a picture."""
    unfinished = jobs.list_unfinished(connection)
    agents = [job for job in unfinished if job.kind is JobKind.agent]
    running = [job for job in agents if job.state is JobState.running]
    queued = [job for job in agents if job.state is JobState.queued]
    reminders = [job for job in unfinished if job.kind is JobKind.reminder]
    waiting = cards.list_open(connection)
    midnight = asked.at.astimezone(asked.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    cost = sum(one.cost_usd for one in usage.sums_since(connection, midnight))
    paused = paused_words(connection, asked)
    soonest = sorted(reminders, key=lambda job: job.run_at or asked.at)[:2]
    return [
        Section(
            "Paused" if paused else "Running",
            f"{len(running)} of {slots}",
            share=len(running) / slots,
            lines=[stopping.named(job) for job in running[:4]],
        ),
        Section("In line", str(len(queued)), lines=[stopping.named(job) for job in queued[:4]]),
        Section(
            "Waiting for you",
            str(len(waiting)),
            lines=[cut(card.question, 80) for card in waiting[:3]],
        ),
        Section(
            "Reminders",
            str(len(reminders)),
            lines=[
                f"{due(job, now=asked.at, zone=asked.zone)}: {cut(job.prompt, 60)}"
                for job in soonest
            ],
        ),
        Section("Cost today", f"${cost:.2f}"),
    ]


def cards_(connection: Connection, asked: Asked) -> str:
    """What waits for the owner, each with its buttons."""
    waiting = cards.list_open(connection)
    for card in waiting[:10]:
        block = f"\n\n{block_of(card.detail)}" if card.detail else ""
        outbox.say(
            connection,
            key=f"card:{asked.message.id}:{card.id}",
            conversation=asked.message.conversation,
            text=f"⏳ {age(card, now=asked.at)} · {card.question}{block}",
            at=asked.at,
            buttons=buttons_of(card, side_by_side=False),
            card_id=card.id,
            job_id=card.job_id,
        )
    if not waiting:
        return "Nothing waits for you."
    more = f" The oldest {len(waiting[:10])} are above." if len(waiting) > 10 else ""
    return f"{words.counted(len(waiting), 'question')} waiting for your tap.{more}"


def projects_(connection: Connection, asked: Asked) -> str:
    """The projects that are not archived."""
    found = projects.list_all(connection, state=None, limit=30)
    shown = [one for one in found if one.state is not ProjectState.archived]
    if not shown:
        return "No projects yet."
    lines = []
    for one in shown:
        left = [
            job for job in jobs.list_all(connection, project_id=one.id) if job.finished_at is None
        ]
        under_way = f", {words.counted(len(left), 'job')} open" if left else ""
        about = f": {cut(one.description, 100)}" if one.description else ""
        lines.append(f"- **{one.name}** ({one.state.value.replace('_', ' ')}{under_way}){about}")
    return "\n".join(lines)


def plan(connection: Connection, asked: Asked) -> str:
    """The open plan again with its buttons, or the one that is being done."""
    open_ = plan_rows.find_open(connection, asked.message.conversation)
    if open_ is not None:
        card = next((one for one in cards.list_open(connection) if one.plan_id == open_.id), None)
        if card is None:
            return f"**{open_.title}** is being changed: tell me what should be different."
        outbox.say(
            connection,
            key=f"plan-again:{asked.message.id}",
            conversation=asked.message.conversation,
            text=words.plan(open_),
            at=asked.at,
            buttons=buttons_of(card, side_by_side=True),
            card_id=card.id,
        )
        return "The open plan:"
    going = plan_rows.list_unclosed(connection)
    going = [one for one in going if one.conversation == asked.message.conversation]
    if not going:
        return "There is no open plan. Ask for something big, and I draft one."
    made = jobs.list_for_plan(connection, going[-1].id or 0)
    lines = [f"**{going[-1].title}**"]
    lines += [f"{MARKS[job.state]} {stopping.named(job)}" for job in made]
    return "\n".join(lines)


def briefing(connection: Connection, asked: Asked) -> str:
    """What matters now: due, waiting for the owner, running, ended since this morning."""
    local = asked.at.astimezone(asked.zone)
    morning = local.replace(hour=0, minute=0, second=0, microsecond=0)
    unfinished = jobs.list_unfinished(connection)
    coming = sorted(
        (
            job
            for job in unfinished
            if job.state is JobState.queued
            and job.run_at is not None
            and job.run_at <= asked.at + _SOON
        ),
        key=lambda job: job.run_at or asked.at,
    )
    running = [job for job in unfinished if job.state is JobState.running]
    ended = jobs.list_ended_since(connection, morning, limit=12)
    lines = [f"**{local:%A}, {local.day} {local:%B}, {local:%H:%M}**"]
    if paused := paused_words(connection, asked):
        lines.append(paused)
    parts = (
        (
            "Due",
            [
                f"{due(job, now=asked.at, zone=asked.zone)}: {cut(job.title, 80)}"
                for job in coming[:8]
            ],
        ),
        (
            "Waiting for you (/cards)",
            [
                f"{cut(card.question, 80)} ({words.span(asked.at - card.created_at)})"
                for card in cards.list_open(connection)[:8]
            ],
        ),
        ("Running", [stopping.named(job) for job in running[:8]]),
        ("Ended today", [f"{MARKS[job.state]} {stopping.named(job)}" for job in ended]),
    )
    for title, found in parts:
        if found:
            lines += ["", f"**{title}**", *(f"- {line}" for line in found)]
    if len(lines) == 1:
        lines += ["", "Nothing is due, nothing runs, and nothing waits for you."]
    return "\n".join(lines)
