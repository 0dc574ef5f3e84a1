"""How well and how fast recall finds what was said: NDCG, recall, hits, time and memory.

DATA is a JSON file: `{"documents": [{"id", "text", "at", "session"}], "queries": [{"text", "at",
"relevant": ["id"]}]}`, or a list of such; each is a store of its own. Every document is remembered
and every query recalled as the daemon does it, through the index process. A session counts as found
when one of its documents is; sessions are ranked by their best one.
"""

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from agentos.domain.memory import Memory
from agentos.errors import AgentosError
from benchmarks.common import Report, parser, run, say
from benchmarks.memory_room import Room, room

_DEEP = 50
_TOGETHER = 64


@dataclass
class _Figures:
    """One number a query."""

    ndcg: list[float] = field(default_factory=list)
    recall5: list[float] = field(default_factory=list)
    recall10: list[float] = field(default_factory=list)
    hit1: list[float] = field(default_factory=list)
    hit5: list[float] = field(default_factory=list)
    sessions5: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    documents: int = 0


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, help="the documents and queries, as JSON")
    options.add_argument("--lexical", action="store_true", help="by words alone, no embedder")
    given = options.parse_args()
    stores = json.loads(given.data.read_text())
    figures = _Figures()
    for store in stores if isinstance(stores, list) else [stores]:
        run(_measure(store, figures, lexical=given.lexical))
    _reported(figures, lexical=given.lexical).show(as_json=given.json)


async def _measure(store: dict[str, Any], figures: _Figures, *, lexical: bool) -> None:
    documents, queries = store["documents"], store["queries"]
    async with room(lexical=lexical) as here:
        names = await _remember(here, documents)
        await here.remembering.settled()
        if not lexical and here.index.embedder_state != "ready":
            raise AgentosError(reason=f"the embedder is {here.index.embedder_state}")
        sessions = {one["id"]: one.get("session") for one in documents}
        for query in queries:
            await _ask(here, query, figures, names=names, sessions=sessions)
        assert here.index.pid is not None
        figures.rss.append(psutil.Process(here.index.pid).memory_info().rss / 1e6)
    figures.documents += len(documents)
    say(f"{store.get('name', 'store')}: {len(documents)} documents, {len(queries)} queries")


async def _remember(here: Room, documents: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Remember them all; the documents' ids by those of the memories."""
    now, names = datetime.now(UTC), {}
    for start in range(0, len(documents), _TOGETHER):
        some = documents[start : start + _TOGETHER]
        rows = [
            Memory(
                text=one["text"],
                thread=one.get("session"),
                valid_from=_moment(one.get("at"), default=now),
                created_at=now,
            )
            for one in some
        ]
        made = await asyncio.gather(*(here.remembering.remember(row) for row in rows))
        names.update({row.id: one["id"] for row, one in zip(made, some, strict=True)})
    return names


async def _ask(
    here: Room,
    query: dict[str, Any],
    figures: _Figures,
    *,
    names: dict[int, str],
    sessions: dict[str, str | None],
) -> None:
    relevant = set(query["relevant"])
    if not relevant:
        return
    at = _moment(query.get("at"), default=datetime.now(UTC))
    began = time.perf_counter()
    # Each query stands alone: what another one found is not to weigh here.
    wish = here.remembering.wish(query["text"], at=at, limit=_DEEP)
    answer = await here.remembering.recall(wish, lexical=not _embeds(here), count=False)
    figures.took.append((time.perf_counter() - began) * 1000)
    if answer.note:
        raise AgentosError(reason=answer.note)
    order = [names[one.memory.id or 0] for one in answer.found]
    figures.ndcg.append(_ndcg(order, relevant))
    figures.recall5.append(len(relevant & set(order[:5])) / len(relevant))
    figures.recall10.append(len(relevant & set(order[:10])) / len(relevant))
    figures.hit1.append(float(bool(relevant & set(order[:1]))))
    figures.hit5.append(float(bool(relevant & set(order[:5]))))
    wanted = {sessions[name] for name in relevant if sessions.get(name)}
    if wanted:
        ranked = list(dict.fromkeys(sessions[name] for name in order))
        figures.sessions5.append(len(wanted & set(ranked[:5])) / len(wanted))


def _embeds(here: Room) -> bool:
    """Whether this store has an embedder."""
    return here.index.embedder_state != "off"


def _ndcg(order: Sequence[str], relevant: set[str], *, depth: int = 10) -> float:
    """Binary gains, discounted by log2 of the place; against the best order there could be."""
    gains = [
        1 / math.log2(place + 2) for place, name in enumerate(order[:depth]) if name in relevant
    ]
    best = sum(1 / math.log2(place + 2) for place in range(min(depth, len(relevant))))
    return sum(gains) / best


def _moment(text: str | None, *, default: datetime) -> datetime:
    if text is None:
        return default
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _reported(figures: _Figures, *, lexical: bool) -> Report:
    report = Report("recall, lexical" if lexical else "recall")
    report.add("documents", figures.documents, "")
    report.add("queries", len(figures.ndcg), "")
    report.add("NDCG@10", _mean(figures.ndcg), "", at_least=0.50 if lexical else 0.53)
    report.add("Recall@5", _mean(figures.recall5), "")
    report.add("Recall@10", _mean(figures.recall10), "", at_least=None if lexical else 0.68)
    report.add("hit@1", _mean(figures.hit1), "")
    report.add("hit@5", _mean(figures.hit5), "")
    if figures.sessions5:
        goal = None if lexical else 0.90
        report.add("sessions, Recall@5", _mean(figures.sessions5), "", at_least=goal)
    report.spread("recall", figures.took, "ms", quantiles=(50, 95))
    report.add("index process, RSS", max(figures.rss), "MB")
    return report


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


if __name__ == "__main__":
    main()
