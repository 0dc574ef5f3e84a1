"""Many chats at once while all slots are busy: how soon each message is acknowledged, in what order
the answers come, and whether the server ever has to say "too many requests".

The stand-in holds the bot to Telegram's published limits: a message a second in a chat, thirty a
second in all. Reminders are asked for, so that each answer is one message that names its question.
"""

import asyncio
import re
import time
from datetime import timedelta

from agentos.standins.telegram_user import ChatMessage, Sent, TelegramUser
from benchmarks.acknowledge import busy_rule, fill
from benchmarks.common import Report, parser, run, say
from benchmarks.stage import Stage

_FIRST_ID = 20_000
_ANSWER = re.compile(r"water plant (\d+)", re.IGNORECASE)
_TOO_MANY = "Too Many Requests"


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--chats", type=int, default=50)
    options.add_argument("--messages", type=int, default=20, help="at once in each chat")
    options.add_argument("--slots", type=int, default=8, help="all of them busy")
    options.add_argument("--patience", type=int, default=480, help="seconds for all answers")
    given = options.parse_args()
    report = Report("chat_load")
    run(
        _measure(
            report,
            chats=given.chats,
            count=given.messages,
            slots=given.slots,
            patience=timedelta(seconds=given.patience),
        )
    )
    report.show(as_json=given.json)


async def _measure(
    report: Report, *, chats: int, count: int, slots: int, patience: timedelta
) -> None:
    settings = {
        "AGENTOS_ENGINE__SLOTS": str(slots),
        # The load is what is measured here, so it is no reason to wait.
        "AGENTOS_CAPACITY__MOST_LOAD": "1000",
        "AGENTOS_CAPACITY__LEAST_MEMORY_MB": "0",
        "AGENTOS_MEMORY__CAPTURE": "false",
        "AGENTOS_MEMORY__EMBEDDER": "",
    }
    async with Stage(**settings) as stage:
        await stage.script.add_rules([busy_rule()])
        stage.daemon.start()
        await stage.daemon.answers()
        await fill(stage, slots=slots, queued=0)
        people = await _let_in(stage, chats)
        say(f"{slots + 1} slots busy; {chats} chats × {count} messages at once")
        began = time.monotonic()
        texts = [f"remind me in {n + 2} days to water plant {n}" for n in range(count)]
        said = await asyncio.gather(*(_say_all(person, texts) for person in people))
        took = await _answered(people, count=count, began=began, patience=patience)
        await _tell(report, stage, people, said, took=took)
        for person in people:
            await person.close()


async def _let_in(stage: Stage, chats: int) -> list[TelegramUser]:
    """Owners, each with a chat of their own: they knock and are let in."""
    people = [
        TelegramUser(stage.bot.url, user_id=_FIRST_ID + number, name=f"Person {number}")
        for number in range(chats)
    ]
    for person in people:
        await person.say("hello")
    known: dict[str, int] = {}
    while len(known) < chats:
        listed = await stage.daemon.call("people.list", role="stranger", limit=chats + 10)
        known = {one["external_id"]: one["id"] for one in listed["people"]}
        await asyncio.sleep(0.1)
    for person_id in known.values():
        await stage.daemon.call("people.approve", person=person_id, role="owner")
    for person in people:
        await person.wait_for("let in as an owner", timeout=timedelta(seconds=60))
    return people


async def _say_all(person: TelegramUser, texts: list[str]) -> list[Sent]:
    return [await person.say(text) for text in texts]


def _order(messages: list[ChatMessage]) -> list[int]:
    """The numbers of the answers of a chat, in the order they came."""
    found = [_ANSWER.search(one.text) for one in messages if one.by == "bot"]
    return [int(match[1]) for match in found if match is not None]


async def _answered(
    people: list[TelegramUser], *, count: int, began: float, patience: timedelta
) -> float:
    """Wait until each chat has all its answers; the seconds it took."""
    left = list(people)
    while left:
        still = []
        for person in left:
            if len(_order((await person.chat()).messages)) < count:
                still.append(person)
        left = still
        if time.monotonic() - began > patience.total_seconds():
            say(f"{len(left)} chats still wait for answers")
            break
        await asyncio.sleep(0.5)
    return time.monotonic() - began


async def _tell(
    report: Report,
    stage: Stage,
    people: list[TelegramUser],
    said: list[list[Sent]],
    *,
    took: float,
) -> None:
    reacted: dict[tuple[str, str], float] = {}
    for call in await stage.owner.calls(method="setMessageReaction"):
        key = (str(call.params["chat_id"]), str(call.params["message_id"]))
        reacted.setdefault(key, call.monotonic)
    waits, silent, doubled, disordered, missing = [], 0, 0, 0, 0
    for number, (person, messages) in enumerate(zip(people, said, strict=True)):
        for one in messages:
            at = reacted.get((str(_FIRST_ID + number), str(one.message_id)))
            if at is None:
                silent += 1
            else:
                waits.append((at - one.monotonic) * 1000)
        order = _order((await person.chat()).messages)
        doubled += len(order) - len(set(order))
        missing += len(messages) - len(set(order))
        disordered += order != sorted(order)
    refused = [call for call in await stage.owner.calls() if _TOO_MANY in call.outcome]
    goals = {95: 300.0}
    report.spread("message → acknowledgement", waits, "ms", quantiles=(50, 95, 100), goals=goals)
    report.add("messages without a sign", silent, "", at_most=0)
    report.add("answers missing", missing, "", at_most=0)
    report.add("answers doubled", doubled, "", at_most=0)
    report.add("chats whose answers are out of order", disordered, "", at_most=0)
    report.add('"too many requests"', len(refused), "", at_most=0)
    report.add("all answered after", took, "s")


if __name__ == "__main__":
    main()
