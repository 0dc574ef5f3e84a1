"""The connection to a Bot API server: its addresses, its time limits, its connections."""

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from telegram import Bot

from agentos.channels.telegram.leniency import LenientRequest
from agentos.errors import Misconfigured
from agentos.settings import Telegram

_TOKEN = re.compile(r"[^\s/?#%\x00-\x1f]+")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MEND = "Copy the token that @BotFather gave you, it looks like 123456:ABC-def."


@dataclass(frozen=True)
class Connection:
    """The bot, with the request that carries its long polls."""

    bot: Bot
    calls: LenientRequest
    polls: LenientRequest

    async def close(self) -> None:
        """Let go of the connections."""
        await self.polls.shutdown()
        await self.calls.shutdown()


def connect(settings: Telegram) -> Connection:
    """A bot that is ready to be called. Raises Misconfigured when the token cannot be one."""
    token = settings.token.get_secret_value().strip()
    if not _TOKEN.fullmatch(token):
        raise Misconfigured(
            where="telegram.token", problem="this does not look like a bot token", mend=_MEND
        )
    # The library warns at every flood refusal unless it may speak in timedeltas.
    os.environ.setdefault("PTB_TIMEDELTA", "true")
    # A proxy for the world is no way to this machine.
    trust_env = urlsplit(settings.base_url).hostname not in _LOOPBACK
    # A connection that is still open saves an acknowledgement the handshakes.
    limits = httpx.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=30)
    calls = LenientRequest(
        connect_timeout=5,
        read_timeout=15,
        write_timeout=15,
        pool_timeout=5,
        media_write_timeout=120,
        httpx_kwargs={"trust_env": trust_env, "limits": limits},
    )
    polls = LenientRequest(
        connection_pool_size=2,
        connect_timeout=5,
        read_timeout=10,
        write_timeout=10,
        pool_timeout=5,
        httpx_kwargs={"trust_env": trust_env},
    )
    bot = Bot(
        token,
        base_url=f"{settings.base_url}/bot",
        base_file_url=f"{settings.base_url}/file/bot",
        request=calls,
        get_updates_request=polls,
    )
    return Connection(bot=bot, calls=calls, polls=polls)


def unknown_token(settings: Telegram) -> Misconfigured:
    """What to say when the server does not know the bot."""
    return Misconfigured(
        where="telegram.token", problem=f"{settings.base_url} does not know this bot", mend=_MEND
    )
