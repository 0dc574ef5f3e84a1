"""What the front desk says: short, warm, plain, for a phone."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from agentos.domain.frames import Failure, TurnEnded
from agentos.domain.plan import Step
from agentos.domain.states import PlanState
from agentos.domain.work import Plan
from agentos.frontdesk.estimates import Estimate, guess
from agentos.frontdesk.revision import Fate, Revision

WHEN_INSTEAD = "That time is not ahead of us. When shall I remind you?"
WHEN_OPTIONS = ("In an hour", "This evening at 18:00", "Tomorrow at 9:00")
NAMELESS_REMINDER = "You asked me to remind you"

NO_WORDS = "I got that, but there are no words in it for me. Tell me what you would like."
NO_WORDS_FOR = {
    "sticker": "Nice one! I can't do much with stickers, though. Tell me in words what you like.",
    "dice": "Well rolled! Now tell me in words what you would like.",
}
EDITED_TOO_LATE = (
    "I had already read that message when you changed it. "
    "Send me what is different as a new message, please."
)
OUR_FAULT = (
    "Something went wrong on my side with that message. It is kept, and the log tells what "
    "happened. Send it again, perhaps in other words."
)
EMPTY_ANSWER = "I have nothing to say to that. Put it another way?"

NO_TRANSCRIBER = (
    "🎤 I have your voice message, but nobody here turns speech into text yet. Set voice.command "
    "or voice.url in config.toml (the README shows how), or write it to me. The recording is kept."
)
GUEST_COMMAND = "Commands are for my owner. With you I just talk: write me anything."
GUEST_FILE = "I can't take files from guests. Tell me in words what it is about."
GUEST_ENOUGH = "That was a lot for one hour. Let's go on a bit later."
GUEST_WORK = (
    "That would be work, and I only do that for my owner. I'll let them know you asked. "
    "Is there something I can tell you?"
)
GONE_PRIVATE = "I go on with that in our private chat."

CARD_GONE = "That card is not here any more."
NO_SUCH_OPTION = "That is not one of the options."
WHAT_TO_CHANGE = "What should change? Tell me in your next message."

PLAN_OPTIONS = (
    {"key": "go", "label": "Go", "consequence": "The steps start."},
    {"key": "change", "label": "Change", "consequence": "You tell me what to change."},
    {"key": "drop", "label": "Drop", "consequence": "Nothing happens."},
)
PLAN_TAPPED = {"go": "▶ Started", "change": "✎ Being changed", "drop": "✕ Dropped"}
_PLAN_PROMISE = "Nothing starts before you say Go."


def cause(ended: TurnEnded) -> str:
    """Why a model brought no answer, as words that follow "the model"."""
    if waited := re.search(r"no answer in (\d+) s", ended.problem):
        return f"did not answer within {waited[1]} seconds"
    match ended.failure:
        case Failure.transient:
            return "is overloaded or cannot be reached"
        case Failure.rate_limited:
            seconds = ended.retry_after_seconds
            wait = f" for about {span(timedelta(seconds=seconds))} more" if seconds else ""
            return f"has reached its usage limit{wait}"
        case Failure.authentication:
            return "refused the credentials (`agentos doctor` shows which are used)"
        case Failure.refused:
            return "refused the request (is its name in config.toml right?)"
        case Failure.budget:
            return "has reached its spending limit"
        case Failure.crashed:
            return "broke off"
        case Failure.nonsense | None:
            return "gave an answer that makes no sense"


def outage(why: str) -> str:
    """Told once when triage falls back to rules."""
    return f"⚠ The model {why}, so I sort your messages by simple rules until it is back."


def no_answer(why: str) -> str:
    """Instead of an answer of the chat."""
    return f"I can't answer that now: the model {why}. Your message is kept; ask again in a while."


def one_step_only(why: str) -> str:
    """Above a plan that no model drafted."""
    return f"⚠ The model {why}, so this is no real plan: your whole request as a single step."


def unchanged(why: str) -> str:
    """Above a plan that could not be redrafted."""
    return (
        f"⚠ The model {why}, so the plan stays as it was. Tap Change to try again, or go with it."
    )


def no_words(attachments: Sequence[Mapping[str, Any]]) -> str:
    """A message without words; some kinds of it deserve a word of their own."""
    kinds = (NO_WORDS_FOR.get(str(attachment.get("kind"))) for attachment in attachments)
    return next((answer for answer in kinds if answer), NO_WORDS)


def understood(spoken: str) -> str:
    """What was heard, so that a wrong word is seen before it does harm."""
    plain = " ".join(spoken.replace("`", "'").split())
    return f"🎤 `{plain if len(plain) <= 300 else plain[:299].rstrip() + '…'}`"


def not_heard(problem: str) -> str:
    """A voice message that could not be put into words."""
    return (
        f"🎤 I could not make that out ({problem}). The recording is kept; write it, or try again."
    )


def guest_wish(name: str, wish: str) -> str:
    """A guest asked for work and was refused; both are somebody else's words."""
    plain = " ".join(f"{name} asked for: {wish}".replace("`", "'").split())
    return f"Your guest wanted work from me, and I said no.\n`{plain}`"


def on_it(title: str, job_id: int | None) -> str:
    """Work has been put into the queue."""
    return f"On it: {title} (#{job_id})"


def reminded(reminder: str, *, at: datetime, now: datetime) -> str:
    """A reminder is set; both times in the owner's zone."""
    return f"I'll remind you {moment(at, now=now)}: {reminder}"


def moment(at: datetime, *, now: datetime) -> str:
    """A time as people say it: "today at 15:30", "on Fri 21 Nov at 09:00"."""
    clock = at.strftime("%H:%M")
    if at.date() == now.date():
        return f"today at {clock}"
    year = f" {at.year}" if at.year != now.year else ""
    return f"on {at.strftime('%a')} {at.day} {at.strftime('%b')}{year} at {clock}"


def span(length: timedelta) -> str:
    """A length of time in its largest fitting unit."""
    minutes = max(1, round(length.total_seconds() / 60))
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 step", "3 steps"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def too_big(megabytes: int | None, *, limit: int = 20) -> str:
    """A file that the channel will not hand over; `limit` in megabytes is the channel's."""
    size = f"is {megabytes} MB" if megabytes else "is too big for me"
    return f"That file {size}; I can take up to {limit} MB. Send a link or a smaller one."


def not_fetched(name: str) -> str:
    """A file that could not be fetched now."""
    return f"I could not fetch {name or 'that file'}. Send it again, please."


def plan(
    proposed: Plan,
    *,
    note: str = "",
    model: str = "",
    estimates: Sequence[Estimate] | None = None,
    revision: Revision | None = None,
) -> str:
    """The plan message: all there is to know before saying Go, and what a change has changed."""
    steps = [Step.model_validate(step) for step in proposed.steps]
    known = [guess(step) for step in steps] if estimates is None else estimates
    version = f" (version {proposed.version})" if proposed.version > 1 else ""
    named = proposed.title.lower().startswith("plan")
    lines = [f"**{'' if named else 'Plan: '}{proposed.title}**{version}"]
    if proposed.goal.strip().lower() != proposed.title.strip().lower():
        lines.append(proposed.goal)
    lines.append("")
    if note:
        lines[:0] = [note, ""]
    fates = revision.fates if revision else [Fate.same] * len(steps)
    for number, step in enumerate(steps, start=1):
        lines.append(_step(number, step, known[number - 1], fates[number - 1]))
    lines += ["", _in_all(steps, known, model=model)]
    if revision and revision.gone:
        lines += ["", "No longer part of it:", *(f"- {title}" for title in revision.gone)]
    if proposed.asks:
        lines += ["", "I will ask you:", *(f"- {ask}" for ask in proposed.asks)]
    if proposed.risks:
        lines += ["", "Watch out:", *(f"- {risk}" for risk in proposed.risks)]
    return "\n".join([*lines, "", _PLAN_PROMISE])


def plan_after_tap(shown: str, key: str) -> str:
    """The plan message once it was decided."""
    return f"{shown.removesuffix(_PLAN_PROMISE).rstrip()}\n\n**{PLAN_TAPPED[key]}**"


def plan_started(steps: int) -> str:
    """Go was tapped."""
    return f"Started: {counted(steps, 'step')}. I'll tell you how it goes."


def plan_is_decided(state: PlanState) -> str:
    """It came too late for a plan."""
    return f"That plan is {state.value} already."


def plan_done(title: str, *, done: int, files: Sequence[str], troubles: Sequence[str]) -> str:
    """All jobs of a plan have ended."""
    total = done + len(troubles)
    opening = "🏁 All done" if not troubles else "🏁 Finished, but not all of it worked out"
    lines = [f"{opening}: **{title}**", f"{done} of {counted(total, 'step')} done."]
    if files:
        shown = ", ".join(files[:8]) + (f" and {len(files) - 8} more" if len(files) > 8 else "")
        lines.append(f"Made: {shown}")
    lines += [f"- {trouble}" for trouble in troubles]
    return "\n".join(lines)


_FATES = {Fate.same: "", Fate.changed: "✎ ", Fate.new: "🆕 "}


def _step(number: int, step: Step, known: Estimate, fate: Fate) -> str:
    after = ", ".join(str(needed + 1) for needed in step.after)
    facts = [step.kind.value, f"{'usually' if known.usual else 'about'} {known.minutes} min"]
    facts += [money(known.cost)] if known.cost else []
    facts += [f"after {after}"] if after else []
    return f"{number}. {_FATES[fate]}{step.title} ({', '.join(facts)})"


def _in_all(steps: Sequence[Step], known: Sequence[Estimate], *, model: str) -> str:
    minutes = span(timedelta(minutes=_longest_way(steps, [each.minutes for each in known])))
    cost = sum((each.cost for each in known), Decimal(0))
    price = f", for about {money(cost)}" if cost else ""
    return f"About {minutes} in all{price}{f', done by {model}' if model else ''}."


def money(cost: Decimal) -> str:
    """US dollars, to the cent."""
    return f"${cost:.2f}" if cost >= Decimal("0.01") else "under $0.01"


def _longest_way(steps: Sequence[Step], minutes: Sequence[int]) -> int:
    """Minutes until the last step ends when what can run side by side does."""
    ends: list[int] = []
    for step, takes in zip(steps, minutes, strict=True):
        begin = max((ends[needed] for needed in step.after), default=0)
        ends.append(begin + takes)
    return max(ends)
