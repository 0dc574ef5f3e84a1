"""What the Bot API's refusals mean here: this is the one door that its errors pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
from telegram.error import (
    BadRequest as Refused,
)
from telegram.error import (
    ChatMigrated,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from agentos.errors import BadRequest, ChannelDown
from agentos.log import redact

CHANNEL = "Telegram"
# The request never left, whatever else went wrong.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_GONE = (
    "message to edit not found",
    "message can't be edited",
    "message_id_invalid",
    "there is no text in the message to edit",
    "there is no caption in the message to edit",
)
_NO_TOPIC = ("thread not found", "topic closed", "topic deleted", "topic id invalid")


@contextmanager
def translated(*, repeatable: bool) -> Iterator[None]:
    """Turn Telegram's errors into ours. `repeatable`: doing the call twice does no harm."""
    try:
        yield
    except TelegramError as error:
        raise translate(error, repeatable=repeatable) from error


def translate(error: TelegramError, *, repeatable: bool) -> ChannelDown | BadRequest:
    """ChannelDown for what may pass, BadRequest for what never will."""
    told = redact(error.message) or type(error).__name__
    if isinstance(error, RetryAfter):
        down = ChannelDown(channel=CHANNEL, problem="we are to go slower")
        down.retry_after = seconds_to_wait(error)
        return down
    if isinstance(error, InvalidToken):
        return ChannelDown(channel=CHANNEL, problem=f"the bot token is refused ({told})")
    if isinstance(error, (Refused, Forbidden, ChatMigrated)) or is_too_large(error):
        return BadRequest(problem=f"{CHANNEL} refuses this: {told}")
    down = ChannelDown(channel=CHANNEL, problem=told)
    down.uncertain = not repeatable and may_have_arrived(error)
    return down


def seconds_to_wait(error: RetryAfter) -> float:
    """How long a flood refusal asks us to be quiet."""
    wait = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)


def may_have_arrived(error: TelegramError) -> bool:
    """Whether a call may have taken effect although it failed for us."""
    if not isinstance(error, NetworkError):
        return False
    cause = error.__cause__
    if isinstance(cause, _NOT_SENT):
        return False
    # No cause: the server itself said, in its own format, that it did not do it. A cause that is
    # another error: a gateway answered for it, or no one did.
    return cause is not None


def answered_with_failure(error: TelegramError) -> bool:
    """Whether the server is there, and says itself that it failed."""
    return type(error) is NetworkError and not isinstance(error.__cause__, httpx.HTTPError)


def is_unknown_method(error: TelegramError) -> bool:
    """Whether the server does not have the method; the library reports that as a bad token."""
    told = error.message.lower()
    return isinstance(error, InvalidToken) and ("not found" in told or "404" in told)


def is_unmodified(error: Refused) -> bool:
    """Whether an edit was refused because the message looks like that already."""
    return "not modified" in error.message.lower()


def is_gone(error: Refused) -> bool:
    """Whether the message that was to be edited is not there, or not editable, any more."""
    told = error.message.lower()
    return any(words in told for words in _GONE)


def is_topic_gone(error: TelegramError) -> bool:
    """Whether a topic was deleted or closed, so that nothing can be said in it."""
    told = error.message.lower().replace("_", " ")
    return isinstance(error, Refused) and any(words in told for words in _NO_TOPIC)


def is_too_large(error: TelegramError) -> bool:
    """Whether the request was larger than the server takes."""
    told = error.message.lower()
    return "too large" in told or "(413)" in told
