"""The command: open the stage, play each step, tell how it went."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from agentos import log as logs
from agentos.demo.report import Report, Step, Stuck, Totals
from agentos.demo.stage import Stage
from agentos.demo.story import Story
from agentos.demo.talk import Talk
from agentos.demo.telling import Telling
from agentos.errors import AgentosError
from agentos.settings import Owner
from agentos.standins.telegram_user import StandinRefused

# A step that meets one of these has failed; the story goes on with the next.
_FAULTS = (Stuck, AgentosError, StandinRefused, httpx.HTTPError, TimeoutError, OSError)


def run(*, as_json: bool = False, pages: Path | None = None) -> int:
    """Tell the story; the status is 1 when a step failed. `pages` gets the chat as web pages."""
    telling = Telling(quiet=as_json)
    report = asyncio.run(_interruptible(telling, pages=pages))
    telling.summary(report)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n")
    return int(not report.passed)


async def _interruptible(telling: Telling, *, pages: Path | None) -> Report:
    """A closed terminal or a `kill` ends the story like Ctrl-C does: everything is put away."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_told(telling, pages=pages))
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _told(telling: Telling, *, pages: Path | None) -> Report:
    began = time.monotonic()
    telling.opening()
    async with Stage.open() as stage:
        logs.configure(stage.root / "demo.log", level="INFO")
        talk = Talk(stage, telling=telling)
        story = Story(stage, talk=talk, telling=telling)
        played = []
        for number, (step, play) in enumerate(story.steps()):
            telling.heading(step, number=number)
            story.begin(step)
            await _played(step, play, story=story, stage=stage, telling=telling)
            played.append(step)
        totals = await _totals(story)
        report = Report(played, totals, seconds=time.monotonic() - began)
        if pages is not None:
            await asyncio.to_thread(_draw, talk, pages, telling=telling)
        if not report.passed:
            stage.keep, report.kept = True, str(stage.root)
    return report


def _draw(talk: Talk, folder: Path, *, telling: Telling) -> None:
    """The chat as web pages. A folder that cannot be written is told, and fails nothing."""
    try:
        made = talk.moments.write(folder, files=talk.files, zone=Owner().zone)
    except OSError as error:
        telling.note(f"no pages: {folder}: {error.strerror or error}")
        return
    telling.note(f"{len(made)} pages are in {folder}, to open in a browser")


async def _played(
    step: Step,
    play: Callable[[], Awaitable[None]],
    *,
    story: Story,
    stage: Stage,
    telling: Telling,
) -> None:
    if step.needs_service and not stage.is_up:
        step.skipped = True
        telling.note("skipped: the service does not run")
        return
    began = time.monotonic()
    try:
        await play()
        await story.end()
    except _FAULTS as fault:
        step.problem = str(fault) or type(fault).__name__
        telling.stuck(step.problem)
    step.seconds = time.monotonic() - began


async def _totals(story: Story) -> Totals:
    try:
        return await story.evidence.totals()
    except _FAULTS:
        return Totals()
