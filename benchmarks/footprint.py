"""How fast it starts and how small it is: start, memory, `pm`, and the tokens of a triage.

The start is measured from the first instant of `agentos up` to the reaction at a message that was
already waiting; memory is of the idle daemon, some seconds after a job has been done.
"""

import asyncio
import json
import statistics
import time
from datetime import timedelta
from pathlib import Path

import psutil

from agentos.errors import AgentosError
from agentos.frontdesk.triage import SCHEMA
from agentos.standins.telegram_user import TelegramUser
from benchmarks.common import Report, parser, run, say
from benchmarks.stage import Stage, alive, marked

_MB = 1_000_000
_TITLES = ("fork server", "triage", "chat", "plans", "job", "front desk")


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--starts", type=int, default=3, help="starts of a home that is known")
    options.add_argument("--commands", type=int, default=20, help="calls of each command")
    given = options.parse_args()
    report = Report("footprint")
    run(_measure(report, starts=given.starts, commands=given.commands))
    report.show(as_json=given.json)


async def _measure(report: Report, *, starts: int, commands: int) -> None:
    async with Stage() as stage:
        say("starting with an empty home")
        first = await _start(stage, number=0)
        report.add("start → first message acknowledged, empty home", first, "s", at_most=2.5)
        again = []
        for number in range(1, starts + 1):
            await stage.daemon.stop()
            again.append(await _start(stage, number=number))
        median = statistics.median(again)
        report.add("start → first message acknowledged, known home", median, "s", at_most=2.5)
        say("doing a job, so that all that is used is there")
        await stage.owner.say("write a note about rain")
        await stage.owner.wait_for_document(timeout=timedelta(seconds=60))
        await asyncio.sleep(3)
        _memory(report, stage)
        say("asking pm")
        await _commands(report, stage, times=commands)
        await _tokens(report, stage)


async def _start(stage: Stage, *, number: int) -> float:
    """Seconds from the start to the reaction at a message that waited for it."""
    await asyncio.sleep(0.5)
    before = await stage.owner.calls()
    sent = await stage.owner.say(f"what is {number} + 2?")
    began = time.monotonic()
    stage.daemon.start()
    since = before[-1].index + 1 if before else 0
    reacted = await _reaction(stage.owner, message_id=sent.message_id, since=since)
    await stage.owner.wait_for(f"makes {number + 2}", timeout=timedelta(seconds=60))
    return reacted - began


async def _reaction(owner: TelegramUser, *, message_id: int, since: int) -> float:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for call in await owner.calls(since=since, method="setMessageReaction"):
            if str(call.params.get("message_id")) == str(message_id):
                return call.monotonic
        await asyncio.sleep(0.05)
    raise TimeoutError("the message was not acknowledged")


def _memory(report: Report, stage: Stage) -> None:
    """Resident and proportional memory: of the daemon alone, of each kind of child, and of all."""
    daemon = psutil.Process(stage.daemon.pid)
    report.add("the daemon itself, idle, RSS", daemon.memory_info().rss / _MB, "MB", at_most=130)
    groups: dict[str, list[psutil.Process]] = {}
    for process in alive(marked(stage.home.mark)):
        groups.setdefault(_kind(process), []).append(process)
    for kind, members in sorted(groups.items()):
        name = f"{kind} ({len(members)})"
        report.add(f"{name}, RSS", sum(one.memory_info().rss for one in members) / _MB, "MB")
        report.add(f"{name}, PSS", sum(_pss(one.pid) for one in members) / _MB, "MB")
    everything = [daemon, *(one for members in groups.values() for one in members)]
    report.add("all processes, PSS", sum(_pss(one.pid) for one in everything) / _MB, "MB")
    report.add("processes", len(everything), "")


def _kind(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    if "agentos:" in command:
        title = command.partition("agentos:")[2].strip()
        return next((f"child: {one}" for one in _TITLES if title.startswith(one)), title)
    return "Claude CLI" if "claude" in command else process.name()


def _pss(pid: int) -> int:
    """Bytes, with what is shared counted in parts; RSS where the kernel does not tell."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return int(psutil.Process(pid).memory_info().rss)
    line = next(line for line in told.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


async def _commands(report: Report, stage: Stage, *, times: int) -> None:
    up = await asyncio.to_thread(_time, stage, "pm", "job", "list", times=times)
    report.add("pm job list, daemon up, median", up, "s", at_most=0.25)
    asked = await asyncio.to_thread(_time, stage, "agentos.cli", "--help", times=times // 2 or 1)
    report.add("agentos --help, median", asked, "s")
    await stage.daemon.stop()
    down = await asyncio.to_thread(_time, stage, "pm", "job", "list", times=times // 2 or 1)
    report.add("pm job list, daemon down, median", down, "s")


def _time(stage: Stage, module: str, *arguments: str, times: int) -> float:
    """The median of several calls, the first of all not counted."""
    took = []
    for _ in range(times + 1):
        began = time.monotonic()
        stage.command(module, *arguments)
        took.append(time.monotonic() - began)
    return statistics.median(took[1:])


async def _tokens(report: Report, stage: Stage) -> None:
    """The stand-in counts four characters a token, tools and schema with them."""
    seen = [one for one in await stage.script.requests() if "decision" in one.schema_properties]
    if not seen:
        raise AgentosError(reason="no triage was seen")
    first = seen[0]
    report.add("triage prompt without history", first.input_tokens, "tokens", at_most=1500)
    ours = len(first.system) + len(first.prompt) + len(json.dumps(SCHEMA))
    report.add("of it ours; the rest is the CLI's", ours / 4, "tokens")


if __name__ == "__main__":
    main()
