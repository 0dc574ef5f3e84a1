"""As fast as Telegram allows, and no faster."""

import time

import pytest

from agentos.channels.telegram.pace import Pace
from agentos.standins.bot.limits import FloodLimits
from agentos.standins.bot.refusal import Refused


async def test_a_burst_and_then_a_message_a_second() -> None:
    pace, began = Pace(), time.monotonic()
    for _ in range(4):
        await pace.turn(7)
        pace.spend(7)
    assert time.monotonic() - began >= 0.9
    assert not pace.spare(7)
    assert pace.spare(8)  # what one chat has used is no other chat's


async def test_all_chats_together_have_a_limit_too() -> None:
    pace, limits = Pace(), FloodLimits()
    for chat in range(1, 60):
        await pace.turn(chat)
        limits.spend(chat)  # raises when that was too fast
        pace.spend(chat)
    assert not pace.spare(99)


def test_a_group_takes_twenty_a_minute_and_an_album_counts_each_file() -> None:
    now = 0.0
    limits = FloodLimits(clock=lambda: now)
    limits.spend(-5, messages=10)
    limits.spend(-5, messages=10)
    with pytest.raises(Refused, match="retry after 3"):
        limits.spend(-5)
    now = 3.0
    limits.spend(-5)
    pace = Pace()
    for _ in range(14):
        pace.spend(-5)
    assert not pace.spare(-5)
