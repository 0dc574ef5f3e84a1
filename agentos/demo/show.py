"""The command: open the stage, play each step, tell how it went."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable

import httpx

from agentos import log as logs
from agentos.demo.report import Report, Step, Stuck, Totals
from agentos.demo.stage import Stage
from agentos.demo.story import Story
from agentos.demo.talk import Talk
from agentos.demo.telling import Telling
from agentos.errors import AgentosError
from agentos.standins.telegram_user import StandinRefused

# A step that meets one of these has failed; the story goes on with the next.
_FAULTS = (Stuck, AgentosError, StandinRefused, httpx.HTTPError, TimeoutError, OSError)


def run(*, as_json: bool = False) -> int:
    """Tell the story; the status is 1 when a step failed."""
    telling = Telling(quiet=as_json)
    report = asyncio.run(_interruptible(telling))
    telling.summary(report)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n")
    return int(not report.passed)


async def _interruptible(telling: Telling) -> Report:
    """A closed terminal or a `kill` ends the story like Ctrl-C does: everything is put away."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_told(telling))
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _told(telling: Telling) -> Report:
    began = time.monotonic()
    telling.opening()
    async with Stage.open() as stage:
        logs.configure(stage.root / "demo.log", level="INFO")
        story = Story(stage, talk=Talk(stage, telling=telling), telling=telling)
        played = []
        for number, (step, play) in enumerate(story.steps()):
            telling.heading(step, number=number)
            story.begin(step)
            await _played(step, play, stage=stage, telling=telling)
            played.append(step)
        totals = await _totals(story)
        report = Report(played, totals, seconds=time.monotonic() - began)
        if not report.passed:
            stage.keep, report.kept = True, str(stage.root)
    return report


async def _played(
    step: Step, play: Callable[[], Awaitable[None]], *, stage: Stage, telling: Telling
) -> None:
    if step.needs_service and not stage.is_up:
        step.skipped = True
        telling.note("skipped: the service does not run")
        return
    began = time.monotonic()
    try:
        await play()
    except _FAULTS as fault:
        step.problem = str(fault) or type(fault).__name__
        telling.stuck(step.problem)
    step.seconds = time.monotonic() - began


async def _totals(story: Story) -> Totals:
    try:
        return await story.evidence.totals()
    except _FAULTS:
        return Totals()
