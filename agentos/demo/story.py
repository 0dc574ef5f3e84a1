"""The story: one day of a baker, one step for each of the five things a message can be."""

import csv
import io
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from agentos.demo import lines, picture
from agentos.demo.evidence import Evidence
from agentos.demo.report import Check, Step, Stuck
from agentos.demo.stage import Stage
from agentos.demo.talk import Talk
from agentos.demo.telling import Telling
from agentos.standins.telegram_user import ChatMessage, Sent

_A_MOMENT = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
# Sold less shopping and rent: what the last page must say if it was made from the other two.
_LEFT_OVER = "113.90 €"


class Story:
    """Plays the steps; what is checked goes to the one that was begun last."""

    def __init__(self, stage: Stage, *, talk: Talk, telling: Telling) -> None:
        self._stage = stage
        self._talk = talk
        self._telling = telling
        self.evidence = Evidence(stage)
        self._step = Step("", "")

    def steps(self) -> list[tuple[Step, Callable[[], Awaitable[None]]]]:
        """All of them, with what plays each."""
        return [
            (Step("start", "The service starts", needs_service=False), self._start),
            (Step("respond", "A question"), self._respond),
            (Step("quick_work", "Small work: a worker writes a file"), self._quick_work),
            (Step("clarify", "Work that needs one question first"), self._clarify),
            (Step("defer", "Something for later"), self._defer),
            (Step("big_work", "Big work: a plan, and nothing before Go"), self._big_work),
            (Step("stop", "The service stops"), self._stop),
        ]

    def begin(self, step: Step) -> None:
        """From now on, checks belong to this step."""
        self._step = step
        self._talk.begin()

    async def end(self) -> None:
        """Keep how the chat looks at the end of the step."""
        if self._step.needs_service and self._stage.is_up:
            await self._talk.keep_now(self._step.name, title=self._step.about)

    async def _start(self) -> None:
        await self._stage.model.add_rules(lines.rules())
        status = await self._stage.start()
        self._check("a process of its own answers", status["pid"] > 0)
        self._check("Telegram is connected", "telegram" in status["channels"])
        at_standin = "127.0.0.1" in str(status["model_source"])
        self._check("the model is a stand-in on this machine, without a key", at_standin)
        jobs = await self.evidence.jobs()
        self._check("its home is empty: no jobs yet", jobs == [])

    async def _respond(self) -> None:
        sent = await self._talk.say(lines.QUESTION)
        await self._talk.hear_words("drop a teaspoon", after=sent.message_id)
        await self._check_acknowledged(lines.QUESTION, sent=sent)
        seen = len(self._talk.drafts)
        self._check("the answer could be read while it was written", seen >= 2)
        self._check("a question starts no job", await self.evidence.jobs() == [])

    async def _quick_work(self) -> None:
        sent = await self._talk.say(lines.CARD)
        await self._talk.hear_words(f"On it: {lines.CARD_TITLE}", after=sent.message_id)
        result = await self._talk.hear_words("Your card is ready", after=sent.message_id)
        _, content = await self._talk.receive("recipe-card.md", after=sent.message_id)
        await self._check_work(lines.CARD_TITLE)
        await self._check_acknowledged(lines.CARD, sent=sent)
        grams = _column(content.decode(), "grams")
        adds_up = bool(grams) and sum(grams[:-1]) == grams[-1] == 12 * 900
        self._check("the file was fetched, and its grams add up", adds_up)
        told = [number for number in grams[:2] if str(number) in result.text]
        self._check("the summary says what stands in the file", len(told) == 2)

    async def _clarify(self) -> None:
        before = await self.evidence.jobs()
        sent = await self._talk.say(lines.SIGN)
        card = await self._talk.hear(
            lambda one: lines.WIDE in one.labels, what="a question", after=sent.message_id
        )
        await self._talk.keep_now("card", title="A card")
        await self._check_acknowledged(lines.SIGN, sent=sent)
        waits = await self.evidence.jobs() == before
        self._check("no work before the answer", waits)
        tapped = await self._talk.tap(lines.WIDE, on=card)
        await self._talk.hear_words(f"On it: {lines.SIGN_TITLE}", after=sent.message_id)
        photo, content = await self._talk.receive("price-sign.png", after=sent.message_id)
        await self._check_work(lines.SIGN_TITLE)
        await self._check_settled(card, shows=f"✓ {lines.WIDE}", tap=tapped.tap_id)
        is_photo = photo.document is not None and photo.document.kind == "photo"
        self._check("it came as a picture, wide as tapped", is_photo and _is_wide(content))

    async def _defer(self) -> None:
        sent = await self._talk.say(lines.REMINDER)
        set_for = await self._talk.hear_words("I'll remind you", after=sent.message_id)
        await self._check_acknowledged(lines.REMINDER, sent=sent)
        due = await self.evidence.next_reminder()
        now = await self.evidence.now()
        tomorrow = now.date() + timedelta(days=1)
        right = due.date() == tomorrow and f"{due:%H:%M}" == "09:00"
        self._check("set for tomorrow at nine, and said so", right and "at 09:00" in set_for.text)
        await self._move_clock(due - _MINUTE)
        await self._talk.quiet(_A_MOMENT)
        early = self._talk.last_told > set_for.message_id
        self._check("a minute before nine: nothing", not early)
        await self._move_clock(due)
        await self._talk.hear_words("⏰ Feed the starter", after=set_for.message_id)
        self._check("at nine it arrived", True)

    async def _big_work(self) -> None:
        before = await self.evidence.jobs()
        sent = await self._talk.say(lines.STALL)
        plan = await self._talk.hear(
            lambda one: one.labels == ["Go", "Change", "Drop"],
            what="a plan with Go, Change and Drop",
            after=sent.message_id,
        )
        await self._talk.keep_now("plan", title="A plan, and nothing before Go")
        await self._check_acknowledged(lines.STALL, sent=sent)
        calls = await self.evidence.worker_calls()
        await self._talk.quiet(_A_MOMENT)
        waits = await self.evidence.jobs() == before
        waits = waits and await self.evidence.worker_calls() == calls
        self._check("no job and no worker's call before Go", waits)
        tapped = await self._talk.tap("Go", on=plan)
        await self._talk.hear_words("🏁 All done", after=sent.message_id)
        _, page = await self._talk.receive("saturday.md", after=sent.message_id)
        await self._check_work(*lines.STEPS)
        await self._check_settled(plan, shows="Started", tap=tapped.tap_id)
        await self._check_order()
        prices = self._content("prices.csv")
        shopping = self._content("shopping.csv")
        names = [row["what"] for table in (prices, shopping) for row in table]
        whole = len(names) == 8 and all(name in page.decode() for name in names)
        self._check("the page holds what both others made", whole)
        self._check(f"its sum is right: {_LEFT_OVER}", _LEFT_OVER in page.decode())

    async def _stop(self) -> None:
        self._check("all jobs are done", await self.evidence.all_done())
        status = await self._stage.stop()
        self._check("it ended in order", status == 0)
        self._check("no worker was left behind", await self.evidence.nobody_left())

    async def _check_acknowledged(self, text: str, *, sent: Sent) -> None:
        seen = await self.evidence.acknowledged(text, sent=sent)
        when = f"after {seen.after_ms} ms" if seen is not None else "came"
        holds = seen is not None and seen.before_the_model
        self._check(f"👀 {when}, before any model was asked", holds)

    async def _check_work(self, *titles: str) -> None:
        """Each of these jobs wrote its program and ran it, and neither failed."""
        used = [await self.evidence.tools_of(title) for title in titles]
        for tool in (tool for tools in used for tool in tools):
            self._telling.note(f"⚙ {tool.what}" + (f" → {tool.output}" if tool.output else ""))
        fine = [
            [(tool.name, tool.failed) for tool in tools] == [("Write", False), ("Bash", False)]
            for tools in used
        ]
        who = "the worker" if len(titles) == 1 else "each worker"
        self._check(f"{who} really wrote a program and ran it", all(fine))

    async def _check_settled(self, card: ChatMessage, *, shows: str, tap: str | None) -> None:
        """A tapped card shows its answer, has no buttons any more, and the tap was answered."""
        view = await self._talk.see(
            lambda view: (
                tap in view.answers
                and any(
                    one.message_id == card.message_id and not one.buttons and shows in one.text
                    for one in view.messages
                )
            ),
            what="the card with its answer",
        )
        self._check("the card shows what was tapped, without buttons", tap in view.answers)

    async def _check_order(self) -> None:
        first, second, last = [await self.evidence.job(title) for title in lines.STEPS]
        started = _time_of(last, "started_at")
        ended = [_time_of(job, "finished_at") for job in (first, second)]
        self._check("the last step waited for both others", started >= max(ended))

    async def _move_clock(self, moment: datetime) -> None:
        span = moment - await self.evidence.now()
        await self._stage.control("clock.advance", seconds=span.total_seconds())
        self._telling.note(f"⏩ The clock is moved to {moment:%A %H:%M}.")

    def _content(self, name: str) -> list[dict[str, str]]:
        """A table that arrived, as rows. Raises Stuck."""
        found = self._talk.files.get(name)
        if found is None:
            raise Stuck(f"{name} did not come")
        return list(csv.DictReader(io.StringIO(found.decode())))

    def _check(self, claim: str, holds: bool) -> None:
        check = Check(claim, holds)
        self._step.checks.append(check)
        self._telling.checked(check)


def _column(table: str, name: str) -> list[int]:
    """The numbers of a column of the first Markdown table in a text."""
    rows = [line.strip("| ").split("|") for line in table.splitlines() if line.startswith("|")]
    heads = [head.strip() for head in rows[0]] if rows else []
    if name not in heads:
        return []
    place = heads.index(name)
    cells = [row[place].strip(" *") for row in rows[2:] if len(row) > place]
    return [int(cell) for cell in cells if cell.isdigit()]


def _is_wide(content: bytes) -> bool:
    try:
        read = picture.read(content)
    except picture.NoPicture:
        return False
    return read.width > 2 * read.height


def _time_of(job: dict[str, Any], name: str) -> datetime:
    """When the last run of a job started or ended. Raises Stuck when it has not."""
    told = job["runs"][-1][name] if job["runs"] else None
    if told is None:
        raise Stuck(f"{job['job']['title']} has no {name.removesuffix('_at')} run")
    return datetime.fromisoformat(told)
