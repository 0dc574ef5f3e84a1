"""What Telegram's errors mean here."""

import httpx
import pytest
from telegram.error import BadRequest as Refused
from telegram.error import Forbidden, InvalidToken, NetworkError, TelegramError, TimedOut

from agentos.channels.telegram.refusals import is_unknown_method, translate
from agentos.errors import BadRequest, ChannelDown


def _caused(error: TelegramError, cause: Exception) -> TelegramError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "uncertain"),
    [
        (_caused(TimedOut(), httpx.ReadTimeout("")), True),
        (_caused(TimedOut(), httpx.ConnectTimeout("")), False),
        (_caused(TimedOut(), httpx.PoolTimeout("")), False),
        (_caused(NetworkError("x"), httpx.ConnectError("")), False),
        (_caused(NetworkError("x"), httpx.RemoteProtocolError("")), True),
        (_caused(NetworkError("Bad Gateway"), TelegramError("no JSON")), True),
        (NetworkError("Internal Server Error"), False),
    ],
)
def test_a_lost_reply_is_told_from_a_lost_request(error: TelegramError, uncertain: bool) -> None:
    down = translate(error, repeatable=False)
    assert isinstance(down, ChannelDown)
    assert down.uncertain is uncertain
    repeated = translate(error, repeatable=True)
    assert isinstance(repeated, ChannelDown)
    assert not repeated.uncertain


@pytest.mark.parametrize(
    "error",
    [Refused("chat not found"), Forbidden("blocked"), NetworkError("Too Large (413)")],
)
def test_what_never_will_work_is_a_bad_request(error: TelegramError) -> None:
    assert isinstance(translate(error, repeatable=False), BadRequest)


def test_a_refused_token_may_be_mended_and_is_never_told() -> None:
    token = "123456789:" + "A" * 35
    down = translate(InvalidToken(f"The token {token} was rejected"), repeatable=False)
    assert isinstance(down, ChannelDown)
    assert token not in str(down)


def test_an_unknown_method_is_told_from_an_unknown_token() -> None:
    assert is_unknown_method(InvalidToken("Not Found"))
    assert not is_unknown_method(InvalidToken("Unauthorized"))
