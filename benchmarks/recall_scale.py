"""How recall holds up with size: time at 10,000 and 230,000 memories, writes, files, the index.

Facts are generated and short; they are put into the rows in large transactions and from there into
the index and through the embedder as after a start with a deleted index. Then come queries one
after the other, single writes with a recall after each hundredth, and what is left on the disk.
"""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import psutil
from sqlalchemy import Connection

from agentos.domain.memory import Memory
from agentos.errors import AgentosError
from agentos.store import rows
from benchmarks.common import Report, parser, run, say
from benchmarks.memory_room import Room, room

_WHO = ["Anna", "Robin", "Sam", "Kim", "Lena", "Omar", "Ines", "Paul", "Maya", "Jonas"]
_DOES = [
    "likes",
    "repairs",
    "bought",
    "sold",
    "painted",
    "lost",
    "found",
    "planned",
    "visited",
    "cancelled",
]
_WHAT = [
    "bicycle",
    "violin",
    "garden",
    "boat",
    "kitchen",
    "telescope",
    "archive",
    "greenhouse",
    "workshop",
    "bakery",
    "lantern",
    "map",
    "orchard",
    "harbour",
    "museum",
    "library",
    "tunnel",
    "bridge",
    "station",
    "theatre",
]
_HOW = ["red", "old", "small", "broken", "wooden", "quiet", "famous", "cheap", "heavy", "bright"]
_START = datetime(2025, 1, 1, tzinfo=UTC)
_BATCH = 5000


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="*", default=[10_000, 230_000])
    options.add_argument("--queries", type=int, default=200)
    options.add_argument("--writes", type=int, default=10_000, help="single writes")
    options.add_argument("--lexical", action="store_true", help="by words alone, no embedder")
    given = options.parse_args()
    report = Report("recall_scale, lexical" if given.lexical else "recall_scale")
    for size in given.sizes:
        run(_at_size(report, size, queries=given.queries, lexical=given.lexical))
    if given.writes:
        run(_single_writes(report, given.writes, lexical=given.lexical))
    report.show(as_json=given.json)


def _fact(number: int) -> str:
    chance = random.Random(number)
    who, does, how, what = (chance.choice(words) for words in (_WHO, _DOES, _HOW, _WHAT))
    return f"{who} {does} the {how} {what} of number {number}"


async def _at_size(report: Report, size: int, *, queries: int, lexical: bool) -> None:
    async with room(lexical=lexical) as here:
        for start in range(0, size, _BATCH):
            some = range(start, min(start + _BATCH, size))
            await here.database.write(partial(_insert, numbers=some))
        began = time.monotonic()
        await here.remembering.sync()
        report.add(f"{size:,}: in the index after", time.monotonic() - began, "s")
        say(f"{size:,} memories are in the index; embedding and indexing them")
        during = await _until_settled(here, size)
        report.add(f"{size:,}: embedded and merged after", time.monotonic() - began, "s")
        if during:
            name = f"{size:,}: recall while embedding and indexing"
            report.spread(name, during, "ms", quantiles=(50, 95))
        await _ask(report, here, size, queries=queries)
        told = (await here.remembering.status())["index"]
        report.add(f"{size:,}: on disk", told["bytes"] / 1e6, "MB")
        report.add(f"{size:,}: files", told["files"], "")
        process = psutil.Process(here.index.pid or 0)
        report.add(f"{size:,}: index process, RSS", process.memory_info().rss / 1e6, "MB")


def _insert(connection: Connection, numbers: range) -> None:
    for number in numbers:
        at = _START + timedelta(minutes=number)
        row = Memory(text=_fact(number), valid_from=at, created_at=at, revision=number + 1)
        rows.add(connection, row)


async def _until_settled(here: Room, size: int) -> list[float]:
    """Recall now and then until all is embedded and indexed; how long each took."""
    settling = asyncio.create_task(here.remembering.settled())
    took: list[float] = []
    number = 0
    while not settling.done():
        began = time.perf_counter()
        number += 1
        await _recall(here, _fact(number * 37 % size))
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.wait([settling], timeout=0.5)
    await settling
    while (await here.remembering.status())["index"]["indexing"]:  # noqa: ASYNC110 - it is another process
        await asyncio.sleep(0.5)
    return took


async def _ask(report: Report, here: Room, size: int, *, queries: int) -> None:
    whole, embedding, found = [], [], 0
    for number in range(queries):
        fact = _fact(number * 7919 % size)
        began = time.perf_counter()
        texts, embed_ms = await _recall(here, fact)
        whole.append((time.perf_counter() - began) * 1000)
        embedding.append(embed_ms)
        found += fact in texts
    apart = [one - two for one, two in zip(whole, embedding, strict=True)]
    goals = {50: 30.0, 95: 60.0}
    report.spread(f"{size:,}: recall, query embedded", whole, "ms", quantiles=(50, 95), goals=goals)
    report.spread(f"{size:,}: of it without the embedding", apart, "ms", quantiles=(50, 95))
    report.add(f"{size:,}: found what was asked for", found / queries, "", at_least=0.99)


async def _recall(here: Room, query: str) -> tuple[list[str], float]:
    answer = await here.remembering.recall(here.remembering.wish(query), count=False)
    return [one.memory.text for one in answer.found], answer.embed_ms


async def _single_writes(report: Report, count: int, *, lexical: bool) -> None:
    async with room(lexical=lexical) as here:
        await here.remembering.sync()
        began, seen = time.monotonic(), 0
        for number in range(count):
            at = _START + timedelta(minutes=number)
            row = Memory(text=_fact(number), valid_from=at, created_at=at)
            await here.remembering.remember(row)
            if number % 100 == 99:
                texts, _ = await _recall(here, _fact(number))
                seen += _fact(number) in texts
        report.add("single writes", count / (time.monotonic() - began), "/s")
        report.add("seen by the next recall", seen / max(count // 100, 1), "", at_least=1)
        await here.remembering.settled()
        told = (await here.remembering.status())["index"]
        if told["parts"] != count:
            raise AgentosError(reason=f"{told['parts']} of {count} memories are in the index")
        report.add(f"files after {count:,} single writes", told["files"], "", at_most=60)
        report.add("size after them", told["bytes"] / 1e6, "MB")


if __name__ == "__main__":
    main()
