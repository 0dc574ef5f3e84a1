"""/cost: what models have used, today and in seven days, by what it was for."""

from datetime import timedelta
from decimal import Decimal

from sqlalchemy import Connection

from agentos.frontdesk.commands.catalogue import Asked
from agentos.store import usage

_BAR = 8


def cost(connection: Connection, asked: Asked) -> str:
    """Two short tables that read on a phone."""
    local = asked.at.astimezone(asked.zone)
    today = local.replace(hour=0, minute=0, second=0, microsecond=0)
    lines: list[str] = []
    for title, since in (("Today", today), ("7 days", today - timedelta(days=6))):
        found = usage.sums_since(connection, since)
        total = sum((one.cost_usd for one in found), Decimal(0))
        tokens = sum(one.tokens for one in found)
        lines.append(f"**{title}: ${total:.2f}**, {short(tokens)} tokens")
        most = max((one.tokens for one in found), default=0)
        lines += [
            f"`{bar(one.tokens, most)}` {one.purpose.value} "
            f"${one.cost_usd:.2f}, {short(one.tokens)}"
            for one in found
            if one.tokens
        ]
        lines.append("")
    return "\n".join(lines).strip()


def bar(value: int, most: int) -> str:
    """A line of blocks as long as the share."""
    full = max(1, round(_BAR * value / most)) if value and most else 0
    return "█" * full + "░" * (_BAR - full)


def short(number: int) -> str:
    """A number as people say it: 950, 12k, 3.4M."""
    if number < 1000:
        return str(number)
    if number < 1_000_000:
        return f"{number / 1000:.0f}k"
    return f"{number / 1_000_000:.1f}M"
