"""How soon a message is acknowledged when everything is busy: all slots taken, a long queue.

The clock is the Bot API stand-in's: from the instant an update can be fetched to the arrival of
the reaction at it. The daemon, the fork server, the Claude CLI and the tools of the busy jobs are
real processes; only the two far ends are stand-ins.
"""

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

from agentos.standins.script import Rule
from agentos.standins.telegram_user import Sent
from benchmarks.common import Report, parser, run, say
from benchmarks.stage import Stage

_SLOTS = 3
_BUSY = "keep this slot busy"
# The CLI refuses a bare `sleep`.
_LONG = "python3 -c 'import time; time.sleep(900)'"
_UNSAID = "SELECT count(*) FROM outbox WHERE state != 'sent'"
_PATIENCE = timedelta(seconds=180)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--messages", type=int, default=40, help="messages, one after the other")
    options.add_argument("--burst", type=int, default=10, help="messages at once, at the end")
    options.add_argument("--queued", type=int, default=200, help="jobs that wait in the queue")
    options.add_argument("--pause", type=float, default=0.6, help="mean seconds between messages")
    given = options.parse_args()
    report = Report("acknowledge")
    run(
        _measure(
            report,
            count=given.messages,
            burst=given.burst,
            queued=given.queued,
            pause=timedelta(seconds=given.pause),
        )
    )
    report.show(as_json=given.json)


async def _measure(
    report: Report, *, count: int, burst: int, queued: int, pause: timedelta
) -> None:
    async with Stage(AGENTOS_ENGINE__SLOTS=str(_SLOTS)) as stage:
        await stage.script.add_rules([busy_rule()])
        stage.daemon.start()
        await stage.daemon.answers()
        await fill(stage, slots=_SLOTS, queued=queued)
        say(f"{_SLOTS + 1} slots busy, {queued} jobs queued; {count} messages follow")
        sent = await _talk(stage, count=count, pause=pause)
        await _all_answered(stage, count=count)
        say(f"a burst of {burst}")
        at_once = list(
            await asyncio.gather(
                *(stage.owner.say(f"what is {number} + 5000?") for number in range(burst))
            )
        )
        await _all_answered(stage, count=count + burst)
        latencies = await _latencies(stage, sent)
        report.spread(
            "message → acknowledgement", latencies, "ms", quantiles=(50, 95, 100), goals={95: 300}
        )
        report.spread(
            f"the same, {burst} at once",
            await _latencies(stage, at_once),
            "ms",
            quantiles=(50, 95, 100),
            goals={95: 300},
        )
        triage = _triage_times(stage, sent)
        report.spread("message → triaged", triage, "ms", quantiles=(50, 95, 100))
        _report_what_is_left(report, stage, said=count + burst)


def busy_rule() -> Rule:
    """A job that keeps its slot."""
    reply = {"blocks": [{"tool": "Bash", "input": {"command": _LONG}}]}
    done = {"blocks": [{"text": "Done."}]}
    rule = {"name": "busy", "when": {"prompt": _BUSY, "tool": "Bash"}, "turn": [reply, done]}
    return Rule.model_validate(rule)


async def fill(stage: Stage, *, slots: int, queued: int) -> None:
    """Take every slot, the reserved one too, with jobs whose tools run; then queue the others."""
    for number in range(slots + 1):
        # The last goes into the slot that is kept for what is urgent.
        priority = 0 if number == slots else 2
        await stage.daemon.call(
            "job.add", title=f"busy {number}", prompt=_BUSY, priority=priority, timeout_seconds=3600
        )
    began = time.monotonic()
    while True:
        status = await stage.daemon.call("daemon.status")
        busy = [words for words in status["doing"].values() if "time.sleep" in words]
        if len(busy) > slots:
            break
        if time.monotonic() - began > 120:
            raise TimeoutError(f"the slots do not fill: {status['doing']}")
        await asyncio.sleep(0.2)
    for number in range(queued):
        title = f"waiting {number}"
        await stage.daemon.call("job.add", title=title, prompt=_BUSY, priority=2 + number % 4)


async def _talk(stage: Stage, *, count: int, pause: timedelta) -> list[Sent]:
    """Messages of all kinds, at a person's uneven pace."""
    rng = random.Random(7)
    kinds = (
        "what is {n} + 1000?",
        "hello number {n}",
        "write note number {n}",
        "what is {n} + 2000?",
        "remind me in {n} days to water the plants",
    )
    sent = []
    for number in range(count):
        text = kinds[number % len(kinds)].format(n=number + 1)
        sent.append(await stage.owner.say(text))
        await asyncio.sleep(rng.uniform(0.3, 1.7) * pause.total_seconds())
    return sent


async def _all_answered(stage: Stage, *, count: int) -> None:
    """Wait until each message is handled and all is said; Telegram's pace is one a second."""
    deadline = time.monotonic() + _PATIENCE.total_seconds()
    while (
        _count(stage, "SELECT count(*) FROM message WHERE state = 'handled'") < count
        or _count(stage, _UNSAID) > 0
    ):
        if time.monotonic() > deadline:
            raise TimeoutError("not all messages were answered")
        await asyncio.sleep(0.2)


async def _latencies(stage: Stage, sent: list[Sent]) -> list[float]:
    """Milliseconds from each message to the first reaction at it."""
    reacted: dict[str, float] = {}
    for call in await stage.owner.calls(method="setMessageReaction"):
        reacted.setdefault(str(call.params["message_id"]), call.monotonic)
    return [(reacted[str(one.message_id)] - one.monotonic) * 1000 for one in sent]


def _triage_times(stage: Stage, sent: list[Sent]) -> list[float]:
    """Milliseconds from each message to the commit of its decision, about: by the rows' times.

    Messages of one conversation are decided one after the other, so waiting in line is in it.
    """
    query = (
        "SELECT m.external_message_id, e.at FROM event e JOIN message m ON m.id = e.message_id"
        " WHERE e.key = 'message_triaged'"
    )
    with closing(_connect(stage)) as connection:
        decided = {row[0]: _seconds(row[1]) for row in connection.execute(query)}
    return [(decided[str(one.message_id)] - one.at) * 1000 for one in sent]


def _report_what_is_left(report: Report, stage: Stage, *, said: int) -> None:
    handled = _count(stage, "SELECT count(*) FROM message WHERE state = 'handled'")
    by_rules = _count(stage, "SELECT count(*) FROM message WHERE triaged_by = 'local rules'")
    queued = _count(stage, "SELECT count(*) FROM job WHERE state = 'queued'")
    running = _count(stage, "SELECT count(*) FROM run WHERE state IN ('starting', 'running')")
    report.add("messages without an answer", said - handled, "", at_most=0)
    report.add("triaged by the local rules instead of the model", by_rules, "", at_most=0)
    report.add("jobs running at the end", running, "")
    report.add("jobs queued at the end", queued, "")


def _connect(stage: Stage) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{stage.home.database_file}?mode=ro", uri=True, timeout=10)


def _count(stage: Stage, query: str) -> int:
    with closing(_connect(stage)) as connection:
        return int(connection.execute(query).fetchone()[0])


def _seconds(stored: str) -> float:
    """A stored time, which is in UTC, as a Unix time."""
    moment = datetime.fromisoformat(stored)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


if __name__ == "__main__":
    main()
