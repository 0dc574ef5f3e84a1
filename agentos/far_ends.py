"""The far ends: the model, the other backends and the bot; each is reached here and kept alive."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack

from agentos import log as logs
from agentos.backends.claude_access import (
    ModelAccess,
    find_credentials,
    login_access,
    open_access,
    open_gateway,
    standin_access,
)
from agentos.backends.roster import Roster
from agentos.channels.telegram.channel import TelegramChannel
from agentos.config import Config, read_secrets
from agentos.domain.ports import Clock
from agentos.errors import Misconfigured
from agentos.frontdesk.desk import FrontDesk
from agentos.home import Home
from agentos.loopback.process import LoopbackProcess
from agentos.standins.process import StandinProcess
from agentos.store import people
from agentos.store.database import Database

log = logs.get(__name__)
_WATCH_SECONDS = 1.0
Announce = Callable[[str], None]


async def model_access(
    home: Home, config: Config, *, stack: AsyncExitStack, announce: Announce
) -> ModelAccess:
    """Claude where there are credentials, the built-in stand-in where there are none."""
    folder = home.claude_config
    if not config.standins.model:
        known = {**read_secrets(home.secrets_file), **os.environ}
        credentials = find_credentials(base_url=config.claude.base_url, known=known)
        if credentials is not None:
            access, gateway = await open_gateway(credentials, config_folder=folder)
            await _kept_alive(gateway, name="gateway", stack=stack)
            return access
        if config.claude.base_url:
            return open_access(config.claude.base_url, config_folder=folder)
        login = await asyncio.to_thread(login_access)
        if login is not None:
            return login
    standin = await StandinProcess.start("messages")
    await _kept_alive(standin, name="stand-in model", stack=stack)
    announce(
        "No Claude credentials found, so the built-in stand-in model answers. "
        "Set ANTHROPIC_API_KEY to use Claude."
    )
    return standin_access(standin.url, config_folder=folder)


async def open_roster(home: Home, config: Config, *, stack: AsyncExitStack) -> Roster:
    """The other backends that are configured, on their way to be there."""
    roster = Roster(config, folder=home.backends)
    known = {**read_secrets(home.secrets_file), **os.environ}

    async def keep_alive(server: LoopbackProcess, name: str) -> None:
        await _kept_alive(server, name=name, stack=stack)

    stack.push_async_callback(roster.close)
    await roster.open(known={} if config.standins.model else known, keep_alive=keep_alive)
    return roster


async def _kept_alive(server: LoopbackProcess, *, name: str, stack: AsyncExitStack) -> None:
    """See to it that a server of ours is there as long as we are, whatever kills it."""

    async def watch() -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if not server.running:
                log.error("server_gone", server=name)
                try:
                    await server.relaunch()
                except (Misconfigured, OSError) as error:
                    log.error("server_not_back", server=name, problem=str(error))

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop()

    task = asyncio.create_task(watch())
    stack.push_async_callback(end)


async def telegram_channel(
    config: Config,
    database: Database,
    clock: Clock,
    desk: FrontDesk,
    pairing_code: str,
    *,
    stack: AsyncExitStack,
    announce: Announce,
) -> TelegramChannel | None:
    """The bot, when it has a token that is known; its trouble is announced."""
    if not config.telegram.token.get_secret_value():
        announce("Telegram is off: set AGENTOS_TELEGRAM__TOKEN to a bot's token to turn it on.")
        return None
    channel = TelegramChannel(
        config.telegram,
        database=database,
        clock=clock,
        pairing_code=pairing_code,
        announce=announce,
    )
    stack.push_async_callback(channel.close)
    channel.attach(desk)
    try:
        announce(await channel.check())
    except Misconfigured as error:
        announce(f"Telegram is off: {error}")
        return None
    owner = await database.query(lambda connection: people.find_owner(connection, channel.name))
    if config.telegram.owner_id is None and owner is None:
        link = channel.pairing_link(pairing_code)
        opened = f" (or open {link})" if link else ""
        announce(f"To pair it with you, send it this code: {pairing_code}{opened}")
    return channel
