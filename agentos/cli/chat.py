"""`agentos chat`: a conversation at the keyboard, or line by line from a pipe."""

import asyncio
import sys
from datetime import timedelta
from typing import Any

from rich.console import Console

from agentos.cli.conversation import Conversation, attached
from agentos.cli.keyboard import Keyboard
from agentos.cli.once import DONE, Script
from agentos.cli.reach import reach
from agentos.cli.screen import Screen
from agentos.control.link import Link
from agentos.errors import AgentosError, DaemonUnreachable
from agentos.home import Home

_ENDS = ("/quit", "/exit")


def run(*, home: Home, within: timedelta) -> int:
    """Talk until the person ends it, or until there are no more lines."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return asyncio.run(_talk_at_keyboard(home))
    return asyncio.run(_talk_from_pipe(home, within=within))


async def _talk_at_keyboard(home: Home) -> int:
    screen = Screen(Console(highlight=False))
    keyboard = Keyboard(typed=True)
    try:
        async with reach(home, tell=screen.note) as link:
            screen.note(await welcome(link, home))
            conversation = Conversation(link, listener=screen)
            return await attached(
                conversation, lambda: _type(conversation, screen=screen, keyboard=keyboard)
            )
    finally:
        keyboard.close()
        screen.close()


async def _type(conversation: Conversation, *, screen: Screen, keyboard: Keyboard) -> int:
    """Send each line, or tap the option that it names, until the end."""
    screen.prompt()
    while (line := await keyboard.line()) is not None:
        screen.typed()
        if line.strip() in _ENDS:
            break
        try:
            await _send(line, conversation, screen=screen)
        except DaemonUnreachable:
            raise
        except AgentosError as error:
            screen.note(str(error))
            screen.prompt()
    return DONE


async def _send(line: str, conversation: Conversation, *, screen: Screen) -> None:
    """Send one line. The acknowledgement or the reply brings the next prompt."""
    option = conversation.choice(line)
    if option is not None:
        screen.note(await conversation.tap(option))
        screen.prompt()
    elif line.strip():
        await conversation.say(line)
    else:
        screen.prompt()


async def _talk_from_pipe(home: Home, *, within: timedelta) -> int:
    """Each line is a message, or an option; the next one waits until all of it is done."""
    async with reach(home, tell=lambda words: None) as link:
        script = Script(quiet=False)
        script.conversation = Conversation(link, listener=script)
        keyboard = Keyboard(typed=False)
        try:
            return await attached(
                script.conversation, lambda: _pipe(script, keyboard=keyboard, within=within)
            )
        finally:
            keyboard.close()


async def _pipe(script: Script, *, keyboard: Keyboard, within: timedelta) -> int:
    worst = DONE
    while (line := await keyboard.line()) is not None:
        if line.strip() in _ENDS:
            break
        if not line.strip():
            continue
        option = script.conversation.choice(line)
        if option is not None and script.message_id is not None:
            await script.tap(option)
        else:
            await script.send(line)
        worst = max(worst, await script.wait(everything=True, within=within))
    return worst


async def welcome(link: Link, home: Home) -> str:
    """The first line: where home is, and who answers."""
    try:
        status: dict[str, Any] = await link.call("daemon.status")
    except DaemonUnreachable:
        raise
    except AgentosError:
        status = {}
    source = status.get("model_source", "a model")
    words = f"agentos, at home in {home.root}. {source[:1].upper()}{source[1:]} answers."
    if status.get("model_is_standin"):
        words += " With ANTHROPIC_API_KEY set, or a login of the Claude CLI, it is Claude."
    return f"{words}\n/help shows what you can say, /quit ends."
